"""Every number of the dashboards for Superset and Streamlit is what Python computes from the raw Parquet files."""

import ast
import io
import json
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
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
HOURS = 12
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
        self.status = {(row["account_id"], row["region"]): row["status"] for row in self.scopes}

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

    def list_builders(self) -> list[Row]:
        """Return the builders that exist, with all that tables of the dashboards show of them."""
        return [self.describe_now(key) for key in self.now]

    def describe_now(self, key: Key) -> Row:
        row, up, rate, errors = self.now[key], self.up_hours(key), self.rate(key), self.read_elements(key)
        subnets, ways = self.read_elements(key, "image_builder_subnets", "subnet_id"), self.ways(key)
        gb, hour = row["root_volume_size_gb"], USD if self.is_priced(key) else None
        day = 24 * hour if hour is not None else None
        age = (row["observed_at"].date() - date(2025, 1, 1)).days if row["appstream_agent_version"] else None
        disk = (gb - 200) * GB_USD if self.is_priced(key) else None
        now = {
            "account": name_account(key[0]), "name": key[2], "image_builder_key": "/".join(key),
            "observed_at_utc": to_utc(row["observed_at"]), "created_time_utc": row["created_time"],
            "is_stale": self.status[key[:2]] != "ok", "is_running": row["state"] in UP,
            "running_hours_at_least": up, "up_hours": up, "run_rate_usd_per_day": rate, "usd_per_day": rate,
            "running_since_utc": None if up is None else to_utc(row["observed_at"] - timedelta(hours=up)),
            "gb": gb, "disk_usd_per_month": disk, "usd_per_month": disk, "saves_usd_per_day": day,
            "exposures": len(ways), "exposed_by": ", ".join(ways), "errors": len(errors),
            "error_codes": ", ".join(errors) or None, "agent": row["appstream_agent_version"],
            "agent_age_days": age, "days_old": age, "subnet_ids": ", ".join(subnets) or None,
            "security_group_ids": None, "vpce_ids": None,
        }  # fmt: skip
        return {column: value for column, value in row.items() if column not in now} | now

    def read_elements(self, key: Key, table: str = "image_builder_errors", column: str = "error_code") -> list[str]:
        rows = self.read(self.manifests[-1], table)
        return sorted(r[column] for r in rows if (r["account_id"], r["region"], r["image_builder_name"]) == key)

    def list_spans(self) -> list[Row]:
        """Return the periods in which answers in a row showed the same state, without a pause."""
        return [span for key in self.seen for span in self.list_spans_of(key)]

    def list_spans_of(self, key: Key) -> Iterator[Row]:
        spans = [(state, [time for time, _ in seen]) for state, seen in groupby(
            sorted(self.seen[key].items()), lambda found: found[1]["state"])]  # fmt: skip
        for number, (state, times) in enumerate(spans):
            is_last = number == len(spans) - 1
            hours = (times[-1] - times[0]).total_seconds() / 3600
            yield {
                "image_builder_key": "/".join(key), "life": 1, "state": state, "hours": hours, "hours_at_least": hours,
                "first_observed_at_utc": to_utc(times[0]), "last_observed_at_utc": to_utc(times[-1]),
                "ended_by": "changed" if not is_last else None if key in self.now else "deleted",
            }  # fmt: skip

    def list_changes(self) -> list[Row]:
        """Return what each snapshot changed, but for what the first answer of a scope showed."""
        found = []
        for older, newer in pairwise(self.manifests):
            before, after = ({self.key(r): r for r in self.read(m, "image_builders")} for m in (older, newer))
            when = datetime.fromisoformat(newer["committed_at"])
            for key in sorted(before.keys() | after.keys()):
                old, new = before.get(key), after.get(key)
                what: Row = {
                    "image_builder_key": "/".join(key), "name": key[2], "account": name_account(key[0]),
                    "region": key[1], "observed_at_utc": to_utc(when), "column_name": None, "before": None,
                    "after": None,
                }  # fmt: skip
                if old is None or new is None:
                    found.append(what | {"change": "created" if old is None else "deleted"})
                else:
                    columns = [c for c in old if c != "observed_at" and old[c] != new[c]]
                    found += [
                        what | {"change": "changed", "column_name": c, "before": old[c], "after": new[c]}
                        for c in columns
                    ]
        return found

    def list_errors(self) -> list[Row]:
        rows = self.read(self.manifests[-1], "image_builder_errors")
        return [
            {"image_builder_key": f"{r['account_id']}/{r['region']}/{r['image_builder_name']}",
             "error_code": r["error_code"], "error_message": r["error_message"],
             "error_timestamp_utc": r["error_timestamp"]} for r in rows
        ]  # fmt: skip

    def list_scopes(self) -> list[Row]:
        return [
            {"account": name_account(r["account_id"]), "region": r["region"], "resource": r["resource"],
             "status": r["status"], "reason": r["reason"], "observed_at_utc": to_utc(r["observed_at"]),
             "is_missing": r["status"] != "ok",
             "age_hours": (self.as_of - r["observed_at"]).total_seconds() / 3600} for r in self.scopes
        ]  # fmt: skip

    def list_runs(self) -> list[Row]:
        """Return the runs; the first one's changes are the builders that it found."""
        changed = Counter(change["observed_at_utc"] for change in self.list_changes())
        found = []
        for number, manifest in enumerate(self.manifests):
            when = datetime.fromisoformat(manifest["committed_at"])
            failed = sum(row["status"] != "ok" for row in self.read(manifest, "scope_runs"))
            found.append({
                "committed_at_utc": to_utc(when), "outcome": "partial" if failed else "complete",
                "tasks_ok": len(self.read(manifest, "scope_runs")) - failed, "tasks_failed": failed,
                "changes": changed[to_utc(when)] if number else len(self.read(manifest, "image_builders")),
                "duration_s": (when - datetime.fromisoformat(manifest["started_at"])).total_seconds(),
            })  # fmt: skip
        return found

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

    def ways(self, key: Key) -> list[str]:
        row = self.now[key]
        found = {"internet": row["enable_default_internet_access"], "imdsv1": row["disable_imdsv1"] is False}
        return [way for way, is_open in found.items() if is_open]

    def changes(self) -> Counter[tuple[date, str]]:
        """Count what changed after the first answer of each scope, by the day of the answer."""
        return Counter((change["observed_at_utc"].date(), change["change"]) for change in self.list_changes())


