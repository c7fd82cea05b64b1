"""Random lives of a warehouse, each step compared with a model in plain Python; see tests/lake/machine.py."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from benchmarks.findings import Findings
from tests.lake.machine import Lives


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large the proof is."""

    lives: int = 150
    steps: int = 30
    seed: int = 1


FULL = Size()
QUICK = Size(lives=10, steps=15)


def prove(size: Size, folder: Path) -> Findings:
    """One table: how often each thing happened; a life that goes wrong is printed as the calls that lead there."""
    del folder
    found = Findings(f"Lives: {size.lives} of at most {size.steps} steps, seed {size.seed}")
    happened: Counter[str] = Counter()

    class Counted(Lives):
        def teardown(self) -> None:
            happened.update(self.happened)
            super().teardown()

    chosen = settings(
        max_examples=size.lives, stateful_step_count=size.steps, deadline=None, database=None,
        phases=(Phase.generate, Phase.shrink), suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    try:
        run_state_machine_as_test(seed(size.seed)(Counted), settings=chosen)
    except Exception as error:  # noqa: BLE001  whatever a life ends with is a finding
        notes = "\n".join(getattr(error, "__notes__", ()))
        found.promise(False, f"{type(error).__name__}: {error}\n{notes}")
    found.figures = {"states compared": happened["states compared with the model"], "unlike": len(found.broken)}
    found.table(["what", "times"], [[what, times] for what, times in sorted(happened.items())])
    return found
