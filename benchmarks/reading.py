"""Processes that read again and again while others write, until a line comes on their standard input.

Each ends with a line of JSON: reads, snapshots seen, torn reads, errors, and examples of both.
"""

import json
import select
import sys
from collections.abc import Callable

from benchmarks.findings import say

PAUSE_S = 0.05  # readers without a pause would leave two cores nothing to write with
Read = tuple[str, list[str]]
"""The snapshot that a read saw, and how its rows disagree."""


def read_until_line(read: Callable[[], Read]) -> None:
    """Read until a line comes; the first line printed says that reading begins."""
    say("reading")
    reads, torn, errors, seen, wrong = 0, 0, 0, set[str](), list[str]()
    while not select.select([sys.stdin], [], [], PAUSE_S)[0]:
        try:
            snapshot, disagreements = read()
        except Exception as error:  # noqa: BLE001  any error would reach a dashboard's user
            errors += 1
            wrong.append(f"{type(error).__name__}: {error}"[:300])
            continue
        reads += 1
        torn += bool(disagreements)
        seen.add(snapshot)
        wrong += disagreements
    found = {"reads": reads, "torn": torn, "errors": errors, "seen": sorted(seen), "wrong": wrong[:3]}
    say(json.dumps(found))
