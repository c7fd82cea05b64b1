"""Parts of a proof on all cores at once, with a line as each ends: long proofs show their progress."""

import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from time import perf_counter
from typing import TypeVar

from benchmarks.findings import say

MEMORY = "/dev/shm"  # noqa: S108  no proof is about power cuts, so no file need wait for a disk
Part = TypeVar("Part")
Result = TypeVar("Result")


def spread(prove: Callable[[Part], Result], parts: Sequence[Part], line: Callable[[Part, Result], str]) -> list[Result]:
    """Return the results in the order of `parts`; function and parts must be picklable."""
    began = perf_counter()
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), _in_memory) as pool:
        futures = {pool.submit(prove, part): part for part in parts}
        for done, future in enumerate(as_completed(futures), 1):
            text = line(futures[future], future.result())
            say(f"{done} of {len(parts)}, {perf_counter() - began:.0f} s: {text}")
        return [future.result() for future in futures]


def _in_memory() -> None:
    if os.access(MEMORY, os.W_OK):
        tempfile.tempdir = MEMORY
