"""Exit statuses, with the numbers of `sysexits.h`, and the errors that carry one."""

from __future__ import annotations

from enum import IntEnum


class ExitStatus(IntEnum):
    """What a process says as it ends; `docs/commands.md` says what a user may rely on."""

    OK = 0
    UNHEALTHY = 1
    USAGE = 64
    UNAVAILABLE = 69
    INTERNAL = 70
    CONFIGURATION = 78
    INTERRUPTED = 130
    TERMINATED = 143


class UsageError(Exception):
    """The command line makes no sense as it stands; `str()` says why and what to type instead."""
