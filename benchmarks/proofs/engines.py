"""The oldest and the newest DuckDB that we say we support, each in an environment of its own.

Each writes a warehouse with our code, hour by hour with a catalog each, and checks it while two readers of the same
process have it open. Then each reads both catalogs bare, as people and BI tools do.
"""

import json
import os
import shutil
import subprocess
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
from benchmarks.children import ROOT
from benchmarks.estate import Estate
from benchmarks.findings import Findings

READER = Path(__file__).with_name("bare_reader.py")
ENDS = {"oldest": "lowest", "newest": "highest"}
"""Which end of the supported versions, in our words and in uv's."""
TIMEOUT_S = 300


class Unreachable(Exception):
    """An environment could not be made: uv is missing, or the registry could not be asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large the warehouses are."""

    builders: int = 5_000
    hours: int = 3


FULL = Size()
QUICK = Size(builders=100, hours=2)


def prove(size: Size, folder: Path) -> Findings:
    """One table: who wrote, who read, how many views. Every reader says the same of every catalog."""
    found, rows = Findings(f"Catalogs of DuckDB's versions, {size.hours} hours of {size.builders} builders"), []
    versions = {end: _bare(end, "-c", "import duckdb; print(duckdb.__version__)").strip() for end in ENDS}
    truth: Any = None
    for writer, written_by in versions.items():
        warehouse = folder / writer
        _ours(written_by, "-m", __name__, str(warehouse), str(size.builders), str(size.hours))
        for reader, read_by in versions.items():
            said = json.loads(_bare(reader, str(READER), str(warehouse / CATALOG_FILE)))
            truth = truth or said["answers"]
            otherwise = f"{read_by} reads something else in what {written_by} wrote"
            word = found.promise(said["answers"] == truth and said["version"] == read_by, otherwise)
            rows.append([written_by, read_by, len(said["answers"]["counts"]), said["answers"]["comments"], word])
    found.table(["written by", "read by", "views", "comments", "the same rows"], rows)
    return found


def write(warehouse: str, builders: int, hours: int) -> None:
    """A warehouse of so many hourly snapshots, each with a catalog; by whatever DuckDB this process has."""
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
    """Run Python with nothing but DuckDB, from the oldest or the newest end of what our package allows."""
    wanted = next(need for need in requires("appstream-export") or [] if need.startswith("duckdb"))
    return _uv("--isolated", "--no-project", "--with", wanted, "--resolution", ENDS[end], "python", *args)


def _ours(version: str, *args: str) -> str:
    """Run Python with this project as it is installed here, but for its DuckDB."""
    return _uv("--no-sync", "--with", f"duckdb=={version}", "python", *args)


def _uv(*args: str) -> str:
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv is None:
        raise Unreachable("uv is not on the PATH")
    done = subprocess.run(  # noqa: S603  ourselves, in other environments
        [uv, "run", "--quiet", *args], cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    if done.returncode and "Traceback" not in done.stderr:
        raise Unreachable(done.stderr.strip().splitlines()[0])
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


if __name__ == "__main__":
    write(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
