"""What questions, panels and marts count: rows on both sides of each edge, and rows that belong to others."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

import duckdb
import pytest

from appstream_export.contracts import list_view_files, load_contracts, sql_files
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

    def run(file: SqlFile, rows: Rows, columns: str | None = None, **given: str) -> list[tuple[Any, ...]]:
        opened.append(con := open_empty_tables(lake, file.reads))
        for table, row in rows:
            insert_row(con, table, row)
        sql = f"select {columns} from ({file.sql}\n) order by all" if columns else file.sql
        return con.execute(sql, parse_parameters(file, given) or None).fetchall()

    yield run
    for con in opened:
        con.close()


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_counts_from_its_edge_on(name: str, answer: Any) -> None:
    given, rows, expected = QUESTIONS[name]
    question = next(question for question in load_named_queries() if question.name == name)

    assert answer(question, rows, **given) == expected


KEY = {"image_builder_key": "1/r/a"}
LIFE = KEY | {"image_builder_life_key": "1/r/a/1", "life": 1}


def star_day(on: date, **more: Any) -> tuple[str, dict[str, Any]]:
    row = KEY | {"image_builder_life_key": "1/r/a/1", "day": on, "state": "STOPPED", "running_hours_at_least": 1.0}
    return "fact_image_builder_day", row | {"instance_usd_at_least": 1.0, "disk_usd_at_least": 1.0} | more


def panel(name: str) -> SqlFile:
    return next(file for file in sql_files.load_sql_files("report") if file.name == name)


def test_days_that_are_alike_are_one_row_and_begin_with_the_last_month(answer: Any) -> None:
    first = (TODAY.replace(day=1) - DAY).replace(day=1)
    days = [star_day(first + n * DAY) for n in range(-1, 3)]
    rows = [
        ("fact_export_run", {"day": TODAY}),
        ("dim_image_builder", LIFE),
        *days,
        star_day(first + 3 * DAY, state="FAILED"),
    ]

    columns = "first_day, days, state"
    assert answer(panel("days"), rows, columns) == [(first, 3, "STOPPED"), (first + 3 * DAY, 1, "FAILED")]


def test_a_day_of_two_lives_is_one_row_of_the_page_with_the_state_of_the_later_one(answer: Any) -> None:
    lives = [("dim_image_builder", KEY | {"image_builder_life_key": f"k/{n}", "life": n}) for n in (9, 10)]
    later = star_day(TODAY, image_builder_life_key="k/10", state="RUNNING", disk_usd_at_least=None)
    rows = [("fact_export_run", {"day": TODAY}), *lives, star_day(TODAY, image_builder_life_key="k/9"), later]

    columns = "state, running_hours_at_least, instance_usd_at_least, disk_usd_at_least"
    assert answer(panel("days"), rows, columns) == [("RUNNING", 2.0, 2.0, None)]


def list_sequences(rows: Rows) -> list[tuple[Any, ...]]:
    """The sequences of days of builders, one by one: a day of several lives is one, with the last one's state."""
    days: dict[tuple[str, date], list[dict[str, Any]]] = {}
    for row in (row for table, row in rows if table == "fact_image_builder_day"):
        days.setdefault((row["image_builder_key"], row["day"]), []).append(row)
    found: list[list[Any]] = []
    for (key, on), some in sorted(days.items()):
        usd = [row["instance_usd_at_least"] for row in some]
        last = max(some, key=lambda row: row["image_builder_life_key"])
        shown = [last["state"], float(len(some)), None if None in usd else sum(usd), float(len(some))]
        if found and [key, on - found[-1][2] * DAY, *shown] == [found[-1][0], found[-1][1], *found[-1][3:]]:
            found[-1][2] += 1
        else:
            found.append([key, on, 1, *shown])
    return [tuple(one) for one in found]


def test_sequences_of_days_are_those_that_a_walk_through_all_days_finds(answer: Any) -> None:
    random, rows = Random(7), [("fact_export_run", {"day": TODAY})]  # noqa: S311
    for name in "abcdef":
        for life in (1, 2):
            keys = {"image_builder_key": name, "image_builder_life_key": f"{name}/{life}"}
            rows.append(("dim_image_builder", keys | {"life": life}))
            for n in range(14):
                state, usd = random.choice((None, "RUNNING")), random.choice((None, 1.0))
                if name in "ab" or (life == 1 and random.random() < (1.0 if name == "c" else 0.7)):
                    more = {"state": state, "instance_usd_at_least": usd} if name in "af" else {}
                    rows.append(star_day(TODAY - n * DAY, **keys | more))

    found = answer(panel("days"), rows)
    assert found == list_sequences(rows)
    assert [sum(row[0] == name for row in found) for name in "bc"] == [1, 1], "these builders have one sequence"


def test_of_a_builder_the_newest_50_events_remain_and_the_others_are_counted(answer: Any) -> None:
    noon = NOW.replace(tzinfo=None)
    spans = [
        ("fact_image_builder_state_span", KEY | {"first_observed_at_utc": at - HOUR, "last_observed_at_utc": at})
        for at in (noon - n * HOUR for n in range(53))
    ]
    found = answer(panel("events"), spans, "observed_at, older")

    assert (len(found), min(found)[0], max(found)) == (50, noon - 50 * HOUR, (noon - HOUR, 3))


def mart(name: str) -> SqlFile:
    return next(file for file in list_view_files(load_contracts()) if file.name == name)


def test_hours_since_the_previous_run_go_past_what_expired_snapshots(answer: Any) -> None:
    rows = [sweep(1), sweep(2, NOW + HOUR), sweep(3, NOW + 3 * HOUR)]
    rows[1][1]["kind"] = "thin"

    assert answer(mart("export_runs"), rows, "seq, hours_since_previous") == [(1, None), (3, 3.0)]


def test_a_builder_is_one_row_of_the_overview_however_many_resources_there_are(answer: Any) -> None:
    scope = {"account_id": "1", "region": "r"}
    statuses = {"image_builders": "ok", "images": "denied"}
    rows = [("scope_runs", scope | {"resource": name, "status": status}) for name, status in statuses.items()]

    assert answer(mart("image_builder_overview"), [("image_builders", ITEM), *rows], "name, status") == [("a", "ok")]


def test_namesakes_in_two_regions_share_no_security_group_and_no_subnet(answer: Any) -> None:
    rows = [("image_builders", ITEM), ("image_builders", ITEM | {"region": "q"})]
    child = {"account_id": "1", "region": "r", "image_builder_name": "a"}
    rows += [("image_builder_security_groups", child | {"security_group_id": "sg"})]
    rows += [("image_builder_subnets", child | {"subnet_id": "s"})]

    columns = "region, subnet_id, security_group_id"
    assert answer(mart("image_builder_network"), rows, columns) == [("q", None, None), ("r", "s", "sg")]


def test_a_time_up_of_which_one_day_has_no_price_has_no_cost(answer: Any) -> None:
    table, row = span(NOW - DAY, NOW)
    up = row | {"is_current": True, "active_since": NOW - DAY, "instance_type": "small", "platform": "WINDOWS"}
    price = {"region": "*", "instance_type": "*", "platform": "*", "usd_per_hour": 1.0}
    midnight = NOW.replace(hour=0)

    for valid_from, expected in ((midnight, (24.0, False, None)), (midnight - DAY, (24.0, True, 24))):
        rows = [(table, up), ("prices", price | {"valid_from": valid_from})]
        columns = "running_hours_at_least, is_priced, cost_usd_at_least"
        assert answer(mart("running_image_builders"), rows, columns) == [expected]