def to_utc(moment: datetime) -> datetime:
    """Return the moment as bi.duckdb has it: UTC without a zone."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def split_at_midnight(start: datetime, end: datetime) -> Iterator[tuple[date, float]]:
    while start < end:
        midnight = datetime.combine(start.date() + timedelta(days=1), datetime.min.time(), UTC)
        until = min(end, midnight)
        yield start.date(), (until - start).total_seconds() / 3600
        start = until


@pytest.fixture(scope="module")
def raw(warehouse: Path) -> Raw:
    return Raw(warehouse)


def find_team(account_id: str) -> str:
    return "x" if account_id == ACCOUNTS[0]["account_id"] else "none"


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
        "cost_of_all_by_day": sum_by((day, usd) for (_, day), (_, usd) in costs.items()),
        "cost_by_region": sum_by((key[1], usd) for (key, _), (_, usd) in costs.items()),
        "cost_by_team": sum_by((find_team(key[0]), usd) for (key, _), (_, usd) in costs.items()),
        "cost_by_account": sum_by((name_account(key[0]), usd) for (key, _), (_, usd) in costs.items()),
        "hours_by_account": sum_by(((name_account(key[0]), hours) for (key, _), (hours, _) in costs.items()), 0.06),
        "builders_by_account": Counter(name_account(key[0]) for key in raw.seen),
        "cost_by_type": sum_by((raw.find_type(key), usd) for (key, _), (_, usd) in costs.items()),
        "rate_by_account": sum_by((name_account(key[0]), raw.rate(key)) for key in now),
        "states_by_day": dict(raw.states()),
        "up_long": {key[2] for key, hours in up.items() if hours >= HOURS},
        "disk": {key[2] for key, row in now.items() if row["state"] not in UP and row["root_volume_size_gb"] > 200},
        "ways": dict(Counter(way for key in now for way in raw.ways(key))),
        "exposed": {key[2] for key in now if raw.ways(key)},
        "failing": {key[2] for key, row in now.items() if row["state"] == "FAILED" or raw.errors[key]},
        "old_agents": {key[2] for key, row in now.items() if row["appstream_agent_version"]},
        "changes": dict(raw.changes()),
        "first_seen": len(raw.read(raw.manifests[0], "image_builders")),
        "unpriced": sum(raw.rate(key) is None for key in now),
    }  # fmt: skip


@pytest.fixture(scope="module")
def truth(raw: Raw) -> dict[str, Any]:
    found = compute_truth(raw)
    assert all(value for value in found.values() if not hasattr(value, "expected")), "each number is of something"
    return found


def check_rows(rows: Iterable[Row], expected: Iterable[Row]) -> None:
    """Check that rows are those of the raw files, in any order; each of their columns must be known there."""
    found, wanted = list(rows), list(expected)
    columns = list(found[0])
    assert wanted, "nothing to compare with"
    assert [column for column in columns if column not in wanted[0]] == []
    found, wanted = ([{c: row[c] for c in columns} for row in table] for table in (found, wanted))
    order = lambda row: repr([v for v in row.values() if not isinstance(v, float)])  # noqa: E731
    for row, other in zip(sorted(found, key=order), sorted(wanted, key=order), strict=True):
        assert row == {c: pytest.approx(v, abs=0.051) if isinstance(v, float) else v for c, v in other.items()}


def pairs(rows: list[tuple[Any, ...]]) -> dict[Any, Any]:
    return {row[:-1] if len(row) > 2 else row[0]: row[-1] for row in rows}


def load_app() -> tuple[Callable[..., str], set[str]]:
    """Return `build_sql` of the Streamlit program, without Streamlit, and the names of its queries."""
    names = {"FACTS", "FACT", "TABLES", "QUERIES", "LAST_DAY", "MERGED", "build_sql"}
    tree = ast.parse(APP.read_text("utf-8"))
    wanted = ast.Module(
        [node for node in tree.body if _get_name(node) in names or isinstance(node, ast.ImportFrom)], []
    )
    found: dict[str, Any] = {}
    exec(compile(wanted, str(APP), "exec"), found)  # noqa: S102 (a program of this repository)
    return found["build_sql"], set(found["QUERIES"])


def _get_name(node: ast.stmt) -> str | None:
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return node.name if isinstance(node, ast.FunctionDef) else None


@pytest.mark.slow
def test_numbers_of_the_streamlit_dashboard_are_those_of_the_raw_files(
    warehouse: Path, raw: Raw, truth: dict[str, Any]
) -> None:
    build, queries = load_app()
    known: Row = {"days": 60, "hours": HOURS, "old": 180, "shown": 9, "lines": 1000}
    seen = set()

    def table(
        name: str, chosen: Mapping[str, list[str]] | None = None, by: str = "account", **values: Any
    ) -> list[Row]:
        seen.add(name)
        sql = build(name, ["label_team"], chosen or {}, by)
        values = known | values | {f"chosen_{column}": found for column, found in (chosen or {}).items()}
        cursor = con.execute(sql, {key: value for key, value in values.items() if f"${key}" in sql})
        columns = [column for column, *_ in cursor.description]
        return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]

    def rows(name: str, *columns: str, by: str = "account", **values: Any) -> dict[Any, Any]:
        return pairs([tuple(row[c] for c in columns) for row in table(name, by=by, **values)])

    builders, spans, changes = raw.list_builders(), raw.list_spans(), raw.list_changes()
    with duckdb.connect(str(warehouse / "feeds/v2/bi.duckdb"), read_only=True) as con:
        [status], [now] = table("status"), table("now")
        assert (status["as_of"], status["why"]) == (to_utc(raw.as_of), None)
        assert status["snapshot_id"] == raw.manifests[-1]["snapshot_id"]
        assert now == {
            "builders": truth["builders"], "up": truth["up"], "usd_per_day": truth["rate"],
            "exposed": len(truth["exposed"]), "unpriced": truth["unpriced"],
        }  # fmt: skip
        assert table("missing") == [{"scopes": truth["missing"]}]
        assert [row["found"] for row in table("choices", by="state")] == sorted({row["state"] for row in builders})
        assert rows("cost_by_day", "day", "payer", "usd") == truth["cost_by_day"]
        assert rows("cost_by_day", "day", "usd", shown=0) == truth["cost_of_all_by_day"]
        assert {row["payer"] for row in table("cost_by_day", shown=0)} == {"2 others"}
        assert {row["payer"] for row in table("cost_by_day", shown=1)} == {"one", ACCOUNTS[1]["account_id"]}
        assert rows("who_pays", "payer", "usd") == truth["cost_by_account"]
        assert rows("who_pays", "payer", "usd_this_month") == truth["cost_by_account"], "it is one month"
        assert rows("who_pays", "payer", "up_hours") == truth["hours_by_account"]
        assert rows("who_pays", "payer", "builders") == truth["builders_by_account"]
        for by, what in (("instance_type", "type"), ("region", "region"), ("label_team", "team")):
            assert rows("who_pays", "payer", "usd", by=by) == truth[f"cost_by_{what}"]
        assert rows("run_rate", "payer", "usd_per_day") == truth["rate_by_account"]
        assert rows("run_rate", "payer", "usd_per_day", shown=0) == {"2 others": round(truth["rate"].expected, 2)}
        assert rows("states_by_day", "day", "state", "builders") == truth["states_by_day"]
        check_rows(table("find"), builders)
        for name, which in (("up_for_long", "up_long"), ("paying_for_disk", "disk"), ("exposed", "exposed"),
                            ("failing", "failing"), ("old_agents", "old_agents")):  # fmt: skip
            check_rows(table(name), [row for row in builders if row["name"] in truth[which]])
        assert rows("ways", "way", "builders") == truth["ways"]
        assert rows("changes_by_day", "day", "change", "changes") == truth["changes"]
        check_rows(table("newest_changes"), changes)
        check_rows(table("coverage"), raw.list_scopes())
        check_rows(table("runs"), raw.list_runs())
        for key in raw.seen:
            text = "/".join(key)
            if key in raw.now:
                check_rows(table("life_now", key=text), [raw.describe_now(key)])
            check_rows(table("life_spans", key=text), [row for row in spans if row["image_builder_key"] == text])
            days = [(day, *found) for (of, day), found in raw.costs().items() if of == key]
            check_rows(
                table("life_days", key=text), [{"day": day, "hours": hours, "usd": usd} for day, hours, usd in days]
            )
            first = {"observed_at_utc": to_utc(min(raw.seen[key])), "change": "first_seen", "column_name": None,
                     "before": None, "after": None}  # fmt: skip
            own = [row for row in changes if row["image_builder_key"] == text]
            check_rows(table("life_changes", key=text), own if key[2] == "new" else [*own, first])
        key = next("/".join(key) for key in raw.errors)
        check_rows(table("life_errors", key=key), raw.list_errors())
        assert len(raw.errors) == 1, "one builder has errors"
        assert seen == queries, "each query is above"
        one = {"account": ["one"], "label_team": ["x"], "state": ["RUNNING"], "region": ["eu-west-1"]}
        assert sorted(row["name"] for row in table("find", one)) == ["always", "new"]
        assert table("missing", {"region": ["eu-west-1"], "state": ["RUNNING"]}) == [{"scopes": 0}]


@pytest.mark.slow
def test_numbers_of_the_superset_dashboard_are_those_of_the_raw_files(
    warehouse: Path, raw: Raw, truth: dict[str, Any]
) -> None:
    feeds = build_version_feeds(V2, load_contracts(), SETTINGS)
    place = warehouse / "feeds/v2/bi.duckdb"
    with zipfile.ZipFile(io.BytesIO(build_superset_bundle(feeds, str(place), datetime.now(UTC)))) as folder:
        found = [yaml.safe_load(folder.read(name)) for name in folder.namelist()]
    datasets = {d["uuid"]: d for d in found if "table_name" in d}
    charts = {d["slice_name"]: d for d in found if "slice_name" in d}

    def query(name: str) -> tuple[str, str]:
        """Return what Superset reads for a chart: the dataset, and the condition."""
        chart = charts[name]
        dataset = datasets[chart["dataset_uuid"]]
        source = f"({dataset['sql']})" if dataset["sql"] else dataset["table_name"]
        return source, " and ".join(["true", *(f["sqlExpression"] for f in chart["params"]["adhoc_filters"])])

    def table(name: str) -> list[Row]:
        """Return the rows of a chart that lists rows."""
        seen.add(name)
        (source, where), columns = query(name), charts[name]["params"]["all_columns"]
        listed = ", ".join(f'"{column}"' for column in columns)
        found = con.execute(f"select {listed} from {source} where {where}").fetchall()
        return [dict(zip(columns, row, strict=True)) for row in found]

    def rows(name: str) -> list[tuple[Any, ...]]:
        """Return the rows of a chart that draws numbers: what it groups by, then its numbers."""
        seen.add(name)
        (source, where), params = query(name), charts[name]["params"]
        metrics = [*params.get("metrics", []), *([params["metric"]] if "metric" in params else [])]
        measured = ["count(*)" if metric == "count" else metric["sqlExpression"] for metric in metrics]
        axes = [*([params["x_axis"]] if "x_axis" in params else []), *params.get("groupby", [])]
        axes += [*params.get("groupbyRows", []), *params.get("groupbyColumns", [])]
        asked = ", ".join([*axes, *measured])
        return con.execute(f"select {asked} from {source} where {where} group by all").fetchall()

    seen: set[str] = set()
    builders, changes, scopes = raw.list_builders(), raw.list_changes(), raw.list_scopes()
    with duckdb.connect(str(place), read_only=True) as con:
        assert rows("Snapshot, UTC") == [(to_utc(raw.as_of),)]
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
        assert pairs(rows("Exposed by way")) == truth["ways"]
        assert pairs(rows("Changes by day")) == truth["changes"]
        assert pairs(rows("Coverage")) == {(row["account"], row["region"]): row["status"] for row in scopes}
        check_rows(table("Find a builder"), builders)
        for name, which in (("Stopped, but paying for disk", "disk"), ("Exposed builders", "exposed"),
                            ("Failing", "failing"), ("Old agents", "old_agents")):  # fmt: skip
            check_rows(table(name), [row for row in builders if row["name"] in truth[which]])
        check_rows(table("Up for longest"), [row for row in builders if row["is_running"]])
        check_rows(table("Newest changes"), changes)
        check_rows(table("Life: changes"), changes)
        check_rows(table("Life: states"), raw.list_spans())
        check_rows(table("Life: errors"), raw.list_errors())
        check_rows(table("Runs"), raw.list_runs())
        check_rows(table("Not seen, and why"), [row for row in scopes if row["is_missing"]])
        counts = {row["feed"]: row["row_count"] for row in table("Feeds")}
        assert counts.keys() == {feed.name for feed in feeds}
        assert counts["image_builder_latest"] == truth["builders"]
        assert counts["fact_image_builder_state_span"] == len(raw.list_spans())
        assert counts["fact_image_builder_day"] == len(raw.costs())
        assert counts["fact_image_builder_change"] == len(changes) + truth["first_seen"]
        assert seen == charts.keys(), "each chart is above"
