"""Marts on the cases that are awkward: what was not seen, what came back, midnight, gaps, thinning, unknown prices.

All cases stand in one warehouse, each in an account of its own, so that a dozen commits tell all of them.
"""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from appstream_export.lake.catalog.connect import connect_warehouse
from appstream_export.lake.catalog.views import MACROS
from appstream_export.lake.maintenance.expire import expire_snapshots
from appstream_export.settings import RetentionSettings
from tests.lake.lakes import Answer, Lake, at, bad, bare, builder, failed, filtered, ok

MIDNIGHT = 12  # hours after noon
LAST = MIDNIGHT + 61  # of 2026-01-05, 13:00
JAN_2, JAN_3, JAN_4, JAN_5 = (date(2026, 1, day) for day in (2, 3, 4, 5))


def price(usd: float | None, **more: Any) -> dict[str, Any]:
    """A row of the price list."""
    row = {"region": "*", "instance_type": "*", "platform": "*", "usd_per_hour": usd, "source_sha256": "0"}
    return row | {"disk_usd_per_gb_month": 0.1, "valid_from": at(-100_000)} | more


def in_states(*states: str | None, **columns: Any) -> dict[float, dict[str, Any]]:
    """The builder `a` in one state after the other, an hour apart."""
    return {hour: {"builders": [builder("a", state=state, **columns)]} for hour, state in enumerate(states)}


def seen(state: str, **columns: Any) -> dict[str, Any]:
    """An answer with the builder `a`."""
    return {"builders": [builder("a", state=state, **columns)]}


DENIED: dict[str, Any] = {"failed": True}
NOBODY: dict[str, Any] = {"builders": []}
PRICES = [
    price(0.5, instance_type="small"),
    price(2.0, instance_type="small", valid_from=at((MIDNIGHT + 24) * 60)),
    price(None, instance_type="diskonly"),
    price(0.5, instance_type="nodisk", disk_usd_per_gb_month=None),
]
# What each case answers, by hours after noon.
CASES: Mapping[str, Mapping[float, dict[str, Any]]] = {
    "stopped": in_states("RUNNING", "RUNNING", "STOPPED", "STOPPED"),
    "denied": {**in_states("RUNNING", "RUNNING"), 2: DENIED, MIDNIGHT + 1: DENIED, LAST: DENIED},
    "healed": {0: seen("RUNNING"), 1: DENIED, 2: seen("RUNNING")},
    "emptied": {0: seen("RUNNING"), 1: NOBODY},
    "reborn": {
        0: seen("RUNNING", created_time=at(-9), instance_type="small"),
        1: seen("RUNNING", created_time=at(30), instance_type="large"),
        2: seen("RUNNING", created_time=at(30), instance_type="large"),
    },
    "came back": {0: seen("STOPPED"), 1: NOBODY, 3: seen("RUNNING")},
    "gone": {0: seen("RUNNING")},
    "all up": in_states("PENDING", "RUNNING", "REBOOTING", "RUNNING"),
    "stop seen": in_states("RUNNING", "RUNNING", "STOPPED", "RUNNING", "RUNNING"),
    "filtered": {0: seen("RUNNING") | {"filtered": True}, 1: seen("RUNNING") | {"filtered": True}},
    "unreadable": {0: seen("STOPPED"), 1: seen("STOPPED") | {"bad": True}, 2: seen("RUNNING")},
    "midnight": {h: seen("RUNNING", instance_type="small", root_volume_size_gb=273) for h in (10, 12, 15)},
    "no run": {MIDNIGHT - 2: seen("RUNNING"), MIDNIGHT + 61: seen("STOPPED")},
    "twice a day": {1: seen("RUNNING"), 2: seen("RUNNING"), 3: seen("STOPPED"), MIDNIGHT + 1: seen("RUNNING")},
    "dearer": {h: seen("RUNNING", instance_type="small") for h in (MIDNIGHT + 3, LAST)},
    "large disk": {h: seen("STOPPED", instance_type="small", root_volume_size_gb=273) for h in (0, 10)},
    "no price": {h: seen("RUNNING", instance_type="unheard") for h in (0, 1)},
    "no price of hours": {h: seen("RUNNING", instance_type="diskonly") for h in (0, 1)},
    "no price of disk": {h: seen("RUNNING", instance_type="nodisk", root_volume_size_gb=300) for h in (0, 1)},
    "size told later": {
        0: seen("RUNNING", instance_type="small"),
        1: seen("RUNNING", instance_type="small", root_volume_size_gb=930),
        3: seen("RUNNING", instance_type="small", root_volume_size_gb=930),
        10: seen("STOPPED", instance_type="small", root_volume_size_gb=930),
    },
    "name cleared": {0: seen("RUNNING", display_name="Old name"), 1: seen("RUNNING", display_name=None)},
    "named and gone": {0: seen("RUNNING", display_name="Last name"), 1: NOBODY},
    "small disk": {h: seen("RUNNING", instance_type="nodisk") for h in (0, 1)},
}
SCOPES = {case: f"{number:012}/eu-west-1" for number, case in enumerate(CASES, 1)}


