"""Any sequence of answers and failures: rows are those of the last answers, and the changes replay into them."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings, strategies as st

from tests.lake.lakes import A, Answer, B, Lake, builder, failed, filtered, ok

Rows = dict[str, str]
ROWS = st.dictionaries(st.sampled_from("abc"), st.sampled_from(["RUNNING", "STOPPED"]), max_size=3)
STEP = st.sampled_from(["ok", "ok", "filtered", "denied", "not asked", "not planned"])
RUNS = st.lists(st.tuples(STEP, ROWS, STEP, ROWS), min_size=2, max_size=4)


def answer(scope: str, step: str, rows: Rows) -> list[Answer]:
    builders = [builder(name, state=state, subnets=[state]) for name, state in rows.items()]
    return {"ok": [ok(scope, *builders)], "filtered": [filtered(scope, *builders)], "denied": [failed(scope)]}.get(
        step, []
    )


def served(known: Rows, step: str, rows: Rows) -> Rows:
    """What the scope must serve after one more run."""
    return {"ok": rows, "filtered": known | rows, "not planned": {}}.get(step, known)


def replayed(lake: Lake) -> dict[tuple[str, str], str]:
    """The items that the changes of all snapshots lead to."""
    items: dict[tuple[str, str], str] = {}
    for region, name, change, column, new in lake.sql(
        "select region, name, change, column_name, new_value from image_builder_changes_history"
        " join snapshots using (snapshot_id) order by seq, change = 'created'"
    ):
        if change in ("deleted", "ended"):
            items.pop((region, name), None)
        elif change != "changed":
            items[region, name] = json.loads(new)["state"]
        elif column == "state":
            items[region, name] = new
    return items


@pytest.mark.slow
@settings(max_examples=12, deadline=None, derandomize=True)
@given(RUNS)
def test_any_sequence_of_outcomes_serves_the_last_answers(runs: list[tuple[str, Rows, str, Rows]]) -> None:
    expected: dict[str, Rows] = {A: {}, B: {}}
    answered: set[str] = set()
    with TemporaryDirectory() as folder:
        lake = Lake(Path(folder) / "w")
        for run in runs:
            steps = {A: run[:2], B: run[2:]}
            lake.commit(
                *(a for scope, (step, rows) in steps.items() for a in answer(scope, step, rows)),
                planned=[scope for scope, (step, _) in steps.items() if step != "not planned"],
            )
            for scope, (step, rows) in steps.items():
                expected[scope] = served(expected[scope], step, rows)
                answered = (
                    {*answered, scope} if step == "ok" else answered - {scope} if step == "not planned" else answered
                )
        found = lake.sql(
            "select account_id || '/' || region, name, state, subnet_id from image_builders left join"
            " image_builder_subnets using (account_id, region) where image_builder_name = name"
        )
        assert sorted(found) == sorted((s, n, v, v) for s, rows in expected.items() for n, v in rows.items())
        truth = {(s.split("/")[1], n): v for s in answered for n, v in expected[s].items()}
        assert replayed(lake) == truth
