"""What a long history costs: `uv run python -m benchmarks.history [--builders N] [--snapshots N] [--rounds N]`.

Hourly snapshots with 1% change: a query of the newest rows on a cold connection, beside the same warehouse after its
first snapshot, and the bytes on disk, before and after thinning. A command that starts cold is compared with a Python
that only imports duckdb. Rounds take turns between what is compared.
"""

import shutil
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from appstream_export.contracts import load_contracts
from appstream_export.lake.catalog.connect import connect_warehouse, publish_catalog
from appstream_export.lake.maintenance.expire import expire_snapshots
from appstream_export.lake.maintenance.vacuum import vacuum_warehouse
from appstream_export.lake.maintenance.verify import verify_warehouse
from appstream_export.lake.snapshots.manifest import KIND_SWEEP, load_history
from appstream_export.lake.storage.base import Store
from appstream_export.lake.storage.factory import open_store
from appstream_export.settings import RetentionSettings
from benchmarks.children import clean_environment
from benchmarks.estate import Estate, Took, at
from benchmarks.findings import Findings, environment, say

POLICY = RetentionSettings(hourly_days=2, daily_days=90)
COMMANDS = (["--help"], ["sql", "select 1"], ["query"], ["tables"], ["describe", "image_builders"], ["status"])
READING = ("sql", "query", "status")
NEWEST = "select state, count(*) from image_builders group by 1"
CHANGES = (
    "select count(*), count(distinct snapshot_id), min(observed_at), max(snapshot_at), bit_xor(hash(new_value))"
    " from image_builder_changes_history"
)
SPANS = (
    "select new_value, count(*), sum(epoch(observed_at) - epoch(previous_observed_at))"
    " from image_builder_changes_history where column_name = 'state' group by 1 order by 1"
)
DAYS = "select count(distinct snapshot_at::date) from image_builder_changes_history"


def long(builders: int, snapshots: int, rounds: int, folder: Path) -> Findings:
    """Query of a view and bytes on disk in a long history, before and after thinning it."""
    found = Findings(f"{snapshots} hourly snapshots of {builders} builders, 1% changed in each, {rounds} rounds")
    stores = {name: open_store(str(folder / name), create=True) for name in ("first", "all")}
    for hour in range(snapshots):
        estate = Estate(builders, hour)
        estate.commit(stores["all"], estate.write(stores["all"]))
        if hour == 0:
            shutil.copytree(folder / "all", folder / "first", dirs_exist_ok=True)
    shutil.copytree(folder / "all", folder / "thinned")
    stores["thinned"] = open_store(str(folder / "thinned"))
    _thin(stores["thinned"], snapshots)
    for store in stores.values():
        publish_catalog(store, load_contracts())
    found.promise(_told(stores["thinned"]) == _told(stores["all"]), "changes or spans differ after thinning")
    found.promise(not verify_warehouse(stores["thinned"]).problems, "verify finds something in the thinned warehouse")
    seconds = _interleaved({name: lambda s=store: _ask(s) for name, store in stores.items()}, rounds)
    found.figures = {name: seconds[name] / seconds["first"] for name in ("all", "thinned")}
    found.table(
        ["history", "snapshots", "files", "MB", "query ms", "over the first"],
        [
            [name, *_size(store), seconds[name] * 1e3, seconds[name] / seconds["first"]]
            for name, store in stores.items()
        ],
    )
    return found


def cold(warehouse: Path, rounds: int) -> Findings:
    """A command in a process of its own, beside a Python that imports duckdb and ends."""
    found = Findings(f"A command that starts cold, {rounds} rounds")
    python, command = [sys.executable, "-c"], "import sys; from appstream_export.cli.main import main; sys.exit(main())"
    processes = {"import duckdb": [*python, "import duckdb"]}
    for words in COMMANDS:
        asked = ["--warehouse", str(warehouse)] if words[0] in READING else []
        processes[" ".join(words)] = [*python, command, *words, *asked]
    seconds = _interleaved({name: lambda p=process: _process(p) for name, process in processes.items()}, rounds)
    base = seconds["import duckdb"]
    found.figures = {name: some / base for name, some in seconds.items()}
    found.table(["process", "ms", "over import duckdb"], [[n, s * 1e3, s / base] for n, s in seconds.items()])
    return found


def _interleaved(acts: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each act; a round more than asked for warms up."""
    times: dict[str, list[float]] = {name: [] for name in acts}
    for _ in range(rounds + 1):
        for name, act in acts.items():
            with (took := Took()):
                act()
            times[name].append(took.wall_s)
    return {name: median(some[1:]) for name, some in times.items()}


def _ask(store: Store) -> None:
    with closing(connect_warehouse(str(store.root))) as con:
        con.sql(NEWEST).fetchall()


def _process(command: list[str]) -> None:
    subprocess.run(command, env=clean_environment(), stdout=subprocess.DEVNULL, check=True)  # noqa: S603  our own


def _thin(store: Store, hour: int) -> None:
    expire_snapshots(store, now=at(hour), policy=POLICY, tool_version="0", clock=lambda: at(hour))
    publish_catalog(store, load_contracts())
    vacuum_warehouse(store, load_contracts(), now=datetime.now(UTC) + timedelta(days=1), grace=timedelta())


def _size(store: Store) -> tuple[int, int, float]:
    """Retained snapshots, files and megabytes."""
    files = store.list_all()
    retained = sum(manifest.kind == KIND_SWEEP for manifest in load_history(store))
    return retained, len(files), sum(file.size_bytes for file in files) / 1e6


def _told(store: Store) -> list[object]:
    with closing(connect_warehouse(str(store.root))) as con:
        return [con.sql(query).fetchall() for query in (CHANGES, SPANS, DAYS)]


def main() -> int:
    """Print all figures; 1 when a promise was broken."""
    parser = ArgumentParser(description=__doc__)
    for name, value in (("builders", 5_000), ("snapshots", 200), ("rounds", 9)):
        parser.add_argument(f"--{name}", type=int, default=value)
    asked = parser.parse_args()
    say(environment())
    with tempfile.TemporaryDirectory() as folder:
        findings = [long(asked.builders, asked.snapshots, asked.rounds, Path(folder))]
        findings.append(cold(Path(folder) / "all", asked.rounds))
    for found in findings:
        say(f"\n{found}")
    return int(any(found.broken for found in findings))


if __name__ == "__main__":
    sys.exit(main())
