"""Parts of a proof on all cores at once, each told as it ends: proofs of many minutes show how far they are."""

import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from time import perf_counter
from typing import TypeVar

from benchmarks.findings import say

MEMORY = "/dev/shm"  # noqa: S108  nothing here is told by a power cut, so no file need wait for a disk


Part = TypeVar("Part")
Result = TypeVar("Result")


def spread(prove: Callable[[Part], Result], parts: Sequence[Part], line: Callable[[Part, Result], str]) -> list[Result]:
    """What each part gave, in the order of `parts`; who is asked, and what, must be known to a fresh process."""
    began = perf_counter()
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), _in_memory) as pool:
        asked = {pool.submit(prove, part): part for part in parts}
        for done, future in enumerate(as_completed(asked), 1):
            told = line(asked[future], future.result())
            say(f"{done} of {len(parts)}, {perf_counter() - began:.0f} s: {told}")
        return [future.result() for future in asked]


def _in_memory() -> None:
    if os.access(MEMORY, os.W_OK):
        tempfile.tempdir = MEMORY
