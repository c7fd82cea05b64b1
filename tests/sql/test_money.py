"""What questions say that builders cost, against a calculation of its own: Python, from the demo's AWS and price list.

It knows the items that AWS had at each moment, which scopes answered, and when; no SQL of ours but the time of answers.
"""

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import duckdb
import pytest

from appstream_export import demo as demo_module
from appstream_export.contracts import load_contract_set
from appstream_export.demo import play_demo
from appstream_export.emulator import Estate
from appstream_export.emulator.estate import (
    ACCOUNTS,
    BROKEN_SCOPE,
    DAMAGED_SCOPE,
    DENIED_SCOPE,
    DISABLED_SCOPE,
    REGIONS,
    SCP_DENIED_SCOPE,
)
from appstream_export.emulator.estate_resources import UNTAGGED_ACCOUNTS
from appstream_export.lake.catalog import connect_warehouse
from appstream_export.lake.catalog.named_queries import get_named_query, run_named_query
from appstream_export.model import Scope
from tests.sql.test_questions import commit_alone

FRIDAY = datetime(2026, 1, 9, 8, tzinfo=UTC)
RESOURCES = ["image_builders", "tags", "app_block_builders", "app_block_builder_tags"]
# Moments at which a scope does not answer; the first two never do.
SILENT = {
    DISABLED_SCOPE: {0, 1, 2, 3}, SCP_DENIED_SCOPE: {0, 1, 2, 3},
    DENIED_SCOPE: {1, 2, 3}, BROKEN_SCOPE: {1}, DAMAGED_SCOPE: {2, 3},
}  # fmt: skip
UP = {"PENDING", "UPDATING_AGENT", "RUNNING", "REBOOTING"}
HOURS_PER_MONTH = 730
CENT = 0.011  # two figures rounded to cents
Warehouse = tuple[Path, Estate]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    folder = tmp_path_factory.mktemp("money") / "d"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo_module, "execute_run", commit_alone)
        assert len(list(play_demo(folder, Event(), FRIDAY, resources=RESOURCES))) == 4
    return folder, Estate(opening=FRIDAY)


@pytest.fixture(scope="module")
def con(warehouse: Warehouse) -> Iterator[duckdb.DuckDBPyConnection]:
    contracts = load_contract_set(resources=RESOURCES)
    with closing(connect_warehouse(str(warehouse[0] / "warehouse"), load_contracts=lambda: contracts)) as connected:
        yield connected


@dataclass
class Day:
    up: float = 0.0
    there: float = 0.0


@dataclass
class Life:
    """A builder from its creation to its deletion, as the answers showed it."""

    scope: Scope
    item: dict[str, Any]
    is_there: bool = True
    days: dict[date, Day] = field(default_factory=lambda: defaultdict(Day))
    up_since: datetime | None = None
    last_seen: datetime = FRIDAY

    @property
    def name(self) -> str:
        return self.item["Name"]

    def add(self, begin: datetime, end: datetime, *, is_up: bool) -> None:
        """Hours of a time between two answers, on its days."""
        while begin < end:
            midnight = datetime.combine(begin.date() + timedelta(1), time(), UTC)
            hours = (min(end, midnight) - begin).total_seconds() / 3600
            day = self.days[begin.date()]
            day.there += hours
            day.up += hours if is_up else 0
            begin = midnight

    @property
    def hours_up(self) -> float:
        """Hours since it was first seen up, with no stop seen since."""
        return (self.last_seen - self.up_since).total_seconds() / 3600 if self.up_since else 0.0

    @property
    def large_gb(self) -> int:
        """What it pays of its root volume."""
        return max((self.item.get("RootVolumeConfig") or {}).get("VolumeSizeInGb", 200) - 200, 0)

    def cost_day(self, day: Day, price: tuple[float, float] | None) -> tuple[float, float] | None:
        """Instance and disk, as a day's row has them: to four places; None where no price is known."""
        if price is None:
            return None
        return day.up * price[0], day.there * self.large_gb * price[1] / HOURS_PER_MONTH


@pytest.fixture(scope="module")
def prices(warehouse: Warehouse) -> Mapping[tuple[str, str], tuple[float, float]]:
    with (warehouse[0] / "prices.csv").open() as file:
        return {
            (row["instance_type"], row["platform"]): (float(row["usd_per_hour"]), float(row["disk_usd_per_gb_month"]))
            for row in csv.DictReader(file)
        }