def answer(case: str, told: dict[str, Any]) -> Answer:
    """What a case's scope answers."""
    if told is DENIED:
        return failed(SCOPES[case])
    make = filtered if told.get("filtered") else ok
    unreadable = [{**b, "state": None} for b in told["builders"]] if told.get("bad") else told["builders"]
    return make(SCOPES[case], *unreadable, quarantine=[bad("a", "State")] if told.get("bad") else [])


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A warehouse in which all cases happened."""
    made = Lake(tmp_path_factory.mktemp("marts") / "warehouse")
    for hour in sorted({hour for told in CASES.values() for hour in told}):
        answers = [answer(case, told[hour]) for case, told in CASES.items() if hour in told]
        there = [scope for case, scope in SCOPES.items() if case != "gone" or not hour]
        made.commit_at(hour, *answers, planned=there, prices=PRICES)
    made.publish()
    return made


def told(lake: Lake, case: str, columns: str, mart: str, rest: str = "") -> list[Any]:
    """Columns of a mart's rows of one case, sorted."""
    account = SCOPES[case].partition("/")[0]
    return lake.sql(f"select {columns} from {mart} where account_id = '{account}' {rest} order by all")


SPAN = "life, state, hours_at_least, gap_hours, ended_by"


@pytest.mark.parametrize(
    ("case", "spans"),
    [
        ("stopped", [(1, "RUNNING", 1.0, 1.0, "changed"), (1, "STOPPED", 1.0, None, None)]),
        ("denied", [(1, "RUNNING", 1.0, None, None)]),
        ("healed", [(1, "RUNNING", 2.0, None, None)]),
        ("emptied", [(1, "RUNNING", 0.0, 1.0, "deleted")]),
        ("reborn", [(1, "RUNNING", 0.0, 1.0, "deleted"), (2, "RUNNING", 1.0, None, None)]),
        ("came back", [(1, "STOPPED", 0.0, 1.0, "deleted"), (2, "RUNNING", 0.0, None, None)]),
        ("gone", [(1, "RUNNING", 0.0, 0.9917, "ended")]),  # with the run that no longer reads it, when that began
        ("filtered", [(1, "RUNNING", 0.0, None, None)]),
        ("unreadable", [(1, "RUNNING", 0.0, None, None), (1, "STOPPED", 0.0, 2.0, "changed")]),
    ],
)
def test_a_span_goes_from_the_first_to_the_last_answer_that_showed_a_state(
    case: str, spans: list[Any], lake: Lake
) -> None:
    assert told(lake, case, SPAN, "image_builder_state_spans") == spans


