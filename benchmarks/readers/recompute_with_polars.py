"""Totals of every feed of v1 and of v2, computed with polars: `python recompute_with_polars.py WAREHOUSE`.

It reads manifests and the raw rows of each snapshot, not the change log, views, marts or feeds. Snapshots must be of
complete or denied answers, without `created_time`: then a builder that is absent from a snapshot has ended its life.
"""

import json
import sys
from datetime import date, datetime
from pathlib import Path

import polars as pl

ROOT = Path(sys.argv[1])
KEY = ["account_id", "region", "name"]
ACTIVE = ["PENDING", "UPDATING_AGENT", "RUNNING", "REBOOTING"]
NOT_COMPARED = {*KEY, "observed_at", "snapshot_id", "seq", "extra_json"}

manifests = [json.loads(file.read_text()) for file in sorted((ROOT / "commits").glob("*.json"))]


def read(manifest: dict, table: str) -> pl.DataFrame:
    """Read the rows of a snapshot."""
    files = [ROOT / file["path"] for file in manifest["tables"][table]["files"]]
    return pl.concat([pl.read_parquet(file, hive_partitioning=False) for file in files], how="diagonal_relaxed")


def read_all(table: str) -> pl.DataFrame:
    """Read the rows of all snapshots."""
    frames = [read(m, table).with_columns(seq=pl.lit(m["seq"])) for m in manifests]
    return pl.concat(frames, how="diagonal_relaxed")


newest = manifests[-1]
as_of = datetime.fromisoformat(newest["committed_at"])
runs, price = read(newest, "scope_runs"), read(newest, "prices").row(0, named=True)
now = read(newest, "image_builders")
rows = read_all("image_builders").sort(*KEY, "seq")
rows = rows.with_columns(before=pl.col("seq").shift(1).over(KEY))
rows = rows.with_columns(is_start=pl.col("before").is_null() | (pl.col("seq") - pl.col("before") > 1))
rows = rows.with_columns(life=pl.col("is_start").cum_sum().over(KEY))
LIFE = [*KEY, "life"]

# Changes: the start of each life, the end of each that is not in the newest snapshot, and each column in between.
lives = rows.group_by(LIFE).agg(
    first=pl.col("observed_at").min(), last=pl.col("observed_at").max(), seq=pl.col("seq").max(),
    gb=pl.col("root_volume_size_gb").last(), type=pl.col("instance_type").last(),
).with_columns(is_current=pl.col("seq") == newest["seq"])  # fmt: skip
columns = [name for name in now.columns if name not in NOT_COMPARED]
for table in ("image_builder_subnets", "image_builder_errors"):
    lists = read_all(table).rename({"image_builder_name": "name"}).sort("position")
    texts = pl.concat_str(pl.col(c).cast(pl.String).fill_null("") for c in lists.columns[4:-2])
    rows = rows.join(lists.group_by(*KEY, "seq").agg(texts.alias(table)), on=[*KEY, "seq"], how="left").sort(
        *KEY, "seq"
    )
    rows = rows.with_columns(pl.col(table).list.join("|").fill_null(""))
    columns.append(table)
changed = sum(
    rows.select((pl.col(c).ne_missing(pl.col(c).shift(1).over(LIFE)) & ~pl.col("is_start")).sum()).item()
    for c in columns
)
ended = lives.filter(~pl.col("is_current")).height

# Spans of one state, and what follows each in its life.
rows = rows.with_columns(
    is_new=pl.col("is_start") | pl.col("state").ne_missing(pl.col("state").shift(1).over(LIFE)).fill_null(True)
)
rows = rows.with_columns(span=pl.col("is_new").cum_sum().over(LIFE))
spans = rows.group_by([*LIFE, "span"]).agg(
    state=pl.col("state").first(), first=pl.col("observed_at").min(), last=pl.col("observed_at").max()
).sort(*LIFE, "span").with_columns(is_active=pl.col("state").is_in(ACTIVE))  # fmt: skip
spans = spans.with_columns(next=pl.col("first").shift(-1).over(LIFE), is_next=pl.col("is_active").shift(-1).over(LIFE))
spans = spans.join(lives.select(*LIFE, "is_current", "gb", "type"), on=LIFE)


def hours(end: pl.Expr) -> pl.Expr:
    """Count the hours from the first observation."""
    return (end - pl.col("first")).dt.total_microseconds() / 3_600_000_000