@pytest.fixture(scope="module")
def lives(warehouse: Warehouse, con: duckdb.DuckDBPyConnection) -> list[Life]:
    answered_at: dict[Scope, list[datetime]] = defaultdict(list)
    for account, region, at in con.execute(
        "select account_id, region, observed_at from scope_runs_history "
        "where resource = 'image_builders' and status = 'ok' order by observed_at"
    ).fetchall():
        answered_at[Scope(account, region)].append(at.astimezone(UTC))
    found: list[Life] = []
    for scope in (Scope(account, region) for account in ACCOUNTS for region in REGIONS):
        moments = [moment for moment in range(4) if moment not in SILENT.get(scope, set())]
        assert len(answered_at[scope]) == len(moments), scope
        found += follow_scope(warehouse[1], scope, dict(zip(moments, answered_at[scope], strict=True)))
    return found


def follow_scope(estate: Estate, scope: Scope, answers: Mapping[int, datetime]) -> Iterator[Life]:
    """The lives of a scope's builders: hours count between two answers that both show it, or both show it up."""
    living: dict[str, Life] = {}
    before = FRIDAY
    for moment, at in answers.items():
        items = {item["Name"]: item for item in estate.list_items(moment, scope)}
        for name in [*living]:
            if living[name].item["CreatedTime"] != items.get(name, {}).get("CreatedTime"):
                gone = living.pop(name)
                gone.is_there = False
                yield gone
        for name, item in items.items():
            is_up = item["State"] in UP
            if name in living:
                life = living[name]
                life.add(before, at, is_up=is_up and life.item["State"] in UP)
            else:
                life = living[name] = Life(scope, item)
                life.days[at.date()]  # it has a day, though no hours yet
            life.up_since = (life.up_since or at) if is_up else None
            life.last_seen, life.item = at, item
        before = at
    yield from living.values()


def get_price(life: Life, prices: Mapping[tuple[str, str], tuple[float, float]]) -> tuple[float, float] | None:
    kind, platform = life.item["InstanceType"], life.item.get("Platform", "*")
    return prices.get((kind, platform)) or prices.get((kind, "*"))


def owner(life: Life, key: str = "owner") -> str | None:
    """The value of a tag, which builders of the first moment have."""
    team = ACCOUNTS[life.scope.account_id].partition("-")[0]
    is_first = life.item["CreatedTime"] <= FRIDAY.timestamp()
    if life.scope.account_id in UNTAGGED_ACCOUNTS or not life.is_there or not is_first:
        return None
    exempt = "true" if "gpu-test" in life.name else None
    return {"owner": team, "cost_centre": "4100" if team < "m" else "4200", "Skip_Stop": exempt}[key]


def add_up(lives: list[Life], prices: Mapping[tuple[str, str], tuple[float, float]]) -> tuple[Any, ...]:
    """Builders, hours, dollars (None if no day has a price), and builders without a price."""
    costs = [
        cost for life in lives for day in life.days.values() if (cost := life.cost_day(day, get_price(life, prices)))
    ]
    unpriced = {(life.scope, life.name) for life in lives if get_price(life, prices) is None}
    hours = sum(day.up for life in lives for day in life.days.values())
    usd = sum(map(sum, costs)) if any(get_price(life, prices) for life in lives) else None
    return len({(life.scope, life.name) for life in lives}), hours, usd, len(unpriced)


def ask(con: duckdb.DuckDBPyConnection, name: str, **parameters: str) -> list[dict[str, Any]]:
    return run_named_query(con, get_named_query(name, load_contract_set(resources=RESOURCES)), parameters).to_pylist()


def same(row: Mapping[str, Any], expected: tuple[Any, ...]) -> bool:
    builders, hours, usd, unpriced = expected
    counts = (row["builders"], row["unpriced"]) == (builders, unpriced)
    money = row["usd"] == usd if None in (row["usd"], usd) else float(row["usd"]) == pytest.approx(usd, abs=CENT)
    return counts and money and row["hours"] == pytest.approx(hours, abs=0.051)


@pytest.mark.parametrize("tag", ["owner", "cost_centre", "Skip_Stop"])
def test_costs_per_tag(tag: str, con: duckdb.DuckDBPyConnection, lives: list[Life], prices: Any) -> None:
    groups: dict[str | None, list[Life]] = defaultdict(list)
    for life in lives:
        groups[owner(life, tag)].append(life)
    rows = {row["value"]: row for row in ask(con, "cost_per_tag", tag=tag)}

    assert rows.keys() == groups.keys()
    assert [(v, rows[v], add_up(groups[v], prices)) for v in rows if not same(rows[v], add_up(groups[v], prices))] == []
    assert sum(float(row["usd"] or 0) for row in rows.values()) > 1000


