"""`token-proxy`, and `python -m proxy`."""

from __future__ import annotations

import sys

from proxy.commands.command_line import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