up_until = pl.when(pl.col("is_next").fill_null(False)).then(pl.col("next")).otherwise(pl.col("last"))
spans = spans.with_columns(
    hours=hours(pl.col("last")),
    seen=hours(pl.col("next").fill_null(pl.col("last"))),
    running=pl.when(pl.col("is_active")).then(hours(up_until)).otherwise(0.0),
    until=pl.col("next").fill_null(
        pl.when(pl.col("is_current")).then(pl.max_horizontal(pl.lit(as_of), pl.col("last"))).otherwise(pl.col("last"))
    ),
    paid=(pl.col("gb").fill_null(200) - 200).clip(lower_bound=0),
    is_priced=(pl.col("type") == price["instance_type"]).fill_null(False),
)
priced = spans.filter("is_priced").with_columns(
    usd=pl.col("running") * price["usd_per_hour"]
    + pl.col("seen") * pl.col("paid") * price["disk_usd_per_gb_month"] / 730
)
days = spans.with_columns(day=pl.date_ranges(pl.col("first").dt.date(), pl.col("until").dt.date())).explode("day")
days = days.select(*LIFE, "day").unique()

first_year, last_year = days["day"].min().year, max(days["day"].max(), as_of.date()).year
latest = now.with_columns(
    is_running=pl.col("state").is_in(ACTIVE),
    usd=pl.when(pl.col("instance_type") == price["instance_type"]).then(price["usd_per_hour"]),
    disk=(pl.col("root_volume_size_gb").fill_null(200) - 200).clip(lower_bound=0)
    * price["disk_usd_per_gb_month"] * 12 / 365,
)  # fmt: skip
rate = latest.select(pl.when("is_running").then(pl.col("usd") * 24).otherwise(0.0) + pl.col("disk")).to_series()
subnets = read(newest, "image_builder_subnets")
without = now.join(subnets, left_on=KEY, right_on=["account_id", "region", "image_builder_name"], how="anti").height


def count_items(table: str, *conditions: pl.Expr) -> int:
    """Count the image builders that a list of the newest snapshot has rows of."""
    found = read(newest, table).filter(*conditions)
    return found.select("account_id", "region", "image_builder_name").unique().height


# Ways in and out that are open, or of which nothing is reported; who has no endpoint of its own is reached publicly.
reported = [now["enable_default_internet_access"], ~now["disable_imdsv1"], now["agent_screenshots_upload_enabled"]]
ways = (
    sum(way.fill_null(True).sum() for way in reported)
    + count_items("image_builder_agent_settings", pl.col("permission") == "ENABLED")
    + count_items("image_builder_ipv6_addresses")
    + now.height
    - count_items("image_builder_endpoints")
)
open_now = now["enable_default_internet_access"].sum() + (~now["disable_imdsv1"]).sum()

lists = {
    f"image_builder_{name}": [read(newest, f"image_builder_{name}").height]
    for name in ("agent_settings", "endpoints", "ipv6_addresses", "security_groups", "subnets")
}
changes = lives.height + ended + changed
hours_and_usd = [spans["running"].sum(), spans["seen"].sum(), priced["usd"].sum()]
flat = lists | {
    "image_builder_network": [subnets.height + without],
    "accounts": [read(newest, "accounts").height],
    "coverage": [runs.height, runs["is_stale"].sum()],
    "export_runs": [len(manifests), rows.height],
    "feed_status": [15],
    "image_builder_changes": [changes],
    "image_builder_daily": [days.select(*KEY, "day").unique().height, *hours_and_usd],
    "image_builder_errors": [read(newest, "image_builder_errors").height],
    "image_builder_state_spans": [spans.height, spans["hours"].sum()],
    "image_builders": [now.height, now["root_volume_size_gb"].sum(), now["disable_imdsv1"].sum()],
}
star = lists | {
    "dim_account": [read_all("accounts")["account_id"].n_unique()],
    "dim_date": [(date(last_year, 12, 31) - date(first_year, 1, 1)).days + 1],
    "dim_image_builder": [lives.height, lives["is_current"].sum()],
    "dim_region": [read_all("scope_runs")["region"].n_unique()],
    "dim_resource": [runs["resource"].n_unique(), runs.height],
    "dim_scope": [runs.height, runs["is_stale"].sum()],
    "fact_export_run": [len(manifests), rows.height],
    "fact_image_builder_change": [changes],
    "fact_image_builder_day": [days.height, *hours_and_usd],
    "fact_image_builder_error": [read(newest, "image_builder_errors").height],
    "fact_image_builder_exposure": [ways, open_now],
    "fact_image_builder_state_span": [spans.height, spans["hours"].sum()],
    "feed_status": [19],
    "image_builder_latest": [now.height, open_now, rate.sum(), latest["is_running"].sum()],
}
print(json.dumps({"v1": flat, "v2": star}))
