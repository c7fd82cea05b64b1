"""The report page: banners, and the data from which its JavaScript computes everything else."""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any

import jinja2
import pyarrow as pa
import pyarrow.compute as pc

from appstream_export.contracts import SqlFile
from appstream_export.feeds.report.blocks import KEY, encode_data, encode_table, replace_keys, split_by_builder
from appstream_export.feeds.report.left_out import RowLoader, group_left_out, load_builders
from appstream_export.lake.storage import HTML_TRAILER, add_checksum
from appstream_export.settings import compute_freshness_windows
from appstream_export.version import __version__

BUILDERS_MAX = 20_000  # about 5 MB: a browser still answers at once, and a page of all is no longer opened
EVENTS_PER_BUILDER = 50
BUILDERS_PER_CHUNK = 200  # events are unpacked when a builder is opened, those of its chunk only
OLD_AFTER = timedelta(hours=26)  # a daily run, and two hours of slack
OPTIONAL = {
    "builder_tags": ("tags",),
    "builder_images": ("images", "shared_images", "public_images", "fleets"),
}
"""Files of `sql/report/` that are left out unless one of these resources is on."""
_BUILDERS, _OF_LISTED = "builders", ("builder_tags", "events")
"""The file that lists builders, and those of which the rows of other builders are not used."""


@dataclass(frozen=True, slots=True)
class Sight:
    """How many scopes were seen, and how many builders are shown as they were seen earlier."""

    scopes: int
    failed: int
    unrequested: int
    stale_builders: int


def render_page(
    load_rows: RowLoader, sql_files: Sequence[SqlFile], *, freshness_interval: timedelta | None = None
) -> str:
    """Render the page as HTML from the rows of these files; it makes no requests and ends with its checksum.

    Of files that are left out, it says which resources switch them on. The page warns if scopes failed and, in the
    reader's browser, if it is older than `freshness_interval` allows.
    """
    tables, others = _load_tables(load_rows, sql_files)
    newest = _convert_row(tables.pop("page").to_pylist()[0] | tables.pop("price_list").to_pylist()[0])
    tables |= group_left_out(others, tables, tables["builders"].num_rows)
    facts = newest | {
        "off": {name: resources for name, resources in OPTIONAL.items() if name not in tables},
        "resources": sorted(set(tables["scopes"]["resource"].to_pylist())),
        "listed": tables["builders"].num_rows,
        "left_out": others.num_rows,
        "events_per_builder": EVENTS_PER_BUILDER,
        "builders_per_chunk": BUILDERS_PER_CHUNK,
        "old_after_s": int(_find_old_age(freshness_interval).total_seconds()),
        "version": __version__,
    }
    blocks = {"facts": encode_data(facts)} | dict(_encode_tables(tables))
    page = _fill_template(newest, _count_scopes(tables, others), blocks, sql_files)
    return add_checksum(f"{page}\n".encode(), HTML_TRAILER).decode()


def _load_tables(load_rows: RowLoader, sql_files: Sequence[SqlFile]) -> tuple[dict[str, pa.Table], pa.Table]:
    """Return the rows by file, in the files' order, and the builders that are not listed."""
    files = {file.name: file for file in sql_files}
    builders, others = load_builders(load_rows, files[_BUILDERS], BUILDERS_MAX)
    only = builders.select([KEY]) if others.num_rows else None
    tables = {
        name: builders if name == _BUILDERS else load_rows(file, only=only if name in _OF_LISTED else None)
        for name, file in files.items()
    }
    return tables, others


def _encode_tables(tables: Mapping[str, pa.Table]) -> Iterable[tuple[str, str]]:
    """Yield the name and text of each block; events have one per `BUILDERS_PER_CHUNK` builders."""
    builders = tables["builders"]
    for name, table in tables.items():
        placed = replace_keys(table, builders[KEY]) if KEY in table.column_names and name != "builders" else table
        if name == "events":
            chunks = split_by_builder(placed, builders.num_rows, BUILDERS_PER_CHUNK)
            yield from ((f"events-{number}", encode_table(chunk)) for number, chunk in enumerate(chunks))
        else:
            yield name, encode_table(placed.drop_columns([KEY]) if name == "builders" else placed)


def _count_scopes(tables: Mapping[str, pa.Table], others: pa.Table) -> Sight:
    scopes = tables["scopes"].select(["status", "is_expected", "attempted_at"]).to_pylist()
    seen = ("ok", "filtered", "skipped")
    return Sight(
        scopes=len(scopes),
        failed=sum(row["status"] not in seen and not row["is_expected"] for row in scopes),
        unrequested=sum(row["attempted_at"] is None for row in scopes),
        stale_builders=sum(
            pc.sum(builders["is_stale"].cast(pa.int64())).as_py() or 0 for builders in (tables["builders"], others)
        ),
    )


def _fill_template(
    newest: Mapping[str, Any], sight: Sight, blocks: Mapping[str, str], sql_files: Sequence[SqlFile]
) -> str:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    assets = files("appstream_export.feeds.report")
    script = assets.joinpath("page.js").read_text("utf-8")  # built by javascript/build.mjs
    return environment.from_string(assets.joinpath("page.html").read_text("utf-8")).render(
        newest=newest,
        sight=sight,
        blocks=blocks,
        statements=[(file, _strip_sql_header(file.sql)) for file in sql_files],
        style=assets.joinpath("page.css").read_text("utf-8"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        made_at=_format_time(datetime.now(UTC)),
    )


def _find_old_age(freshness_interval: timedelta | None) -> timedelta:
    return compute_freshness_windows(freshness_interval)[1] if freshness_interval else OLD_AFTER


def _strip_sql_header(sql: str) -> str:
    """Return the statement without its header."""
    lines = sql.splitlines()
    first = next((n for n, line in enumerate(lines) if not line.startswith("--")), 0)
    return "\n".join(lines[first:]).strip()


def _convert_row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _format_time(value) if isinstance(value, datetime) else value for name, value in row.items()}


def _format_time(value: datetime) -> str:
    """Format a time in UTC; one without a zone is in UTC."""
    return (value.astimezone(UTC) if value.tzinfo else value).strftime("%Y-%m-%d %H:%M:%SZ")
