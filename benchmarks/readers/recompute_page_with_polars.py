"""Figures of the report page, computed with polars from the raw rows of a warehouse's snapshots.

`python recompute_page_with_polars.py WAREHOUSE [IDLE_HOURS]` prints them as JSON. It reads manifests and Parquet files
of snapshots, not the change log, views, marts or feeds. Snapshots must be of complete or failed answers.
"""

import json
import sys
from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

ROOT, IDLE_HOURS = Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 12
KEY = ["account_id", "region", "name"]
ACTIVE = ["PENDING", "UPDATING_AGENT", "RUNNING", "REBOOTING"]
PASSING = ["PENDING", "UPDATING_AGENT", "SNAPSHOTTING"]
SEEN = ["ok", "filtered"]

manifests = [json.loads(file.read_text()) for file in sorted((ROOT / "commits").glob("*.json"))]


def read(manifest: dict, table: str) -> pl.DataFrame:
    """Read the rows of a snapshot."""
    files = [ROOT / file["path"] for file in manifest["tables"][table]["files"]]
    return pl.concat([pl.read_parquet(file, hive_partitioning=False) for file in files], how="diagonal_relaxed")


newest = manifests[-1]
as_of = datetime.fromisoformat(newest["committed_at"])
today, month_start = as_of.date(), as_of.date().replace(day=1)
last_start = (month_start - timedelta(days=1)).replace(day=1)
now = read(newest, "image_builders")
runs = read(newest, "scope_runs")

# Each answer that showed a builder, once: rows that a later snapshot carries have the time of their answer.
answers = pl.concat([read(m, "image_builders") for m in manifests], how="diagonal_relaxed")
answers = answers.unique([*KEY, "observed_at"]).sort(*KEY, "observed_at")
# Complete answers of the scopes: a builder that one lacks had been deleted; seen again, it begins a new life.
complete = pl.concat([read(m, "scope_runs") for m in manifests], how="diagonal_relaxed")
complete = complete.filter((pl.col("resource") == "image_builders") & pl.col("observed_at").is_not_null())
complete = complete.select("account_id", "region", "observed_at").unique().sort("account_id", "region", "observed_at")
complete = complete.with_columns(turn=pl.int_range(pl.len()).over("account_id", "region"))
answers = answers.sort("observed_at").join_asof(
    complete.sort("observed_at"),
    on="observed_at",
    by=["account_id", "region"],
    strategy="forward",
    check_sortedness=False,
)
answers = answers.sort(*KEY, "observed_at").with_columns(
    is_start=pl.col("turn").shift(1).over(KEY).is_null()
    | (pl.col("turn") - pl.col("turn").shift(1).over(KEY) > 1)
    | pl.col("created_time").ne_missing(pl.col("created_time").shift(1).over(KEY))
)
answers = answers.with_columns(life=pl.col("is_start").cum_sum().over(KEY))
LIFE = [*KEY, "life"]
answers = answers.with_columns(
    is_new=pl.col("is_start") | pl.col("state").ne_missing(pl.col("state").shift(1).over(LIFE))
)
answers = answers.with_columns(span=pl.col("is_new").cum_sum().over(LIFE))
facts = answers.group_by(LIFE).agg(
    type=pl.col("instance_type").last(), platform=pl.col("platform").last(), gb=pl.col("root_volume_size_gb").last()
)
spans = answers.group_by([*LIFE, "span"]).agg(
    state=pl.col("state").first(), first=pl.col("observed_at").min(), last=pl.col("observed_at").max()
)
spans = (
    spans.join(facts, on=LIFE)
    .sort(*LIFE, "span")
    .with_columns(is_active=pl.col("state").is_in(ACTIVE).fill_null(False))
)
spans = spans.with_columns(
    next=pl.col("first").shift(-1).over(LIFE), is_next=pl.col("is_active").shift(-1).over(LIFE).fill_null(False)
)
spans = spans.with_columns(
    up_until=pl.when(pl.col("is_next")).then(pl.col("next")).otherwise(pl.col("last")),
    seen_until=pl.col("next").fill_null(pl.col("last")),
)
prices = read(newest, "prices").to_dicts()


def find_price(region: str, type: str | None, platform: str | None, day: date) -> dict[str, Any]:
    """Find the most specific row of the price list, then the newest."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    names = {"region": region, "instance_type": type, "platform": platform}
    found = [p for p in prices if p["valid_from"] <= midnight and all(p[n] in ("*", v) for n, v in names.items())]
    rank = lambda p: (sum(p[n] != "*" for n in names), p["region"] != "*", p["instance_type"] != "*", p["valid_from"])  # noqa: E731
    return max(found, key=rank, default={"usd_per_hour": None, "disk_usd_per_gb_month": None})


def count_hours(start: datetime, end: datetime, day: date) -> float:
    """Count the hours of a period that lie in a day."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return max(0.0, (min(end, midnight + timedelta(days=1)) - max(start, midnight)).total_seconds() / 3600)


