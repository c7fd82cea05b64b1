"""Every operation of every act of the lake goes wrong once, in each way that an operation can, and nothing is lost."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.findings import Findings
from benchmarks.proofs.lake_places import BUCKET, FOLDER, opened
from tests.lake.stores import Mode
from tests.lake.trials import ACTS, Tally, Trials


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large the proof is."""

    acts: tuple[str, ...] = tuple(ACTS)
    modes: tuple[Mode, ...] = tuple(Mode)
    steps: tuple[tuple[str, int], ...] = ((FOLDER, 1), (BUCKET, 2))
    """Places, and which operations of an act are failed there: each, or every second one."""


FULL = Size()
QUICK = Size(steps=((FOLDER, 9), (BUCKET, 25)))


def prove(size: Size, folder: Path) -> Findings:
    """A table by place and act: operations failed in each mode, and what was wrong afterwards: nothing."""
    found = Findings(f"Operations: each of an act's file operations fails once, as {', '.join(size.modes)}")
    header = ["place", "act", *size.modes, "then old", "then new", "lost, torn or unrepaired"]
    lines = [line for where, step in size.steps for line in _lines(found, size, where, step, folder)]
    found.table(header, lines)
    failed = sum(cell for line in lines for cell in line[2 : 2 + len(size.modes)] if isinstance(cell, int))
    found.figures = {"operations failed": failed, "lost, torn or unrepaired": len(found.broken)}
    return found


def _lines(found: Findings, size: Size, where: str, step: int, folder: Path) -> Iterator[list[object]]:
    with opened(where, folder) as make:
        for act in size.acts:
            if where == BUCKET and act == "publish":
                continue  # there is no catalog on S3
            tallies = [_tally(found, Trials(make), where, act, mode, step) for mode in size.modes]
            told = [tally for tally in tallies if tally]
            failed = [tally.operations if tally else "-" for tally in tallies]
            ends = [sum(t.old for t in told), sum(t.new for t in told)]
            yield [where, act, *failed, *ends, len(tallies) - len(told)]


def _tally(found: Findings, trials: Trials, where: str, act: str, mode: Mode, step: int) -> Tally | None:
    try:
        return trials.each(act, mode, step=step)
    except AssertionError as error:
        found.promise(False, f"{where}, {act}, {mode}, {trials.struck}: {error}")
        return None