def test_costs_per_team(con: duckdb.DuckDBPyConnection, lives: list[Life], prices: Any) -> None:
    teams = defaultdict(list)
    for life in lives:
        teams[ACCOUNTS[life.scope.account_id].partition("-")[0]].append(life)
    rows = {row["label"]: row for row in ask(con, "cost_per_label")}

    assert rows.keys() == teams.keys()
    assert [(t, rows[t], add_up(teams[t], prices)) for t in rows if not same(rows[t], add_up(teams[t], prices))] == []


def differ(rows: list[dict[str, Any]], truth: Mapping[tuple[str, ...], tuple[float, float | None]]) -> list[Any]:
    """Rows with other hours or dollars than the truth has, by account, region and name."""
    found = {(row["account"], row["region"], row["name"]): (row["hours"], row["usd"]) for row in rows}
    assert found.keys() == truth.keys()
    return [
        (key, found[key], truth[key])
        for key in found
        if found[key][0] != pytest.approx(truth[key][0], abs=0.051)
        or (found[key][1] is None) != (truth[key][1] is None)
        or float(found[key][1] or 0) != pytest.approx(truth[key][1] or 0, abs=CENT)
    ]


def place(life: Life) -> tuple[str, ...]:
    return ACCOUNTS[life.scope.account_id], life.scope.region, life.name


def multiply(hours: float, price: tuple[float, float] | None) -> float | None:
    return None if price is None else hours * price[0]


def test_costs_of_what_runs(con: duckdb.DuckDBPyConnection, lives: list[Life], prices: Any) -> None:
    up = [life for life in lives if life.is_there and life.up_since]
    truth = {place(life): (life.hours_up, multiply(life.hours_up, get_price(life, prices))) for life in up}
    rows = ask(con, "running_per_tag", hours="0", top="1000")

    assert len(truth) > 50
    assert differ(ask(con, "running_over", hours="0", top="1000"), truth) == []
    assert differ(rows, truth) == []
    assert {(row["account"], row["region"], row["name"]): (row["tag_value"], row["is_exempt"]) for row in rows} == {
        place(life): (owner(life), owner(life, "Skip_Stop") is not None) for life in up
    }


def test_costs_of_the_weekend(con: duckdb.DuckDBPyConnection, lives: list[Life], prices: Any) -> None:
    weekend = FRIDAY.date() + timedelta(1), FRIDAY.date() + timedelta(2)
    hours: dict[tuple[str, ...], float] = defaultdict(float)
    price = {}
    for life in lives:
        hours[place(life)] += sum(life.days[day].up for day in weekend if day in life.days)
        price[place(life)] = get_price(life, prices)
    truth = {key: (spent, multiply(spent, price[key])) for key, spent in hours.items() if spent >= 12}

    assert len(truth) > 50
    assert differ(ask(con, "left_on_weekend", top="1000"), truth) == []


def test_costs_of_disks_that_are_not_up(con: duckdb.DuckDBPyConnection, lives: list[Life], prices: Any) -> None:
    truth = {
        place(life): (
            life.large_gb + 200,
            None if (price := get_price(life, prices)) is None else life.large_gb * price[1],
        )
        for life in lives
        if life.is_there and life.item["State"] not in UP and life.large_gb
    }
    rows = ask(con, "stopped_with_disk", top="1000")

    assert truth
    assert differ([{**row, "hours": row["gb"], "usd": row["usd_per_month"]} for row in rows], truth) == []


def test_costs_of_app_block_builders_per_tag(con: duckdb.DuckDBPyConnection) -> None:
    # One runs in each of two regions, large, from the first answer to the last, which comes 72 hours later.
    [row] = ask(con, "app_block_builder_cost_per_tag")
    [(first, last)] = con.execute(
        "select min(observed_at), max(observed_at) from scope_runs_history where resource = 'app_block_builders'"
    ).fetchall()

    assert (row["value"], row["builders"], row["unpriced"]) == ("media", 2, 0)
    assert row["hours"] == pytest.approx(2 * 72, abs=0.1)
    assert float(row["usd"]) == pytest.approx(2 * (last - first).total_seconds() / 3600 * 0.21, abs=0.02)


def test_costs_per_account(con: duckdb.DuckDBPyConnection, lives: list[Life], prices: Any) -> None:
    rows = {row["account"]: row for row in ask(con, "cost_per_account")}
    truth = {
        name: add_up([life for life in lives if life.scope.account_id == a], prices) for a, name in ACCOUNTS.items()
    }

    assert rows.keys() == truth.keys()
    assert [(name, rows[name], truth[name]) for name in rows if not same(rows[name], truth[name])] == []
