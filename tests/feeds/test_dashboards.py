"""Every number of the dashboards for Superset and Streamlit is what Python computes from the raw Parquet files."""

import ast
import io
import json
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
import yaml

from appstream_export.contracts import load_contracts
from appstream_export.feeds import V2, build_superset_bundle, build_version_feeds, publish_feeds
from appstream_export.settings import FeedsSettings
from tests.lake.lakes import A, B, C, Lake, at, builder, failed, ok

APP = Path("docs/dashboards/streamlit/app.py")
SETTINGS = FeedsSettings(account_labels=("team",))
UP = {"PENDING", "UPDATING_AGENT", "RUNNING", "REBOOTING"}
USD, GB_USD, DISK_GB = 0.5, 0.1, 500
PRICES = [{"region": "*", "instance_type": "small", "platform": "*", "usd_per_hour": USD,
           "disk_usd_per_gb_month": GB_USD, "valid_from": at(-100_000), "source_sha256": "0"}]  # fmt: skip
ACCOUNTS = [
    {"account_id": "111122223333", "account_name": "one", "source": "settings", "labels_json": '{"team": "x"}'},
    {"account_id": "444455556666", "account_name": None, "source": "settings", "labels_json": None},
]
STEP_H = 10
# What the answers show, from the first to the last; a dot: not there.
STORY: Mapping[str, Mapping[str, str]] = {
    A: {"always": "RRRRRRR", "stops": "RRRSSSS", "gone": "RRR....", "new": "...PRRR", "fails": "SSSSSFF"},
    C: {"free": "RRRRRRR"},
    B: {"stale": "R"},
}
STATES = {"R": "RUNNING", "S": "STOPPED", "P": "PENDING", "F": "FAILED"}
Row = dict[str, Any]
Key = tuple[str, str, str]


