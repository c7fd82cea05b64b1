"""Every operation of every act of the lake fails once, in each way that an operation can, and nothing is lost."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.findings import Findings
from benchmarks.proofs.lake_places import BUCKET, FOLDER, opened
from benchmarks.proofs.spread import spread
from tests.lake.stores import Mode
from tests.lake.trials import ACTS, Tally, Trials


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large the proof is."""

    acts: tuple[str, ...] = tuple(ACTS)
    modes: tuple[Mode, ...] = tuple(Mode)
    steps: tuple[tuple[str, int], ...] = ((FOLDER, 1), (BUCKET, 8))
    """Places, and which operations of an act are failed there: each, or every eighth, in each mode others."""


FULL = Size()
QUICK = Size(steps=((FOLDER, 9), (BUCKET, 25)))


@dataclass(frozen=True, slots=True)
class Part:
    """Operations that one process fails, one at a time."""

    where: str
    act: str
    mode: Mode
    start: int
    step: int

    def __str__(self) -> str:
        return f"{self.where}, {self.act}, {self.mode}"


def prove(size: Size, folder: Path) -> Findings:
    """Fail operations in all parts; a table by place and act of failed operations, and of what was wrong afterwards."""
    del folder
    found = Findings(f"Operations: each of an act's file operations fails once, as {', '.join(size.modes)}")
    parts = _parts(size)
    tallies = list(zip(parts, spread(_tally, parts, _line), strict=True))
    for part, tally in tallies:
        for broken in tally.broken:
            found.promise(False, f"{part}, {broken}")
    header = ["place", "act", *size.modes, "then old", "then new", "lost, torn or unrepaired"]
    found.table(
        header,
        [[*key, *_list_cells(group)] for key, group in groupby(tallies, lambda each: (each[0].where, each[0].act))],
    )
    failed = sum(tally.operations for _, tally in tallies)
    found.figures = {"operations failed": failed, "lost, torn or unrepaired": len(found.broken)}
    return found


def _parts(size: Size) -> list[Part]:
    """Return all parts; there is no catalog on S3, so none is published."""
    return [
        Part(where, act, mode, 2 * n % step + 1, step)  # so that each way to go on comes about on S3, too
        for where, step in size.steps
        for act in size.acts
        for n, mode in enumerate(size.modes)
        if (where, act) != (BUCKET, "publish")
    ]


def _tally(part: Part) -> Tally:
    with TemporaryDirectory(prefix="proof-") as folder, opened(part.where, Path(folder)) as make:
        return Trials(make).each(part.act, part.mode, start=part.start, step=part.step)


def _line(part: Part, tally: Tally) -> str:
    ends = f"readers then saw the old snapshot {tally.old} times, the new one {tally.new}"
    return "; ".join([f"{part}: {tally.operations} operations failed", ends, *(f"BROKEN {b}" for b in tally.broken)])


def _list_cells(parts: Iterator[tuple[Part, Tally]]) -> list[int]:
    tallies = [tally for _, tally in parts]
    ends = [sum(t.old for t in tallies), sum(t.new for t in tallies), sum(len(t.broken) for t in tallies)]
    return [*(t.operations for t in tallies), *ends]
