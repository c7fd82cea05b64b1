"""Questions about money: their rows are those of a calculation in Python, from what AWS answered and when."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from appstream_export.lake.catalog import get_named_query, run_named_query
from tests.lake.lakes import A, B, Lake, at, builder, ok

pytestmark = pytest.mark.slow
UP = {"PENDING", "UPDATING_AGENT", "RUNNING", "REBOOTING"}
USD_PER_HOUR, USD_PER_GB_MONTH, DISK_GB = 0.5, 0.1, 300
STEP_H = 24
PRICES = [{"region": "*", "instance_type": "small", "platform": "*", "usd_per_hour": USD_PER_HOUR,
           "disk_usd_per_gb_month": USD_PER_GB_MONTH, "valid_from": at(-100_000), "source_sha256": "0"}]  # fmt: skip
# From noon of 2026-01-02 to noon of 2026-02-10.
HOURS = range(0, 24 * 39 + 1, STEP_H)
# What each builder is, from which hour on.
STORY: Mapping[str, Mapping[int, str]] = {
    "always": {0: "RUNNING"},
    "weekly": {hour: "RUNNING" if hour // 24 % 7 < 5 else "STOPPED" for hour in HOURS},
    "stopped": {0: "RUNNING", 240: "STOPPED"},
    "late": {24 * 38: "PENDING"},
}


def find_state(name: str, hour: int) -> str | None:
    known = [state for start, state in STORY[name].items() if start <= hour]
    return known[-1] if known else None


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    made = Lake(tmp_path_factory.mktemp("money") / "warehouse")
    for hour in HOURS:
        found = {name: state for name in STORY if (state := find_state(name, hour))}
        disk = {"instance_type": "small", "root_volume_size_gb": DISK_GB}
        there = [builder(name, state=state, **disk) for name, state in found.items()]
        free = [builder("unpriced", state="RUNNING", instance_type="unknown")]
        made.commit_at(hour, ok(A, *there), ok(B, *free), prices=PRICES)
    return made


def split_at_midnight(start: datetime, end: datetime) -> Iterator[tuple[date, float]]:
    """Yield each day of a time, with its hours."""
    while start < end:
        midnight = datetime.combine(start.date() + timedelta(days=1), datetime.min.time(), start.tzinfo)
        until = min(end, midnight)
        yield start.date(), (until - start).total_seconds() / 3600
        start = until


def compute_day_costs() -> tuple[dict[date, float], dict[date, float]]:
    """Return the cost and the hours up of each day: a builder was up between two answers that both show it up."""
    costs: dict[date, float] = defaultdict(float)
    hours: dict[date, float] = defaultdict(float)
    for name in STORY:
        for hour in HOURS[:-1]:
            before, after = find_state(name, hour), find_state(name, hour + STEP_H)
            if before is None:
                continue
            for day, length in split_at_midnight(at(hour * 60), at((hour + STEP_H) * 60)):
                costs[day] += length * (DISK_GB - 200) * USD_PER_GB_MONTH / 730
                if before in UP and after in UP:
                    costs[day] += length * USD_PER_HOUR
                    hours[day] += length
    return costs, hours


def answer(lake: Lake, name: str, **given: str) -> list[dict[str, Any]]:
    return run_named_query(lake.con, get_named_query(name), given).to_pylist()


def test_savings_are_those_of_what_has_been_up_for_long(lake: Lake) -> None:
    rows = answer(lake, "savings", hours="12")

    assert [(row["name"], row["hours"], row["usd_per_day"], row["usd_per_month"]) for row in rows] == [
        ("always", HOURS[-1], 12, 365),
        ("weekly", 39 * 24 % 168, 12, 365),
        ("late", 24, 12, 365),
        ("unpriced", HOURS[-1], None, None),
    ]
    assert {row["total_usd_per_month"] for row in rows} == {3 * 365}
    assert [row["name"] for row in answer(lake, "savings", hours="25")] == ["always", "weekly", "unpriced"]
    assert answer(lake, "savings", hours="12", top="1")[0]["total_usd_per_month"] == 3 * 365, "the total is of all rows"


def test_months_are_compared_by_the_cost_of_a_day_that_was_seen(lake: Lake) -> None:
    costs, hours = compute_day_costs()
    seen = {1: 29.5, 2: 9.5}
    usd = {month: sum(cost for day, cost in costs.items() if day.month == month) for month in seen}
    february, january = answer(lake, "month_over_month")

    for row, month in ((january, 1), (february, 2)):
        assert row["month"] == date(2026, month, 1)
        assert row["days_seen"] == pytest.approx(seen[month], abs=0.05)
        assert float(row["usd"]) == pytest.approx(usd[month], abs=0.01)
        assert float(row["usd_per_day"]) == pytest.approx(usd[month] / seen[month], abs=0.01)
        of_unpriced = seen[month] * 24
        assert row["hours"] == pytest.approx(
            sum(up for day, up in hours.items() if day.month == month) + of_unpriced, abs=0.1
        )
        assert row["unpriced"] == 1
    change = (usd[2] / seen[2]) / (usd[1] / seen[1]) - 1
    assert (january["change_percent"], february["change_percent"]) == (None, pytest.approx(100 * change, abs=0.06))
    assert (january["builders"], february["builders"]) == (4, 5)


def test_the_forecast_adds_the_mean_of_the_last_whole_days(lake: Lake) -> None:
    costs, _ = compute_day_costs()
    newest, days = date(2026, 2, 10), 7
    mean = sum(costs[newest - timedelta(days=back)] for back in range(1, days + 1)) / days
    rows = answer(lake, "month_forecast")

    assert [row["day"] for row in rows] == [date(2026, 2, day) for day in range(1, 29)]
    assert [row["basis"] for row in rows] == ["seen"] * 9 + ["seen in part"] + ["forecast"] * 18
    expected = [costs[row["day"]] for row in rows[:9]] + [costs[newest] + mean / 2] + [mean] * 18
    assert [float(row["usd"]) for row in rows] == pytest.approx(expected, abs=0.01)
    assert float(rows[-1]["month_usd"]) == pytest.approx(sum(expected), abs=0.02)


def test_before_a_whole_day_was_seen_the_forecast_is_what_it_costs_now(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    made = Lake(tmp_path_factory.mktemp("first") / "warehouse")
    up = builder("a", state="RUNNING", instance_type="small", root_volume_size_gb=DISK_GB)
    down = builder("b", state="STOPPED", instance_type="small", root_volume_size_gb=DISK_GB)
    made.commit_at(0, ok(A, up, down), prices=PRICES)
    rows = answer(made, "month_forecast")
    per_day = 24 * USD_PER_HOUR + 2 * (DISK_GB - 200) * USD_PER_GB_MONTH * 12 / 365

    assert [row["basis"] for row in rows[:3]] == ["not seen", "seen in part", "forecast"]
    assert [row["usd"] for row in rows[:1]] == [None]
    assert [float(row["usd"]) for row in rows[1:3]] == pytest.approx([per_day / 2, per_day], abs=0.01)
    assert float(rows[-1]["month_usd"]) == pytest.approx(per_day * 29.5, abs=0.01)


def test_without_a_price_the_forecast_is_unknown_and_not_nothing(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "warehouse")
    lake.commit(ok(A, builder("a", state="RUNNING")))
    lake.commit(ok(A, builder("a", state="RUNNING")))
    rows = run_named_query(lake.con, get_named_query("month_forecast"), {}).to_pylist()

    assert {row["usd"] for row in rows} == {None}
    assert {row["unpriced"] for row in rows if row["basis"] == "seen in part"} == {1}