def describe(name: str, state: str) -> Row:
    """Return a builder as AWS describes it."""
    more: Row = {"instance_type": "unknown" if name == "free" else "small", "root_volume_size_gb": 200}
    if name == "stops":
        more |= {"root_volume_size_gb": DISK_GB, "appstream_agent_version": "01-01-2025"}
    if name == "always":
        more |= {"enable_default_internet_access": True, "latest_appstream_agent_version": "TRUE"}
    if name == "new":
        more |= {"enable_default_internet_access": True, "disable_imdsv1": False, "errors": ["E1", "E2"]}
    return builder(name, state=state, **more)


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven answers, ten hours apart, from noon of 2026-01-02 on; a scope answers once only."""
    lake = Lake(tmp_path_factory.mktemp("dashboards") / "warehouse")
    for number in range(7):
        answers = []
        for scope, builders in STORY.items():
            seen = [describe(name, STATES[letters[number]]) for name, letters in builders.items()
                    if number < len(letters) and letters[number] != "."]  # fmt: skip
            answers.append(ok(scope, *seen) if number == 0 or scope != B else failed(scope))
        lake.commit_at(number * STEP_H, *answers, accounts=ACCOUNTS, prices=PRICES)
    publish_feeds(lake.store, load_contracts(), SETTINGS)
    return Path(lake.store.root)


class Raw:
    """What the raw files say, in Python: observations of each builder, and what follows from them."""

    def __init__(self, warehouse: Path) -> None:
        self.warehouse = warehouse
        self.manifests = [json.loads(file.read_text()) for file in sorted((warehouse / "commits").glob("*.json"))]
        self.as_of = datetime.fromisoformat(self.manifests[-1]["committed_at"])
        self.seen: dict[Key, dict[datetime, Row]] = defaultdict(dict)
        for manifest in self.manifests:
            for row in self.read(manifest, "image_builders"):
                self.seen[self.key(row)][row["observed_at"].astimezone(UTC)] = row
        self.now = {self.key(row): row for row in self.read(self.manifests[-1], "image_builders")}
        self.errors = Counter(
            (r["account_id"], r["region"], r["image_builder_name"])
            for r in self.read(self.manifests[-1], "image_builder_errors")
        )
        self.scopes = self.read(self.manifests[-1], "scope_runs")

    def read(self, manifest: Row, table: str) -> list[Row]:
        paths = [self.warehouse / file["path"] for file in manifest["tables"][table]["files"]]
        return [row for path in paths for row in pq.read_table(path, partitioning=None).to_pylist()]

    @staticmethod
    def key(row: Row) -> Key:
        return row["account_id"], row["region"], row["name"]

    def periods(self, key: Key) -> Iterator[tuple[datetime, datetime, Row, Row]]:
        times = sorted(self.seen[key])
        for start, end in pairwise(times):
            yield start, end, self.seen[key][start], self.seen[key][end]

    def costs(self) -> dict[tuple[Key, date], tuple[float, float | None]]:
        """Return hours up and dollars of each builder and day; None if there is no price."""
        hours: dict[tuple[Key, date], float] = defaultdict(float)
        usd: dict[tuple[Key, date], float] = defaultdict(float)
        for key in self.seen:
            for start, end, before, after in self.periods(key):
                for day, length in split_at_midnight(start, end):
                    up = length if before["state"] in UP and after["state"] in UP else 0.0
                    hours[key, day] += up
                    paid_gb = max(before["root_volume_size_gb"] - 200, 0)
                    usd[key, day] += up * USD + length * paid_gb * GB_USD / 730
        return {
            (key, day): (hours[key, day], usd[key, day] if self.is_priced(key) else None)
            for key in self.seen
            for day in self.days(key)
        }

    def find_type(self, key: Key) -> str:
        return next(iter(self.seen[key].values()))["instance_type"]

    def is_priced(self, key: Key) -> bool:
        return self.find_type(key) == PRICES[0]["instance_type"]

    def days(self, key: Key) -> list[date]:
        first = min(self.seen[key]).date()
        last = self.as_of.date() if key in self.now else max(self.seen[key]).date()
        return [first + timedelta(days=number) for number in range((last - first).days + 1)]

    def states(self) -> Counter[tuple[date, str]]:
        """Count the builders in each state at the end of each day."""
        found: Counter[tuple[date, str]] = Counter()
        for key in self.seen:
            for day in self.days(key):
                newest = max(time for time in self.seen[key] if time.date() <= day)
                found[day, self.seen[key][newest]["state"]] += 1
        return found

    def rate(self, key: Key) -> float | None:
        row = self.now[key]
        if not self.is_priced(key):
            return None
        disk = max(row["root_volume_size_gb"] - 200, 0) * GB_USD * 12 / 365
        return (24 * USD if row["state"] in UP else 0) + disk

    def up_hours(self, key: Key) -> float | None:
        """Return the hours since the first of the answers that showed it up without a stop; None if it is not up."""
        if self.now[key]["state"] not in UP:
            return None
        times = sorted(self.seen[key], reverse=True)
        up = [time for number, time in enumerate(times)
              if all(self.seen[key][later]["state"] in UP for later in times[: number + 1])]  # fmt: skip
        return (up[0] - up[-1]).total_seconds() / 3600

    def ways(self, key: Key) -> set[str]:
        row = self.now[key]
        found = {"internet": row["enable_default_internet_access"], "imdsv1": row["disable_imdsv1"] is False}
        return {way for way, is_open in found.items() if is_open}

    def changes(self) -> Counter[tuple[date, str]]:
        """Count what changed after the first answer of each scope, by the day of the answer."""
        found: Counter[tuple[date, str]] = Counter()
        for older, newer in pairwise(self.manifests):
            before, after = ({self.key(r): r for r in self.read(m, "image_builders")} for m in (older, newer))
            day = datetime.fromisoformat(newer["committed_at"]).date()
            found[day, "created"] += len(after.keys() - before.keys())
            found[day, "deleted"] += len(before.keys() - after.keys())
            found[day, "changed"] += sum(before[key]["state"] != after[key]["state"] for key in before.keys() & after)
        return +found


def split_at_midnight(start: datetime, end: datetime) -> Iterator[tuple[date, float]]:
    while start < end:
        midnight = datetime.combine(start.date() + timedelta(days=1), datetime.min.time(), UTC)
        until = min(end, midnight)
        yield start.date(), (until - start).total_seconds() / 3600
        start = until


@pytest.fixture(scope="module")
def raw(warehouse: Path) -> Raw:
    return Raw(warehouse)


def name_account(account_id: str) -> str:
    return "one" if account_id == ACCOUNTS[0]["account_id"] else account_id


def sum_by(rows: Iterator[tuple[Any, float | None]], within: float = 0.006) -> dict[Any, float]:
    """Sum as SQL does: null is left out, and a group of nulls alone is null."""
    found: dict[Any, list[float]] = defaultdict(list)
    for group, value in rows:
        found[group] += [] if value is None else [value]
    return {group: pytest.approx(sum(values), abs=within) if values else None for group, values in found.items()}


def compute_truth(raw: Raw) -> dict[str, Any]:
    """Return each number of the dashboards, by what it is."""
    costs, now = raw.costs(), raw.now
    up = {key: hours for key in now if (hours := raw.up_hours(key)) is not None}
    return {
        "builders": len(now),
        "up": len(up),
        "rate": pytest.approx(sum(rate for key in now if (rate := raw.rate(key)) is not None), abs=0.001),
        "missing": sum(row["status"] not in ("ok", "filtered", "skipped") for row in raw.scopes),
        "cost_by_day": sum_by((((day, name_account(key[0])), usd) for (key, day), (_, usd) in costs.items())),
        "cost_by_account": sum_by((name_account(key[0]), usd) for (key, _), (_, usd) in costs.items()),
        "hours_by_account": sum_by(((name_account(key[0]), hours) for (key, _), (hours, _) in costs.items()), 0.06),
        "builders_by_account": Counter(name_account(key[0]) for key in raw.seen),
        "cost_by_type": sum_by((raw.find_type(key), usd) for (key, _), (_, usd) in costs.items()),
        "rate_by_account": sum_by((name_account(key[0]), raw.rate(key)) for key in now),
        "states_by_day": dict(raw.states()),
        "up_hours": {key[2]: pytest.approx(hours, abs=0.051) for key, hours in up.items()},
        "disk": {key[2]: pytest.approx((row["root_volume_size_gb"] - 200) * GB_USD) for key, row in now.items()
                 if row["state"] not in UP and row["root_volume_size_gb"] > 200},
        "ways": dict(Counter(way for key in now for way in raw.ways(key))),
        "exposed": {key[2]: len(raw.ways(key)) for key in now if raw.ways(key)},
        "failing": {key[2]: raw.errors[key] for key, row in now.items() if row["state"] == "FAILED" or raw.errors[key]},
        "old_agents": {key[2]: (row["observed_at"].date() - date(2025, 1, 1)).days for key, row in now.items()
                       if row["appstream_agent_version"]},
        "changes": dict(raw.changes()),
        "runs": len(raw.manifests),
    }  # fmt: skip


@pytest.fixture(scope="module")
def truth(raw: Raw) -> dict[str, Any]:
    found = compute_truth(raw)
    assert all(value for value in found.values() if not hasattr(value, "expected")), "each number is of something"
    return found


def pairs(rows: list[tuple[Any, ...]]) -> dict[Any, Any]:
    return {row[:-1] if len(row) > 2 else row[0]: row[-1] for row in rows}


def load_app() -> Callable[..., str]:
    """Return `build_sql` of the Streamlit program, without Streamlit."""
    names = {"TABLES", "QUERIES", "build_sql"}
    tree = ast.parse(APP.read_text("utf-8"))
    wanted = ast.Module(
        [node for node in tree.body if _get_name(node) in names or isinstance(node, ast.ImportFrom)], []
    )
    found: dict[str, Any] = {}
    exec(compile(wanted, str(APP), "exec"), found)  # noqa: S102 (a program of this repository)
    return found["build_sql"]


def _get_name(node: ast.stmt) -> str | None:
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return node.name if isinstance(node, ast.FunctionDef) else None


@pytest.mark.slow
def test_numbers_of_the_streamlit_dashboard_are_those_of_the_raw_files(warehouse: Path, truth: dict[str, Any]) -> None:
    build = load_app()
    known = {"days": 60, "hours": 12, "old": 180}

    def rows(name: str, columns: str = "*", chosen: Mapping[str, list[str]] | None = None, by: str = "account") -> Any:
        sql = build(name, ["label_team"], chosen or {}, by)
        values = known | {f"chosen_{column}": found for column, found in (chosen or {}).items()}
        given = {key: value for key, value in values.items() if f"${key}" in sql}
        return con.execute(f"select {columns} from ({sql})", given).fetchall()

    with duckdb.connect(str(warehouse / "feeds/v2/bi.duckdb"), read_only=True) as con:
        assert rows("now", "builders, up, usd_per_day, exposed") == [
            (truth["builders"], truth["up"], truth["rate"], len(truth["exposed"]))
        ]
        assert rows("missing") == [(truth["missing"],)]
        assert pairs(rows("cost_by_day", "day, account, usd")) == truth["cost_by_day"]
        assert pairs(rows("who_pays", "payer, usd")) == truth["cost_by_account"]
        assert pairs(rows("who_pays", "payer, usd_this_month")) == truth["cost_by_account"], "it is one month"
        assert pairs(rows("who_pays", "payer, hours")) == truth["hours_by_account"]
        assert pairs(rows("who_pays", "payer, builders")) == truth["builders_by_account"]
        assert pairs(rows("who_pays", "payer, usd", by="instance_type")) == truth["cost_by_type"]
        assert pairs(rows("run_rate", "account, usd_per_day")) == truth["rate_by_account"]
        assert pairs(rows("states_by_day")) == truth["states_by_day"]
        assert pairs(rows("find", "name, up_hours")) == {
            name: truth["up_hours"].get(name) for (name,) in rows("find", "name")
        }
        assert pairs(rows("up_for_long", "name, up_hours")) == {
            name: hours for name, hours in truth["up_hours"].items() if hours.expected >= 12
        }
        assert pairs(rows("paying_for_disk", "name, usd_per_month")) == truth["disk"]
        assert pairs(rows("ways")) == truth["ways"]
        assert pairs(rows("exposed", "name, exposures")) == truth["exposed"]
        assert pairs(rows("failing", "name, errors")) == truth["failing"]
        assert pairs(rows("old_agents", "name, days")) == truth["old_agents"]
        assert pairs(rows("changes_by_day")) == truth["changes"]
        assert len(rows("newest_changes")) == sum(truth["changes"].values())
        assert len(rows("runs")) == truth["runs"]
        assert [count for (count,) in rows("coverage", "count(*) filter (is_missing)")] == [truth["missing"]]
        one = {"account": ["one"], "label_team": ["x"], "state": ["RUNNING"], "region": ["eu-west-1"]}
        assert sorted(name for (name,) in rows("find", "name", one)) == ["always", "new"]
        assert rows("missing", chosen={"region": ["eu-west-1"], "state": ["RUNNING"]}) == [(0,)]


@pytest.mark.slow
def test_numbers_of_the_superset_dashboard_are_those_of_the_raw_files(warehouse: Path, truth: dict[str, Any]) -> None:
    feeds = build_version_feeds(V2, load_contracts(), SETTINGS)
    place = warehouse / "feeds/v2/bi.duckdb"
    with zipfile.ZipFile(io.BytesIO(build_superset_bundle(feeds, str(place), datetime.now(UTC)))) as folder:
        found = [yaml.safe_load(folder.read(name)) for name in folder.namelist()]
    datasets = {d["uuid"]: d for d in found if "table_name" in d}
    charts = {d["slice_name"]: d for d in found if "slice_name" in d}

    def rows(name: str, columns: str | None = None) -> list[tuple[Any, ...]]:
        """Query what Superset queries for a chart; of a table of rows, only the columns."""
        chart = charts[name]
        params, dataset = chart["params"], datasets[chart["dataset_uuid"]]
        source = f"({dataset['sql']})" if dataset["sql"] else dataset["table_name"]
        where = " and ".join(["true", *(f["sqlExpression"] for f in params["adhoc_filters"])])
        metrics = [*params.get("metrics", []), *([params["metric"]] if "metric" in params else [])]
        measured = ["count(*)" if metric == "count" else metric["sqlExpression"] for metric in metrics]
        if params.get("query_mode") == "raw":
            listed = ", ".join(f'"{column}"' for column in params["all_columns"])
            return con.execute(f"select {columns} from (select {listed} from {source} where {where})").fetchall()
        axes = [*([params["x_axis"]] if "x_axis" in params else []), *params.get("groupby", [])]
        axes += [*params.get("groupbyRows", []), *params.get("groupbyColumns", [])]
        asked = ", ".join([*axes, *measured])
        return con.execute(f"select {asked} from {source} where {where} group by all").fetchall()

    name = "split_part(image_builder_key, '/', 3) as name"
    with duckdb.connect(str(place), read_only=True) as con:
        assert rows("Snapshot, UTC") == [(datetime(2026, 1, 5, 0, 0),)]  # noqa: DTZ001 (bi.duckdb has no zones)
        assert rows("Image builders") == [(truth["builders"],)]
        assert rows("Up now") == [(truth["up"],)]
        assert rows("Run rate, USD a day") == [(truth["rate"],)]
        assert rows("Not seen") == [(truth["missing"],)]
        assert pairs(rows("Cost by day")) == truth["cost_by_day"]
        paid = rows("Who pays")
        assert {row[0]: row[1] for row in paid} == truth["cost_by_account"]
        assert {row[0]: row[2] for row in paid} == truth["hours_by_account"]
        assert {row[0]: row[3] for row in paid} == truth["builders_by_account"]
        assert pairs(rows("Run rate by account")) == truth["rate_by_account"]
        assert pairs(rows("Cost by instance type")) == truth["cost_by_type"]
        assert pairs(rows("States by day")) == truth["states_by_day"]
        assert len(rows("Find a builder", "name")) == truth["builders"]
        assert pairs(rows("Up for longest", f"{name}, running_hours_at_least")) == truth["up_hours"]
        assert pairs(rows("Stopped, but paying for disk", f"{name}, disk_usd_per_month")) == truth["disk"]
        assert pairs(rows("Exposed by way")) == truth["ways"]
        assert pairs(rows("Exposed builders", f"{name}, exposures")) == truth["exposed"]
        assert pairs(rows("Failing", f"{name}, errors")) == truth["failing"]
        assert pairs(rows("Old agents", f"{name}, agent_age_days")) == truth["old_agents"]
        assert pairs(rows("Changes by day")) == truth["changes"]
        assert len(rows("Newest changes", "change")) == len(rows("Life: changes", "change"))
        assert len(rows("Newest changes", "change")) == sum(truth["changes"].values())
        assert len(rows("Life: errors", "error_code")) == sum(truth["failing"].values())
        assert len(rows("Runs", "outcome")) == truth["runs"]
        assert len(rows("Not seen, and why", "status")) == truth["missing"]
        assert sum(status != "ok" for *_, status in rows("Coverage")) == truth["missing"]
        states = [letters.replace(".", "") for found in STORY.values() for letters in found.values()]
        assert len(rows("Life: states", "state")) == sum(len(list(groupby(letters))) for letters in states)
        assert len(rows("Feeds", "feed")) == len(feeds)
        numbers = sum(chart["params"].get("query_mode") != "raw" for chart in charts.values())
        assert (numbers, len(charts)) == (13, 26), "each chart is above"
