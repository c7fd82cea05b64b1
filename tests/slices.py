"""Matrices of which the default tests run a few cases; all the others are long."""

from collections.abc import Iterable
from typing import Any

import pytest
from _pytest.mark import ParameterSet


def long_but(cases: Iterable[Any], *kept: Any) -> list[ParameterSet]:
    """The cases as parameters, long unless `kept` names them: as a whole, or by their first value."""
    found = [case if isinstance(case, tuple) else (case,) for case in cases]
    missing = [one for one in kept if not any(one in (case, case[0]) for case in found)]
    assert not missing, f"no such case: {missing}"
    return [
        pytest.param(*case, marks=() if any(one in (case, case[0]) for one in kept) else pytest.mark.long)
        for case in found
    ]


EXAMPLES = pytest.mark.parametrize("examples", [40, pytest.param(200, marks=pytest.mark.long)])
"""How many examples of Hypothesis such a test tries: few, and among the long tests many."""