@pytest.mark.parametrize(
    ("case", "running"),
    [
        ("stopped", []),
        ("denied", [(1.0, at(0), True)]),
        ("healed", [(2.0, at(0), False)]),
        ("emptied", []),
        ("reborn", [(1.0, at(60), False)]),
        ("gone", []),
        ("all up", [(3.0, at(0), False)]),
        ("stop seen", [(1.0, at(180), False)]),
        ("filtered", [(0.0, at(60), False)]),
    ],
)
def test_who_runs_did_so_since_the_last_stop_that_was_seen(case: str, running: list[Any], lake: Lake) -> None:
    columns = "running_hours_at_least, active_since, is_stale"

    assert told(lake, case, columns, "running_image_builders") == running


def test_each_life_keeps_what_was_known_of_it(lake: Lake) -> None:
    columns = "life, instance_type, created_time, is_current"

    assert told(lake, "reborn", columns, "image_builder_state_spans") == [
        (1, "small", at(-9), False),
        (2, "large", at(30), True),
    ]


@pytest.mark.parametrize(("case", "name"), [("name cleared", None), ("named and gone", "Last name")])
def test_a_display_name_is_that_of_the_newest_row_or_of_the_end(case: str, name: str | None, lake: Lake) -> None:
    assert told(lake, case, "display_name", "image_builder_state_spans") == [name]


@pytest.mark.parametrize(
    ("case", "days"),
    [
        ("midnight", [(JAN_2, "RUNNING", 2.0, 2.0, True), (JAN_3, "RUNNING", 3.0, 3.0, True),
                      (JAN_4, "RUNNING", 0.0, 0.0, False), (JAN_5, "RUNNING", 0.0, 0.0, False)]),
        ("no run", [(JAN_2, "RUNNING", 0.0, 2.0, True), (JAN_3, "RUNNING", 0.0, 24.0, False),
                    (JAN_4, "RUNNING", 0.0, 24.0, False), (JAN_5, "STOPPED", 0.0, 13.0, True)]),
        ("denied", [(JAN_2, "RUNNING", 1.0, 1.0, True), (JAN_3, "RUNNING", 0.0, 0.0, False),
                    (JAN_4, "RUNNING", 0.0, 0.0, False), (JAN_5, "RUNNING", 0.0, 0.0, False)]),
        ("twice a day", [(JAN_2, "STOPPED", 1.0, 11.0, True), (JAN_3, "RUNNING", 0.0, 1.0, True),
                         (JAN_4, "RUNNING", 0.0, 0.0, False), (JAN_5, "RUNNING", 0.0, 0.0, False)]),
        ("emptied", [(JAN_2, "RUNNING", 0.0, 0.0, True)]),
        ("gone", [(JAN_2, "RUNNING", 0.0, 0.0, True)]),
    ],
)  # fmt: skip
def test_days_are_whole_in_utc_and_flagged_where_nobody_looked(case: str, days: list[Any], lake: Lake) -> None:
    columns = "day, state, running_hours_at_least, seen_hours_at_least, is_covered"

    assert told(lake, case, columns, "image_builder_daily") == days


def test_hours_of_all_states_that_are_up_add_up(lake: Lake) -> None:
    first = "and day = '2026-01-02'"

    assert told(lake, "all up", "running_hours_at_least", "image_builder_daily", first) == [3.0]
    assert told(lake, "stop seen", "running_hours_at_least, seen_hours_at_least", "image_builder_daily", first) == [
        (2.0, 4.0)
    ]