def list_days() -> pl.DataFrame:
    """Compute hours and cost of each span and day; a cost without a price is null."""
    found = []
    for s in spans.iter_rows(named=True):
        day = s["first"].date()
        while day <= s["seen_until"].date():
            price = find_price(s["region"], s["type"], s["platform"], day)
            paid = max((200 if s["gb"] is None else s["gb"]) - 200, 0)
            up = count_hours(s["first"], s["up_until"], day) if s["is_active"] else 0.0
            hour, gb = price["usd_per_hour"], price["disk_usd_per_gb_month"]
            held = count_hours(s["first"], s["seen_until"], day)
            disk = 0.0 if not paid else None if gb is None else held * paid * gb / 730
            usd = None if hour is None else up * hour
            found.append({**{k: s[k] for k in LIFE}, "day": day, "up": up, "instance": usd, "disk": disk})
            day += timedelta(days=1)
    schema = {"day": pl.Date, "up": pl.Float64, "instance": pl.Float64, "disk": pl.Float64}
    return pl.DataFrame(found, schema_overrides=schema, infer_schema_length=None)


days = list_days().with_columns(usd=pl.col("instance").fill_null(0.0) + pl.col("disk").fill_null(0.0))
keys = {tuple(row) for row in now.select(KEY).iter_rows()}
newest_life = facts.sort("life").unique(KEY, keep="last")

# The newest state of each builder: since when it is up without a break, and what it costs.
trailing: dict[tuple, list[dict]] = {}
for s in spans.iter_rows(named=True):
    held = trailing.setdefault((s["account_id"], s["region"], s["name"]), [])
    if held and (held[-1]["life"] != s["life"] or not s["is_active"] or not held[-1]["is_active"]):
        held.clear()
    held.append(s)
errors = read(newest, "image_builder_errors").rename({"image_builder_name": "name"})
failing = {tuple(row) for row in errors.select(KEY).unique().iter_rows()}
agents = read(newest, "image_builder_agent_settings").filter(pl.col("permission") == "ENABLED")
with_agents = {tuple(row) for row in agents.select("account_id", "region", "image_builder_name").iter_rows()}
addresses = read(newest, "image_builder_ipv6_addresses")
with_ipv6 = {tuple(row) for row in addresses.select("account_id", "region", "image_builder_name").iter_rows()}
stale = {
    (r["account_id"], r["region"])
    for r in runs.filter((pl.col("resource") == "image_builders") & pl.col("is_stale")).iter_rows(named=True)
}
unpriced_days = days.filter(pl.col("instance").is_null() | pl.col("disk").is_null())
never_priced = {tuple(row) for row in unpriced_days.filter(pl.col("day") >= last_start).select(KEY).iter_rows()}
accounts = {a["account_id"]: a for a in read(newest, "accounts").to_dicts()}


def find_agent_age(version: str | None, observed_at: datetime) -> int | None:
    """Compute the days since the release that an agent's version names."""
    try:
        return (observed_at.date() - datetime.strptime(version or "", "%m-%d-%Y").date()).days  # noqa: DTZ007
    except ValueError:
        return None


def describe(row: dict[str, Any]) -> dict[str, Any]:
    """Compute what the page shows of a builder that exists."""
    key = tuple(row[name] for name in KEY)
    sequence = trailing[key]
    is_up, last = row["state"] in ACTIVE, sequence[-1]
    price = find_price(row["region"], row["instance_type"], row["platform"], row["observed_at"].date())
    gb = row["root_volume_size_gb"]
    paid = max((200 if gb is None else gb) - 200, 0)
    month = (
        0.0 if not paid else None if price["disk_usd_per_gb_month"] is None else paid * price["disk_usd_per_gb_month"]
    )
    hour = price["usd_per_hour"]
    needs_price = is_up and hour is None
    rate = None if needs_price or month is None else (hour or 0) * 24 * is_up + month * 12 / 365
    ways = [row["enable_default_internet_access"], row["disable_imdsv1"] is False, key in with_agents, key in with_ipv6]
    up_hours = (last["last"] - sequence[0]["first"]).total_seconds() / 3600 if is_up else None
    state_hours = (last["last"] - last["first"]).total_seconds() / 3600
    age = find_agent_age(row["appstream_agent_version"], row["observed_at"])
    is_old = (row["latest_appstream_agent_version"] or "").upper() == "FALSE" or (age is not None and age >= 180)
    return {
        "key": "/".join(key), "is_up": is_up, "rate": rate, "usd_per_hour": hour, "disk_month": month,
        "up_hours": up_hours, "is_exposed": any(ways), "is_stale": key[:2] in stale, "agent": is_old,
        "up": is_up and up_hours >= IDLE_HOURS, "disk": not is_up and (gb or 0) > 200, "exposed": any(ways),
        "stuck": row["state"] in PASSING and state_hours >= 25 / 60,
        "failing": row["state"] == "FAILED" or key in failing, "price": rate is None or key in never_priced,
    }  # fmt: skip


