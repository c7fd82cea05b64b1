"""`datapackage.json`: the description of a generation for programs, in the Data Package standard (version 2).

Beyond the standard, files have `rows` and `sha256`, fields have `duckdb_type`, and the package has `snapshot_id`,
`seq`, `as_of_utc`, `freshness` and `coverage`. Feeds can be read back from it without the code that built them.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from appstream_export.contracts import Column
from appstream_export.feeds.contract_feeds import Feed
from appstream_export.feeds.definitions import STAMPS, resolve_column_type
from appstream_export.feeds.generations import V1
from appstream_export.feeds.parts import FactPart, PartDays
from appstream_export.lake.catalog import FeedConnection
from appstream_export.lake.snapshots import FileEntry

PROFILE = "https://datapackage.org/profiles/2.0/datapackage.json"
SCHEMA_PROFILE = "https://datapackage.org/profiles/2.0/tableschema.json"
STALE_MAX = 100
"""Maximum number of stale scopes by name; the feed coverage names all of them."""
PAST_FILE = "past_file"
"""Key of the path of the kept file with the past parts of facts, whose name has its SHA-256: see fact_tables.py."""
_FORMATS: Mapping[str, Mapping[str, Any]] = {
    "parquet": {"format": "parquet", "mediatype": "application/vnd.apache.parquet"},
    "csv": {
        "format": "csv",
        "mediatype": "text/csv",
        "encoding": "utf-8",
        "dialect": {"delimiter": ",", "quoteChar": '"', "doubleQuote": True},
    },
}
_COVERAGE_SQL = """
select status, is_expected, count(*), count(*) filter (is_stale and not is_expected),
    utc(min(observed_at) filter (is_stale and not is_expected))
from coverage group by all order by all"""
_STALE_SCOPES_SQL = (
    "select concat_ws('/', resource, account_id, region) from coverage where is_stale and not is_expected "
    "order by 1 limit ?"
)


def build_datapackage(
    feeds: Sequence[Feed],
    files: Mapping[str, FileEntry],
    parts: Mapping[str, Sequence[FactPart]],
    *,
    snapshot_id: str,
    seq: int,
    as_of: datetime,
    published_at: datetime,
    is_ok: bool,
    why: str | None,
    coverage_summary: Mapping[str, Any],
    version: str = V1,
    past_file: str | None = None,
) -> dict[str, Any]:
    """Return the description of feeds and their files: `image_builders.parquet`, and the `.csv` file if there is one.

    Facts in parts have a resource for each part, with `part_of` (the feed), `part` (the month), `part_by` (the column
    of its days) and `derived_from`.

    `coverage_summary` is the result of `load_coverage_summary`.
    """
    return {
        "$schema": PROFILE,
        "name": "appstream-export-feeds",
        **({} if version == V1 else {"feeds_version": version}),
        "title": "AppStream image builders: feeds for dashboards",
        "description": f"Snapshot {snapshot_id}: {len(feeds)} tables of the same snapshot.",
        "created": _format_utc(published_at),
        "snapshot_id": snapshot_id,
        "seq": seq,
        "as_of_utc": _format_utc(as_of),
        "is_ok": is_ok,
        "why": why,
        **coverage_summary,
        **({PAST_FILE: past_file} if past_file else {}),
        **({} if version == V1 else {"files": _list_other_files(files)}),
        "resources": [
            *(resource for feed in feeds for resource in _build_parquet_resources(feed, files, parts)),
            *(_build_resource(feed, "csv", files[name]) for feed in feeds if (name := f"{feed.name}.csv") in files),
        ],
    }


def _build_parquet_resources(
    feed: Feed, files: Mapping[str, FileEntry], parts: Mapping[str, Sequence[FactPart]]
) -> Iterator[dict[str, Any]]:
    if not feed.is_in_parts:
        yield _build_resource(feed, "parquet", files[f"{feed.name}.parquet"])
        return
    for part in parts[feed.name]:
        described = {"part_of": feed.name, "part": str(part.days), "part_by": feed.history}
        resource = _build_resource(feed, "parquet", part.file) | described | {"derived_from": part.derived_from}
        yield resource | {"name": f"{feed.name}.{part.days}"}


def _list_other_files(files: Mapping[str, FileEntry]) -> list[dict[str, Any]]:
    """Return the files that are no resources: programs that know data packages cannot read them."""
    others = (name for name in files if name.rpartition(".")[2] not in _FORMATS)
    return [{"path": name, "bytes": files[name].bytes, "sha256": files[name].sha256} for name in others]


def load_coverage_summary(connection: FeedConnection) -> dict[str, Any]:
    """Return the snapshot's `freshness` (its oldest stale rows) and `coverage` (scopes by status, and stale scopes)."""
    groups = connection.fetch_rows(_COVERAGE_SQL)
    oldest = min((group[4] for group in groups if group[4]), default=None)
    scopes = [{"status": status, "is_expected": expected, "scopes": n} for status, expected, n, *_ in groups]
    stale = {
        "stale": sum(group[3] for group in groups),
        "stale_scopes": [k for (k,) in connection.fetch_rows(_STALE_SCOPES_SQL, [STALE_MAX])],
    }
    return {
        "freshness": {"oldest_stale_observed_at_utc": _format_utc(oldest) if oldest else None},
        "coverage": {"scopes": sum(group[2] for group in groups), "by_status": scopes, **stale},
    }


