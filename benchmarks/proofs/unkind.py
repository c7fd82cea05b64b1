"""The matrix of the unkind world: status and exit code of each mix of network or clock, token and region source."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import pytest

from benchmarks.findings import Findings
from tests.cells import ANSWERS, CELLS, CLOCKS, DEAD, REGION_BY_SOURCE, TOKENS, Cell

FULL, QUICK = tuple(TOKENS), ("role",)


def prove(tokens: Sequence[str], folder: Path) -> Findings:
    """Run an export for each cell with these tokens, in this process, each in a separate environment."""
    cells = [cell for cell in CELLS if cell.token in tokens]
    ends = {cell: cell.observe(folder / str(n), pytest.MonkeyPatch.context()) for n, cell in enumerate(cells)}
    wrong = [cell for cell, end in ends.items() if end != cell.expected]
    found = Findings(f"Unkind world: {len(cells)} mixes of network, token and region source")
    for cell in wrong:
        found.promise(False, f"{cell}: {ends[cell]}, not {cell.expected}")
    found.figures = {"cells": len(cells), "unlike the expectation": len(wrong)}
    columns = list(product(tokens, REGION_BY_SOURCE))
    shown = {cell: f"{end.status} {end.exit_code}" for cell, end in ends.items()}
    networks = (*ANSWERS, *DEAD, *CLOCKS)
    rows = [[network, *(shown[Cell(network, *column)] for column in columns)] for network in networks]
    found.table(["region's network or our clock", *(f"{token}, {source}" for token, source in columns)], rows)
    return found
