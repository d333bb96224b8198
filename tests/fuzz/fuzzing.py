"""Running a fuzz: input after input from a seed, up to a fault; then the smallest input with it.

    python tests/fuzz/upstream_connection.py --seconds 60 --seed 7
    python tests/fuzz/upstream_connection.py --inputs 1 --seed 7 --first 1234

Each input depends on the seed and its own number only, so that any one of them can be run again.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SMALLER_TRIES_MAX = 5000


@dataclass(frozen=True, slots=True)
class Input:
    """Bytes, and where they are cut into segments."""

    data: bytes
    cuts: tuple[int, ...]


T = TypeVar("T", bound=Input)


@dataclass(frozen=True, slots=True)
class Fuzz(Generic[T]):
    """`make` makes an input; `judge` returns what is wrong with what became of it, or None."""

    make: Callable[[random.Random], T]
    judge: Callable[[T], Awaitable[str | None]]

    def main(self, arguments: list[str]) -> int:
        """Run as the command line says; return the exit status: 1 for a fault."""
        parser = argparse.ArgumentParser(allow_abbrev=False)
        parser.add_argument("--seconds", type=float, help="stop after so long")
        parser.add_argument("--inputs", type=int, help="stop after so many")
        parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
        parser.add_argument("--first", type=int, default=0, help="the number of the first input")
        said = parser.parse_args(arguments)
        if said.seconds is None and said.inputs is None:
            said.seconds = 60.0
        print(f"seed {said.seed}", flush=True)
        return asyncio.run(self._run(said.seed, said.first, said.inputs, said.seconds))

    async def _run(self, seed: int, first: int, inputs: int | None, seconds: float | None) -> int:
        started = time.monotonic()
        number = first
        while (inputs is None or number < first + inputs) and (
            seconds is None or time.monotonic() < started + seconds
        ):
            made = self.make(random.Random(f"{seed} {number}"))
            fault = await self._fault(made)
            if fault is not None:
                print(f"input {number} (--inputs 1 --seed {seed} --first {number}): {fault}")
                small = await self._smallest(made, fault)
                print(f"smallest: {await self._fault(small)}\n{small}")
                return 1
            number += 1
        print(f"{number - first} inputs in {time.monotonic() - started:.1f} s, no fault")
        return 0

    async def _fault(self, made: T) -> str | None:
        try:
            return await self.judge(made)
        except Exception as error:  # noqa: BLE001 - whatever escapes is what is looked for
            return f"{type(error).__name__} escaped: {error}"

    async def _smallest(self, made: T, fault: str) -> T:
        """Take away what the fault does not need: cuts first, then bytes."""
        kind = fault.partition(":")[0]
        tries = 0

        async def still(candidate: T) -> bool:
            found = await self._fault(candidate)
            return found is not None and found.partition(":")[0] == kind

        for cuts in ((), *((cut,) for cut in made.cuts)):
            if made.cuts and await still(replace(made, cuts=cuts)):
                made = replace(made, cuts=cuts)
                break
        size = len(made.data) // 2
        while size and tries < SMALLER_TRIES_MAX:
            start = 0
            shrunk = False
            while start < len(made.data) and tries < SMALLER_TRIES_MAX:
                tries += 1
                candidate = _without(made, start, size)
                if await still(candidate):
                    made = candidate
                    shrunk = True
                else:
                    start += size
            size = size if shrunk and size == 1 else size // 2
        return made


def _without(made: T, start: int, size: int) -> T:
    """Return the input without some of its bytes; cuts behind them move with theirs."""
    end = min(start + size, len(made.data))
    cuts = {cut if cut <= start else max(cut - (end - start), start) for cut in made.cuts}
    return replace(made, data=made.data[:start] + made.data[end:], cuts=tuple(sorted(cuts - {0})))


def run(fuzz: Fuzz[T]) -> None:
    """End the program with what the fuzz found."""
    sys.exit(fuzz.main(sys.argv[1:]))
