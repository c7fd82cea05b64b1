"""How much `python -m benchmarks` measures."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.proofs import scale
from benchmarks.race import DENSE, SPARSE, Load
from benchmarks.rivals import FLOORS, RIVALS, TRANSFORMS, Rival


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured. Where `is_timed` is off, sizes are too small for budgets of time and memory: not judged."""

    pythons: Mapping[str, Path]
    rounds: int = 5
    sparse: Load = SPARSE
    dense: Load = DENSE
    rivals: Mapping[str, Rival] = field(default_factory=lambda: {**RIVALS, **TRANSFORMS, **FLOORS})
    scaled: scale.Size = scale.FULL
    two_accounts: int = 500
    scopes: tuple[int, ...] = (100, 1_000, 5_000, 20_000)
    items: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    committed: int = 50_000
    kept: tuple[int, int] = (5_000, 200)
    """Builders and snapshots of a long history."""
    asked: tuple[int, int] = (50_000, 200)
    """The same, where every question is asked."""
    is_timed: bool = True


def quick(size: Size) -> Size:
    """The same machinery in three minutes."""
    return replace(
        size, rounds=1, sparse=replace(size.sparse, accounts=3), dense=replace(size.dense, accounts=2, regions=3),
        scaled=replace(scale.QUICK, accounts=10), two_accounts=10, scopes=(20, 100), items=(1_000, 5_000),
        committed=1_000, kept=(200, 5), asked=(200, 5), is_timed=False,
    )  # fmt: skip
