"""Rivals: the tools that an engineer would use instead, each as its user would run it, and the parts it leaves out."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from benchmarks.children import AS_RUN, ROOT

NEW_FEEDS: Mapping[str, Any] = {"versions": ["v2"]}
"""The feeds of a new project, as `init` writes it: one version, as version 0.3.0 has one."""
NO_PROMISES = "no coverage, quarantine, page integrity, atomic commit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """One way to make the same tables. `layout` says how they are read back; see `benchmarks.contents`."""

    title: str
    module: str
    layout: str = "plain"
    more: Mapping[str, Any] = field(default_factory=dict)
    """Fields of its job besides those that every job has."""
    leaves_out: str = NO_PROMISES
    needs_dlt: bool = False


OURS, PUBLISHED = "ours", "published"


def build_whole_run(
    title: str, root: Path, python: Path, environ: Mapping[str, str], settings: Mapping[str, Any] = MappingProxyType({})
) -> Rival:
    """Return the whole run of a release of ours, from its checkout and with its own packages."""
    more = {"root": str(root), "python": str(python), "environ": dict(environ), "settings": dict(settings)}
    return Rival(title=title, module="whole_run", layout="ours", more=more, leaves_out="-")


RIVALS: Mapping[str, Rival] = {
    OURS: Rival(
        title="appstream-export: sweep to Parquet", module="ours", layout="ours", more={"until": "files"},
        leaves_out="commit, publishing",
    ),
    PUBLISHED: build_whole_run("appstream-export: whole run", ROOT, Path(sys.executable), AS_RUN, {"feeds": NEW_FEEDS}),
    "plain": Rival(title="a plain boto3 script", module="plain"),
    "duckdb": Rival(title="a DuckDB script", module="duckdb_script"),
    "duckdb_ours": Rival(title="a DuckDB script with our requests", module="duckdb_our_requests"),
    "dlt": Rival(
        title="dlt, tuned", module="dlt_tuned", layout="dlt", leaves_out=f"{NO_PROMISES}, natural keys of children",
        needs_dlt=True,
    ),
}  # fmt: skip
FLOORS: Mapping[str, Rival] = {
    "tables": Rival(title="appstream-export: fetch to tables", module="ours", layout="", more={"until": "tables"}),
    "fetch": Rival(title="botocore's bare fetch", module="fetch", layout=""),
}
"""Parts of the work, which leave no files to compare: ours, and what no exporter can beat."""
