"""Costs of a long history of hourly snapshots with 1% change, and of commands that start cold.

A query of the newest rows on a cold connection is compared with one of the same warehouse after its first snapshot; a
command with a Python that only imports duckdb. Rounds take turns.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from statistics import median

from appstream_export.contracts import load_contracts
from appstream_export.lake.catalog.connect import connect_warehouse, publish_catalog
from appstream_export.lake.snapshots.manifest import load_history
from appstream_export.lake.storage.base import Store
from appstream_export.lake.storage.factory import open_store
from benchmarks.children import clean_environment
from benchmarks.estate import Estate, Took
from benchmarks.findings import Findings

COMMANDS = (["--help"], ["sql", "select 1"], ["query"], ["tables"], ["describe", "image_builders"], ["status"])
READING = ("sql", "query", "status")
NEWEST = "select state, count(*) from image_builders group by 1"


def measure_long(builders: int, snapshots: int, rounds: int, folder: Path) -> Findings:
    """Compare a query of a long history with one after its first snapshot; the history stays in `folder`/all."""
    found = Findings(f"{snapshots} hourly snapshots of {builders} builders, 1% changed in each, {rounds} rounds")
    stores = {name: open_store(str(folder / name), create=True) for name in ("first", "all")}
    for hour in range(snapshots):
        estate = Estate(builders, hour)
        estate.commit(stores["all"], estate.write(stores["all"]))
        if hour == 0:
            shutil.copytree(folder / "all", folder / "first", dirs_exist_ok=True)
    for store in stores.values():
        publish_catalog(store, load_contracts())
    seconds = _time_in_turns({name: lambda s=store: _query_newest(s) for name, store in stores.items()}, rounds)
    found.figures = {"all": seconds["all"] / seconds["first"]}
    rows = []
    for name, store in stores.items():
        sizes = [file.size_bytes for file in store.list_all()]
        rows.append([name, len(load_history(store)), len(sizes), sum(sizes) / 1e6, seconds[name] * 1e3])
    found.table(["history", "snapshots", "files", "MB", "query ms"], rows)
    return found


def time_commands(warehouse: Path, rounds: int) -> Findings:
    """Compare commands in processes of their own with a Python that imports duckdb and ends."""
    found = Findings(f"A command that starts cold, {rounds} rounds")
    python, command = [sys.executable, "-c"], "import sys; from appstream_export.cli.main import main; sys.exit(main())"
    processes = {"import duckdb": [*python, "import duckdb"]}
    for words in COMMANDS:
        flags = ["--warehouse", str(warehouse)] if words[0] in READING else []
        processes[" ".join(words)] = [*python, command, *words, *flags]
    seconds = _time_in_turns({name: lambda p=process: _run_process(p) for name, process in processes.items()}, rounds)
    base = seconds["import duckdb"]
    found.figures = {name: some / base for name, some in seconds.items()}
    found.table(["process", "ms", "over import duckdb"], [[n, s * 1e3, s / base] for n, s in seconds.items()])
    return found


def _time_in_turns(acts: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return median seconds of each act; one more round warms up."""
    times: dict[str, list[float]] = {name: [] for name in acts}
    for _ in range(rounds + 1):
        for name, act in acts.items():
            with (took := Took()):
                act()
            times[name].append(took.wall_s)
    return {name: median(some[1:]) for name, some in times.items()}


def _query_newest(store: Store) -> None:
    with closing(connect_warehouse(str(store.root))) as con:
        con.sql(NEWEST).fetchall()


def _run_process(command: list[str]) -> None:
    subprocess.run(command, env=clean_environment(), stdout=subprocess.DEVNULL, check=True)  # noqa: S603  our own
