"""Random lives of a warehouse, each step compared with a model in plain Python; see tests/lake/machine.py."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from benchmarks.findings import Findings
from benchmarks.proofs.spread import spread
from tests.lake.machine import Lives

LIVES_PER_SEED = 10  # few: a seed that goes wrong is run again in a minute


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large the proof is."""

    lives: int = 150
    steps: int = 30
    seed: int = 1
    """The first one; each ten lives have one of their own."""


FULL = Size()
QUICK = Size(lives=10, steps=15)


@dataclass(frozen=True, slots=True)
class Part:
    """Lives that one process runs, one after the other."""

    seed: int
    lives: int
    steps: int


@dataclass(slots=True)
class Lived:
    """Events of a part's lives by count, and the calls that led to a state unlike the model, if any."""

    happened: Counter[str] = field(default_factory=Counter)
    wrong: str | None = None


def prove(size: Size, folder: Path) -> Findings:
    """Compare lives with the model; a table of events, and for a wrong life the calls that lead there."""
    del folder
    starts = range(0, size.lives, LIVES_PER_SEED)
    parts = [Part(size.seed + n, min(LIVES_PER_SEED, size.lives - s), size.steps) for n, s in enumerate(starts)]
    seeds = f"seeds {parts[0].seed} to {parts[-1].seed}"
    found = Findings(f"Lives: {size.lives} of at most {size.steps} steps, {seeds}")
    happened: Counter[str] = Counter()
    for part, lived in zip(parts, spread(live, parts, _line), strict=True):
        happened.update(lived.happened)
        found.promise(lived.wrong is None, f"seed {part.seed}: {lived.wrong}")
    found.figures = {"states compared": happened["states compared with the model"], "unlike": len(found.broken)}
    found.table(["what", "times"], [[what, times] for what, times in sorted(happened.items())])
    return found


def live(part: Part, machine: type[Lives] = Lives) -> Lived:
    """Run all lives of a part, or up to a wrong one, which is then made as short as possible."""
    lived = Lived()

    class Counted(machine):  # ty: ignore[unsupported-base]
        def teardown(self) -> None:
            lived.happened.update(self.happened)
            super().teardown()

    chosen = settings(
        max_examples=part.lives, stateful_step_count=part.steps, deadline=None, database=None,
        phases=(Phase.generate, Phase.shrink), suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    try:
        run_state_machine_as_test(seed(part.seed)(Counted), settings=chosen)
    except Exception as error:  # noqa: BLE001  whatever a life ends with is a finding
        notes = "\n".join(getattr(error, "__notes__", ()))
        lived.wrong = f"{type(error).__name__}: {error}\n{notes}"
    return lived


def _line(part: Part, lived: Lived) -> str:
    states = lived.happened["states compared with the model"]
    ended = f"BROKEN {lived.wrong}" if lived.wrong else "all alike"
    return f"seed {part.seed}: {part.lives} lives, {states} states, {ended}"
