"""Where questions and panels begin and end to count: rows on both sides of each edge, one of them left out."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb
import pytest

from appstream_export.contracts import sql_files
from appstream_export.contracts.sql_files import SqlFile
from appstream_export.lake.catalog.named_queries import load_named_queries, parse_parameters
from tests.lake.lakes import A, Lake, ok
from tests.sql.tables import insert_row, open_empty_tables

NOW = datetime(2026, 1, 14, 12, tzinfo=UTC)  # a Wednesday
TODAY = NOW.date()
HOUR, DAY, MOMENT = timedelta(hours=1), timedelta(days=1), timedelta(microseconds=1)
ITEM = {"account_id": "1", "region": "r", "name": "a"}
ERROR = {"account_id": "1", "region": "r", "image_builder_name": "a", "error_code": "E"}
Rows = list[tuple[str, dict[str, Any]]]


def sweep(seq: int, at: datetime = NOW) -> tuple[str, dict[str, Any]]:
    return "snapshots", {"seq": seq, "snapshot_id": f"s{seq}", "kind": "sweep", "committed_at": at}


def changed(at: datetime, **more: Any) -> tuple[str, dict[str, Any]]:
    return "image_builder_changes_history", ITEM | {"change": "created", "observed_at": at} | more


def day(on: date, **more: Any) -> tuple[str, dict[str, Any]]:
    whole = {"day": on, "running_hours_at_least": 1.0, "instance_usd_at_least": 1, "disk_usd_at_least": 1}
    return "image_builder_daily", ITEM | whole | {"cost_usd_at_least": 2, "is_priced": True} | more


def error(at: datetime, **more: Any) -> tuple[str, dict[str, Any]]:
    return "image_builder_errors_history", ERROR | {"error_timestamp": at} | more


def span(since: datetime, until: datetime) -> tuple[str, dict[str, Any]]:
    whole = {"state": "RUNNING", "is_active": True, "first_observed_at": since, "last_observed_at": until}
    return "image_builder_state_spans", ITEM | whole


DAYS = [sweep(1), *(day(TODAY - n * DAY) for n in range(3))]
QUESTIONS: dict[str, tuple[dict[str, str], Rows, list[tuple[Any, ...]]]] = {
    "what_changed": (
        {"days": "2"},
        [sweep(1), changed(NOW - 2 * DAY), changed(NOW - 2 * DAY - MOMENT)],
        [("created", "(whole)", 1, "a")],
    ),
    "cost_per_account": ({"days": "2"}, DAYS, [("1", 1, 2.0, 2, 2, 4, 0)]),
    "cost_per_label": ({"days": "2"}, DAYS, [(None, 1, 1, 2.0, 4, 0)]),
    "errors_by_week": (
        {"weeks": "2"},
        [sweep(1), error(datetime(2026, 1, 5, tzinfo=UTC)), error(datetime(2026, 1, 5, tzinfo=UTC) - MOMENT)],
        [(date(2026, 1, 5), "E", 1, 1, 1)],
    ),
    "hours_per_state": (
        {"days": "1"},
        [sweep(1), span(NOW - 3 * DAY, NOW - HOUR)],
        [("RUNNING", True, 1, 1, 23.0)],
    ),
    "repeat_failures": (
        {"times": "2"},
        [span(NOW - DAY, NOW), error(NOW - DAY), error(NOW - HOUR), error(NOW - HOUR, snapshot_id="again")],
        [("1", "r", "a", 0, 2)],
    ),
}
"""Parameters, rows and the answer of each."""


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A warehouse that has every table."""
    made = Lake(tmp_path_factory.mktemp("windows") / "warehouse")
    made.commit(ok(A))
    return made


@pytest.fixture
def answer(lake: Lake) -> Iterator[Any]:
    """What a file of sql/ answers on these rows."""
    opened: list[duckdb.DuckDBPyConnection] = []

    def run(file: SqlFile, rows: Rows, **given: str) -> list[tuple[Any, ...]]:
        opened.append(con := open_empty_tables(lake, file.reads))
        for table, row in rows:
            insert_row(con, table, row)
        return con.execute(file.sql, parse_parameters(file, given) or None).fetchall()

    yield run
    for con in opened:
        con.close()


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_counts_from_its_edge_on(name: str, answer: Any) -> None:
    given, rows, expected = QUESTIONS[name]
    question = next(question for question in load_named_queries() if question.name == name)

    assert answer(question, rows, **given) == expected


def panel(name: str) -> SqlFile:
    return next(file for file in sql_files.load_sql_files("report") if file.name == name)


def test_costs_by_day_are_those_of_90_days(answer: Any) -> None:
    found = answer(panel("cost_by_day"), [day(TODAY - n * DAY) for n in (0, 89, 90)])

    assert [row[0] for row in found] == [TODAY - 89 * DAY, TODAY]


def test_of_an_older_day_its_last_snapshot_shows_the_states(answer: Any) -> None:
    older = [NOW - 100 * DAY + n * HOUR for n in range(2)]
    sweeps = [*older, *(NOW - n * HOUR for n in range(48, 0, -1))]
    rows = [sweep(seq, at) for seq, at in enumerate(sweeps, 1)]
    rows += [("image_builders_history", ITEM | {"snapshot_id": f"s{n}", "state": state}) for n, state in
             ((1, "STOPPED"), (2, "RUNNING"), (50, "STOPPED"))]  # fmt: skip

    assert answer(panel("states_over_time"), rows) == [(older[1], "RUNNING", 1), (sweeps[-1], "STOPPED", 1)]


def test_changes_are_counted_by_builder_and_namesakes_are_two(answer: Any) -> None:
    rows = [sweep(1), *(changed(NOW, snapshot_id="s1", account_id=account, column_name=column)
                        for account, column in (("1", "state"), ("1", "platform"), ("2", "state")))]  # fmt: skip

    assert answer(panel("changes_over_time"), rows) == [(NOW, "created", 2)]


def test_a_skipped_or_expected_scope_has_not_failed_but_one_that_was_never_requested_is_listed(answer: Any) -> None:
    statuses = {"denied": {}, "skipped": {}, "disabled": {"is_expected": True}, "error": {"attempted_at": None}}
    rows = [
        ("coverage", {"account_id": "1", "region": status, "status": status, "is_expected": False, "attempted_at": NOW}
         | more)
        for status, more in statuses.items()
    ]  # fmt: skip

    assert [row[1] for row in answer(panel("failed_scopes"), rows)] == ["denied", "error"]


def test_a_day_of_disks_costs_a_365th_of_twelve_months(answer: Any) -> None:
    rows = [sweep(1), ("image_builder_overview", ITEM | {"disk_usd_per_month": 36.5})]

    assert answer(panel("tiles"), rows)[0][11] == 1.2