@pytest.mark.slow
def test_spans_and_days_are_the_same_after_thinning(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> None:
    import shutil

    mine = Lake(shutil.copytree(lake.store.root, tmp_path_factory.mktemp("thinned") / "warehouse"))
    marts = ("image_builder_state_spans", "image_builder_daily", "scope_days", "running_image_builders", "export_runs")
    before = {mart: mine.sql(f"from {mart} order by all") for mart in marts}
    policy = RetentionSettings(hourly_days=0, daily_days=0, monthly_months=1)
    thinned = expire_snapshots(
        mine.store, now=at((LAST + 1) * 60), policy=policy, tool_version="0", clock=lambda: at((LAST + 1) * 60)
    )

    assert len(thinned.dropped) >= 8
    assert {mart: mine.sql(f"from {mart} order by all") for mart in marts} == before


@pytest.mark.slow
@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata", "Pacific/Auckland"])
def test_marts_are_the_same_whatever_the_readers_time_zone_is(zone: str, lake: Lake) -> None:
    con = duckdb.connect(str(lake.store.resolve_uri("warehouse.duckdb")), read_only=True)
    con.execute(f"set TimeZone = '{zone}'")

    for mart in ("image_builder_daily", "image_builder_state_spans", "agent_currency", "scope_days"):
        found = bare(con.sql(f"from {mart} order by all").to_arrow_table())
        assert found == lake.sql(f"from {mart} order by all")


def usd(text: str) -> Decimal:
    """A price or a cost."""
    return Decimal(text)


@pytest.mark.parametrize(
    ("case", "costs"),
    [
        ("midnight", [(usd("1.0000"), usd("0.0200"), usd("1.0200"), True),
                      (usd("1.5000"), usd("0.0300"), usd("1.5300"), True)]),
        ("size told later", [(usd("1.5000"), usd("1.0000"), usd("2.5000"), True)]),
        ("large disk", [(usd("0.0000"), usd("0.1000"), usd("0.1000"), True)]),
        ("no price", [(None, usd("0.0000"), None, False)]),
        ("no price of hours", [(None, usd("0.0000"), None, False)]),
        ("no price of disk", [(usd("0.5000"), None, None, False)]),
        ("small disk", [(usd("0.5000"), usd("0.0000"), usd("0.5000"), True)]),
    ],
)  # fmt: skip
def test_a_day_costs_its_hours_and_its_large_disk_and_null_where_a_price_is_unknown(
    case: str, costs: list[Any], lake: Lake
) -> None:
    columns = "instance_usd_at_least, disk_usd_at_least, cost_usd_at_least, is_priced"

    assert told(lake, case, columns, "image_builder_daily", "and seen_hours_at_least > 0") == costs


@pytest.mark.parametrize(
    ("case", "cost"),
    [
        ("midnight", [(usd("0.500000"), usd("2.5000"), True)]),
        ("dearer", [(usd("2.000000"), usd("84.5000"), True)]),  # 21 hours at 0.5, 37 at 2
        ("no price", [(None, None, False)]),
        ("no price of hours", [(None, None, False)]),
    ],
)
def test_a_time_up_costs_what_its_hours_cost_on_their_days(case: str, cost: list[Any], lake: Lake) -> None:
    assert told(lake, case, "usd_per_hour, cost_usd_at_least, is_priced", "running_image_builders") == cost


def test_the_list_stands_in_the_warehouse_and_in_the_overview(lake: Lake) -> None:
    assert lake.sql("select count(*), min(source_sha256) from prices") == [(4, "0")]
    columns = "usd_per_hour, disk_usd_per_month"
    assert told(lake, "midnight", columns, "image_builder_overview") == [(usd("0.500000"), usd("7.3000"))]
    assert told(lake, "no price", columns, "image_builder_overview") == [(None, usd("0.0000"))]


@pytest.mark.parametrize(
    ("rows", "dollars"),
    [
        ([price(1), price(2, instance_type="small")], 2),
        ([price(1, region="eu-west-1"), price(2, instance_type="small")], 1),
        ([price(1, platform="WINDOWS"), price(2, instance_type="small")], 2),
        ([price(1, region="eu-west-1", platform="WINDOWS"), price(2, instance_type="small")], 1),
        ([price(1), price(2, valid_from=at(-60))], 2),
        ([price(1, instance_type="small"), price(2, valid_from=at(-60))], 1),
        ([price(1, valid_from=at(60 * 24 * 9))], None),
        ([price(1, region="us-east-1")], None),
        ([], None),
    ],
)
def test_the_price_that_names_most_things_wins_then_the_newest(rows: list[Any], dollars: int | None) -> None:
    con = duckdb.connect()
    con.execute(
        "create table prices (region text, instance_type text, platform text, usd_per_hour double,"
        " disk_usd_per_gb_month double, valid_from timestamptz)"
    )
    for row in rows:
        con.execute(
            "insert into prices values ($region, $instance_type, $platform, $usd_per_hour, $disk_usd_per_gb_month,"
            " $valid_from)",
            {key: value for key, value in row.items() if key != "source_sha256"},
        )
    for macro in MACROS:
        con.execute(f"create macro {macro}")

    asked = "select price_at('eu-west-1', 'small', 'WINDOWS', date '2026-01-03').usd_per_hour"
    assert con.execute(asked).fetchall() == [(dollars,)]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """One snapshot of builders that differ in what AWS says of them, then one in which a scope is denied."""
    made = Lake(tmp_path_factory.mktemp("many") / "warehouse")
    yes, no = {"enable_default_internet_access": True, "disable_imdsv1": False}, {"disable_imdsv1": True}
    new = {"appstream_agent_version": "12-23-2025", "latest_appstream_agent_version": "TRUE"}
    builders = [
        builder("plain", subnets=["s2", "s1", "s1"]),
        builder("open", **yes, **new),
        builder("closed", **no, enable_default_internet_access=False),
        builder("old", **new | {"latest_appstream_agent_version": "false"}),
        builder("odd", appstream_agent_version="2.0.1", latest_appstream_agent_version="maybe"),
    ]
    made.commit_at(0, ok("111122223333/eu-west-1", *builders), ok("444455556666/eu-west-1"))
    made.commit_at(6, ok("111122223333/eu-west-1", *builders), failed("444455556666/eu-west-1"))
    made.commit_at(18, failed("111122223333/eu-west-1"), failed("444455556666/eu-west-1"))
    return made


@pytest.mark.slow
def test_a_builder_without_subnets_or_groups_has_a_row_in_the_network(many: Lake) -> None:
    rows = "select name, subnet_id, security_group_id from image_builder_network where name in ('plain', 'odd')"

    assert many.sql(f"{rows} order by all") == [("odd", None, None), ("plain", "s1", None), ("plain", "s2", None)]
    counts = "select name, subnets, subnet_ids from image_builder_overview where name in ('plain', 'odd') order by 1"
    assert many.sql(counts) == [("odd", 0, None), ("plain", 3, "s1, s1, s2")]


def test_exposure_tells_unknown_from_no(many: Lake) -> None:
    rows = "select name, reaches_internet, allows_imdsv1, exposures, exposed_by from exposure"

    assert many.sql(f"{rows} where name in ('plain', 'open', 'closed') order by 1") == [
        ("closed", False, False, 0, ""),
        ("open", True, True, 2, "internet, imdsv1"),
        ("plain", None, None, 0, ""),
    ]


def test_agents_are_as_old_as_their_version_says(many: Lake) -> None:
    rows = "select name, released_on, is_latest, agent_age_days from agent_currency where name <> 'closed' order by 1"

    assert many.sql(rows) == [
        ("odd", None, None, None),
        ("old", date(2025, 12, 23), False, 10),
        ("open", date(2025, 12, 23), True, 10),
        ("plain", None, None, None),
    ]


def test_runs_tell_how_they_ended(many: Lake) -> None:
    assert many.sql("select seq, outcome, failed_ratio, hours_since_previous from export_runs order by seq") == [
        (1, "complete", 0.0, None),
        (2, "partial", 0.5, 6.0),
        (3, "blind", 1.0, 12.0),
    ]


@pytest.mark.slow
def test_a_mart_is_asked_through_any_name_of_the_catalog(lake: Lake) -> None:
    with connect_warehouse(str(lake.store.root)) as con:
        whole = con.execute("select count(*) from image_builder_daily").fetchall()
    other = duckdb.connect()
    other.execute(f"attach '{lake.store.resolve_uri('warehouse.duckdb')}' as elsewhere (read_only)")

    assert other.execute("select count(*) from elsewhere.main.image_builder_daily").fetchall() == whole
