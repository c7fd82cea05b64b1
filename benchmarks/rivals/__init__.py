"""Rivals: what an engineer would use instead, each in its best honest form, and what it leaves out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NO_PROMISES = "no coverage, quarantine, page integrity, atomic commit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """One way to make the same tables. `layout` says how they are read back; see `benchmarks.contents`."""

    title: str
    module: str
    environment: str = "ours"
    layout: str = "plain"
    more: Mapping[str, Any] = field(default_factory=dict)
    leaves_out: str = NO_PROMISES
    is_judged: bool = False
    """Whether a budget stands on it: the others run in fewer rounds."""


OURS = "ours"
RIVALS: Mapping[str, Rival] = {
    OURS: Rival(
        title="appstream-export: sweep to Parquet", module="ours", layout="ours", more={"until": "files"},
        leaves_out="commit, publishing", is_judged=True,
    ),
    "ours_published": Rival(
        title="appstream-export: whole run", module="ours", layout="ours", more={"until": "published"}, leaves_out="-"
    ),
    "plain": Rival(title="plain script, public boto3 alone", module="plain_rows", is_judged=True),
    "plain_clients": Rival(title="the same with our clients", module="plain_on_clients"),
    "plain_hook": Rival(title="the same with our reader too", module="plain_on_clients", more={"hook": True}),
    "duckdb": Rival(title="DuckDB on raw pages, our clients", module="duckdb_raw", is_judged=True),
    "polars": Rival(title="polars on raw pages, our clients", module="polars_raw", environment="rivals"),
    "dlt": Rival(
        title="dlt tuned, our clients and reader", module="dlt_rows", environment="rivals", layout="dlt",
        leaves_out=f"{NO_PROMISES}, natural keys of children", is_judged=True,
    ),
    "dlt_arrow": Rival(
        title="dlt's Arrow path, our clients, reader, flatten", module="dlt_arrow", environment="rivals",
        layout="dlt_arrow",
    ),
}  # fmt: skip
PAGES = "pages"
FLOORS: Mapping[str, Rival] = {
    PAGES: Rival(
        title="appstream-export: start, clients and calls alone", module="ours", layout="", more={"until": "pages"}
    ),
    "tables": Rival(
        title="appstream-export: fetch to tables", module="ours", layout="", more={"until": "tables"}, is_judged=True
    ),
    "fetch": Rival(
        title="floor: botocore's bare fetch", module="floors", layout="", more={"floor": "fetch"}, is_judged=True
    ),
    "parse": Rival(title="floor: JSON alone", module="floors", layout="", more={"floor": "parse"}),
    "write": Rival(title="floor: Parquet alone", module="floors", layout="", more={"floor": "write"}),
}
"""Parts of the work, in seconds of their own; nothing is left to check but what `write` writes of OURS."""
TRANSFORMS: Mapping[str, Rival] = {
    "transform": Rival(title="appstream-export: items to tables", module="transforms", more={"by": "ours"}),
    "cloudquery": Rival(
        title="CloudQuery's Python SDK: items to tables", module="transforms", environment="cloudquery",
        layout="cloudquery", more={"by": "cloudquery"}, leaves_out="child tables",
    ),
}  # fmt: skip
"""Items in memory to tables; no page server is asked."""