builders = [describe(row) for row in now.iter_rows(named=True)]
by_key = {b["key"]: b for b in builders}
months = days.with_columns(
    key=pl.concat_str(KEY, separator="/"),
    month=pl.when(pl.col("day") >= month_start).then(pl.col("usd")).otherwise(0.0),
    month_hours=pl.when(pl.col("day") >= month_start).then(pl.col("up")).otherwise(0.0),
    last_month=pl.when((pl.col("day") < month_start) & (pl.col("day") >= last_start))
    .then(pl.col("usd"))
    .otherwise(0.0),
    week=pl.when((pl.col("day") >= today - timedelta(7)) & (pl.col("day") < today)).then(pl.col("usd")).otherwise(0.0),
)
per_builder = months.group_by("key").agg(pl.col("month", "month_hours", "last_month", "week").sum())
per_builder = {row["key"]: row for row in per_builder.iter_rows(named=True)}
kinds = {"/".join(row[n] for n in KEY): row for row in newest_life.iter_rows(named=True)}


def group(value: Any) -> dict[str, dict[str, float]]:
    """Sum what the table "Who pays" shows by what `value` gives of a builder's key."""
    sums: dict[str, dict[str, float]] = {}
    for key, costs in per_builder.items():
        held = sums.setdefault(value(key), dict.fromkeys(
            ("builders", "up", "month_hours", "month", "last_month", "rate", "week", "idle_rate"), 0))  # fmt: skip
        for name in ("month_hours", "month", "last_month", "week"):
            held[name] += costs[name]
        if builder := by_key.get(key):
            held["builders"] += 1
            held["up"] += builder["is_up"]
            held["rate"] += builder["rate"] or 0
            held["idle_rate"] += (builder["usd_per_hour"] or 0) * 24 * builder["up"]
    return sums


def get_label(name: str) -> Any:
    """Return a function from a builder's key to a label of its account."""
    return lambda key: json.loads(accounts[key[:12]]["labels_json"] or "{}").get(name, "(none)")


total = group(lambda _: "all")["all"]
days_left = monthrange(today.year, today.month)[1] - today.day + 1
days_left -= (as_of - datetime(today.year, today.month, today.day, tzinfo=UTC)).total_seconds() / 86400
is_answered = pl.col("status").is_in(SEEN)
is_counted = ~is_answered & (pl.col("status") != "skipped") & ~pl.col("is_expected")
last_days = months.group_by("day").agg(pl.col("usd").sum()).sort("day")
print(
    json.dumps(
        {
            "total": total | {
                "forecast": total["month"] + total["rate"] * days_left,
                "exposed": sum(b["is_exposed"] for b in builders),
                "unrated": sum(b["rate"] is None for b in builders),
                "idle": sum(b["up"] for b in builders),
                "disk_month": sum((b["disk_month"] or 0) * b["disk"] for b in builders),
                "disks": sum(b["disk"] for b in builders),
                "gone": len(per_builder) - len(builders),
            },
            "groups": {
                "account": group(lambda key: accounts[key[:12]]["account_name"]),
                "region": group(lambda key: key.split("/")[1]),
                "type": group(lambda key: kinds[key]["type"] or "unknown"),
                "label:team": group(get_label("team")),
                "label:cost_centre": group(get_label("cost_centre")),
            },
            "days": {str(row["day"]): row["usd"] for row in last_days.iter_rows(named=True)},
            "scopes": {
                "all": runs.height,
                "seen": runs.filter(is_answered).height,
                "failed": runs.filter(is_counted).height,
                "expected": runs.filter(~is_answered & pl.col("is_expected")).height,
            },
            "not_seen": sorted(
                f"{accounts[r['account_id']]['account_name']} {r['region']} {r['resource']} {r['status']}"
                for r in runs.filter(is_counted).iter_rows(named=True)
            ),
            "stale": sum(b["is_stale"] for b in builders),
            "lists": {
                name: sorted(b["key"] for b in builders if b[name])
                for name in ("up", "disk", "exposed", "agent", "stuck", "failing", "price")
            },
            "builders": {
                key: costs | {
                    "up_hours": by_key[key]["up_hours"], "rate": by_key[key]["rate"],
                    "account": accounts[key[:12]]["account_name"],
                }
                for key, costs in per_builder.items() if key in by_key
            },
            "spans": {
                key: sum(1 for s in spans.iter_rows(named=True) if "/".join(s[n] for n in KEY) == key)
                for key in sorted(by_key)[::9]
            },
        }
    )
)  # fmt: skip