def get_feeds_version(package: Mapping[str, Any]) -> str:
    """Return the version of the feeds that a package describes."""
    return package.get("feeds_version", V1)


def parse_feeds(package: Mapping[str, Any]) -> Iterator[Feed]:
    """Yield the feeds that a package describes; their query is empty."""
    has_zone = get_feeds_version(package) != V1
    resources = {get_feed_name(resource): resource for resource in list_parquet_resources(package)}
    for name, resource in resources.items():
        columns = tuple(
            Column(f["name"], f["duckdb_type"], f.get("description", "")) for f in resource["schema"]["fields"]
        )
        foreign_keys = {f["fields"][0]: f["reference"]["resource"] for f in resource["schema"].get("foreignKeys", ())}
        key = resource["schema"]["primaryKey"][0]
        needed = [f["name"] for f in resource["schema"]["fields"] if f.get("constraints", {}).get("required")]
        required = frozenset(needed) if has_zone else frozenset()
        is_fact = has_zone and not {*STAMPS} <= {column.name for column in columns}
        yield Feed(
            name, resource["description"], columns, key, "", foreign_keys, history=resource.get("part_by"),
            required=required, has_zone=has_zone, is_fact=is_fact,
        )  # fmt: skip


def list_parquet_resources(package: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the resources that are Parquet files: one for each feed, or for each part of it."""
    return [resource for resource in package["resources"] if resource["format"] == "parquet"]


def get_feed_name(resource: Mapping[str, Any]) -> str:
    """Return the name of the feed of a resource, which is one of its parts or the whole."""
    return resource.get("part_of", resource["name"])


def count_feed_rows(package: Mapping[str, Any]) -> dict[str, int]:
    """Return the rows of each feed."""
    found: dict[str, int] = {}
    for resource in list_parquet_resources(package):
        name = get_feed_name(resource)
        found[name] = found.get(name, 0) + resource["rows"]
    return found


def parse_parts(package: Mapping[str, Any], folder: str) -> dict[str, list[FactPart]]:
    """Return the parts of facts by feed; `folder` is the start of their paths in the store."""
    found: dict[str, list[FactPart]] = {}
    for part in (resource for resource in list_parquet_resources(package) if "part_of" in resource):
        path = f"{folder}{part['path']}"
        file = FileEntry(path=path, rows=part["rows"], bytes=part["size_bytes"], sha256=part["sha256"])
        found.setdefault(part["part_of"], []).append(FactPart(PartDays.parse(part["part"]), part["derived_from"], file))
    return found


def parse_whole_files(package: Mapping[str, Any], folder: str) -> dict[str, tuple[str, str]]:
    """Return path and SHA-256 of each feed's Parquet file that is no part; `folder` is the start of the paths."""
    whole = (resource for resource in list_parquet_resources(package) if "part_of" not in resource)
    return {resource["name"]: (f"{folder}{resource['path']}", resource["sha256"]) for resource in whole}


def _build_resource(feed: Feed, suffix: str, file: FileEntry) -> dict[str, Any]:
    name = file.path.rpartition("/")[2]
    # Names must be unique within a package: only the Parquet file has the name of the feed.
    return {
        "name": feed.name if suffix == "parquet" else name,
        "path": name,
        "type": "table",
        "description": feed.doc,
        **_FORMATS[suffix],
        _get_size_key(feed, suffix): file.bytes,
        "hash": f"sha256:{file.sha256}",
        "sha256": file.sha256,
        "rows": file.rows,
        "schema": _build_table_schema(feed, suffix),
    }


def _build_table_schema(feed: Feed, suffix: str) -> dict[str, Any]:
    foreign_keys = [
        {"fields": [column], "reference": {"resource": to, "fields": [column]}}
        for column, to in feed.foreign_keys.items()
    ]
    return {
        "$schema": SCHEMA_PROFILE,
        "fields": [_build_field(feed, column, suffix) for column in feed.columns],
        "primaryKey": [feed.key],
        **({"foreignKeys": foreign_keys} if foreign_keys and suffix == "parquet" else {}),
        **({"missingValues": [""]} if suffix == "csv" else {}),
    }


def _get_size_key(feed: Feed, suffix: str) -> str:
    """Return the name under which a resource has the size of its file: frictionless counts no bytes of Parquet."""
    return "size_bytes" if feed.has_zone and suffix == "parquet" else "bytes"


def _build_field(feed: Feed, column: Column, suffix: str) -> dict[str, Any]:
    required = {"constraints": {"required": True}} if column.name in feed.required else {}
    required |= {"constraints": {"required": True, "unique": True}} if column.name == feed.key else {}
    kind = resolve_column_type(column.type).field
    # frictionless reads Parquet with pandas, in which a column of whole numbers with gaps holds fractions and NaN.
    if kind == "integer" and feed.has_zone and suffix == "parquet" and column.name not in feed.required:
        kind = "number"
    described = {"name": column.name, "type": kind, "description": column.doc}
    return described | {"duckdb_type": column.type} | required


def _format_utc(moment: datetime) -> str:
    """Format a time of UTC as ISO 8601 with a Z. DuckDB's times have no zone and are in UTC."""
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
