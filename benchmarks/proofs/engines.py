"""The oldest and the newest DuckDB that pyproject.toml allows, each in an environment of its own.

Each writes a warehouse with our code, hour by hour with a catalog each, and checks it while two readers of the same
process have it open. Then each reads both catalogs bare, as people and BI tools do.
"""

import json
import sys
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import requires
from pathlib import Path
from typing import Any

from appstream_export.contracts import load_contracts
from appstream_export.lake.catalog.connect import connect_warehouse, publish_catalog
from appstream_export.lake.maintenance.verify import verify_warehouse
from appstream_export.lake.storage.factory import open_store
from appstream_export.lake.storage.paths import CATALOG_FILE
from benchmarks.children import run_uv
from benchmarks.estate import Estate
from benchmarks.findings import Findings

READER = Path(__file__).with_name("bare_reader.py")
ENDS = {"oldest": "lowest", "newest": "highest"}
"""Ends of the supported versions, in our words and in uv's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large the warehouses are."""

    builders: int = 5_000
    hours: int = 3


FULL = Size()
QUICK = Size(builders=100, hours=2)


def prove(size: Size, folder: Path) -> Findings:
    """Compare all pairs of writer and reader: every reader finds the same in every catalog."""
    found, rows = Findings(f"Catalogs of DuckDB's versions, {size.hours} hours of {size.builders} builders"), []
    versions = {end: _bare(end, "-c", "import duckdb; print(duckdb.__version__)").strip() for end in ENDS}
    truth: Any = None
    for writer, written_by in versions.items():
        warehouse = folder / writer
        _ours(written_by, "-m", __name__, str(warehouse), str(size.builders), str(size.hours))
        for reader, read_by in versions.items():
            answers = json.loads(_bare(reader, str(READER), str(warehouse / CATALOG_FILE)))
            truth = truth or answers
            word = found.promise(answers == truth, f"{read_by} reads other rows in the catalog of {written_by}")
            rows.append([written_by, read_by, len(answers["counts"]), answers["comments"], word])
    found.table(["written by", "read by", "views", "comments", "the same rows"], rows)
    return found


def write(warehouse: str, builders: int, hours: int) -> None:
    """Write a warehouse of hourly snapshots, each with a catalog, with the DuckDB of this process."""
    store = open_store(warehouse, create=True)
    for hour in range(hours):
        estate = Estate(builders, hour)
        estate.commit(store, estate.write(store))
        publish_catalog(store, load_contracts())
    with closing(connect_warehouse(warehouse)) as one, closing(connect_warehouse(warehouse)) as other:
        counts = [con.execute("select count(*) from image_builders").fetchall() for con in (one, other)]
        problems = verify_warehouse(store).problems
        if problems or counts != [[(builders,)]] * 2:
            raise RuntimeError(f"readers see {counts}, verify finds {problems}")


def _bare(end: str, *args: str) -> str:
    """Run Python with nothing but DuckDB: the oldest or the newest that pyproject.toml allows."""
    wanted = next(need for need in requires("appstream-export") or [] if need.startswith("duckdb"))
    options = ["--isolated", "--no-project", "--with", wanted, "--resolution", ENDS[end]]
    return run_uv("run", "--quiet", *options, "python", *args)


def _ours(version: str, *args: str) -> str:
    """Run Python with this project as it is installed here, except for its DuckDB."""
    return run_uv("run", "--quiet", "--no-sync", "--with", f"duckdb=={version}", "python", *args)


if __name__ == "__main__":
    write(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
