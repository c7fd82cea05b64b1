"""kill -9 of real exports and of maintenance at random moments, while processes read: nothing is torn or lost."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from time import monotonic, sleep
from typing import Any

from appstream_export.contracts import load_contracts
from appstream_export.lake.maintenance.vacuum import vacuum_warehouse
from appstream_export.lake.maintenance.verify import verify_warehouse
from appstream_export.lake.snapshots.manifest import load_head, load_history
from appstream_export.lake.storage import paths
from appstream_export.lake.storage.factory import open_store
from appstream_export.settings import S3Settings
from benchmarks.children import ROOT, START_S, Aws, Child, clean_environment
from benchmarks.findings import Findings
from benchmarks.proofs.lake_places import BUCKET, FOLDER, bucket
from benchmarks.proofs.lake_reader import Reader
from benchmarks.warehouse import by_role, settings_of, write_toml
from benchmarks.world import REGIONS, World

BOUND_S = 300.0
GRACE = "2m"  # no reader has a connection open for longer
CLEAN_EVERY = 5
RETENTION = {"lake.retention": {"hourly_days": 0, "daily_days": 0, "monthly_months": 1}}
UPKEEP_EVERY = 3
HALF = 0.5
COUNTED = (
    *("started", "killed", "had landed", "maintenance killed", "clean runs", "reads", "snapshots read"),
    *("torn reads", "errors of readers", "lost", "not repaired"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large the proof is."""

    kills: tuple[tuple[str, int], ...] = ((FOLDER, 100), (BUCKET, 40))
    """Places, and how many processes are started there to be killed."""
    readers: int = 2
    accounts: int = 3
    regions: int = 2
    items: int = 40
    seed: int = 1


FULL = Size()
QUICK = Size(kills=((FOLDER, 10), (BUCKET, 5)), readers=1)


def prove(size: Size, folder: Path) -> Findings:
    """Kill in each place; a table of kills, of reads beside them, and of counts that must be 0."""
    found, tallies = Findings(f"Kills: kill -9 at random moments, {size.readers} readers, seed {size.seed}"), []
    for where, kills in size.kills:
        if where == FOLDER:
            tallies.append(_Loop(found, size, str(folder / "warehouse"), None, folder).run(kills))
            continue
        with bucket() as made:
            tallies.append(_Loop(found, size, made.place(), made.settings, folder).run(kills))
    rows = [[where, *(tally[name] for name in COUNTED)] for (where, _), tally in zip(size.kills, tallies, strict=True)]
    found.table(["place", *COUNTED], rows)
    found.figures = {name: sum(tally[name] for tally in tallies) for name in COUNTED}
    return found


class _Loop:
    """Exports of a World that changes each time, most of them killed."""

    def __init__(self, found: Findings, size: Size, place: str, s3: S3Settings | None, folder: Path) -> None:
        self._found, self._size, self._place, self._s3 = found, size, place, s3
        self._dice, self._counts = Random(size.seed), Counter[str]()  # noqa: S311
        self._regions = REGIONS[: size.regions]
        self._config = folder / f"{'s3' if s3 else 'folder'}.toml"
        self._reader = Reader(place, s3, World(accounts=size.accounts, items=size.items), self._regions)
        self._arguments = {"place": place, "s3": {"endpoint_url": s3.endpoint_url} if s3 else None}

    def run(self, kills: int) -> Counter[str]:
        """Kill so many processes, with clean runs between them; return counts by the names in COUNTED."""
        with Aws(self._reader.world) as aws:
            write_toml(self._config, self._make_settings(aws.url))
            took_s, upkeep_s = min(self._run_clean(aws) for _ in range(2)), _wait_for_end(self._start_upkeep(0))
            with self._reading() as readers:
                for number in range(1, kills + 1):
                    is_upkeep = number % UPKEEP_EVERY == 0
                    self._kill(aws, number, upkeep_s if is_upkeep else took_s, is_upkeep=is_upkeep)
                    if number % CLEAN_EVERY == 0:
                        self._run_clean(aws)
                found = [reader.ask({}, BOUND_S) for reader in readers]
            self._run_clean(aws)
            self._check_leftovers()
        for read in found:
            self._found.promise(not read["wrong"], f"{self._place}: readers saw {read['wrong']}")
            for name, key in (("reads", "reads"), ("torn reads", "torn"), ("errors of readers", "errors")):
                self._counts[name] += read[key]
        seen = max((len(read["seen"]) for read in found), default=0)
        return self._counts + Counter({"started": kills, "snapshots read": seen})

    def _kill(self, aws: Aws, number: int, took_s: float, *, is_upkeep: bool) -> None:
        """Kill a process at a random moment; readers must then see the rows from before it, or all of its own."""
        before, _ = self._reader.read()
        if not is_upkeep:
            aws.change(generation=aws.world.generation + 1)
        process = self._start_upkeep(number) if is_upkeep else self._start_export()
        self._wait(process, took_s, is_upkeep=is_upkeep)
        was_alive = process.poll() is None
        process.kill()
        process.wait()
        self._counts["maintenance killed" if is_upkeep else "killed"] += was_alive
        generation, wrong = self._reader.read()
        allowed = {before} if is_upkeep else {before, aws.world.generation}
        self._counts["had landed"] += was_alive and generation != before
        self._counts["lost"] += bool(wrong) or generation not in allowed
        self._found.promise(not wrong, f"{self._place}, kill {number}: {wrong}")
        self._found.promise(generation in allowed, f"{self._place}, kill {number}: shows {generation}, not {allowed}")

    def _wait(self, process: subprocess.Popen[bytes], took_s: float, *, is_upkeep: bool) -> None:
        """Wait: half of the times up to any moment of its run, else until some moment after it begins to write."""
        if self._s3 or is_upkeep or self._dice.random() < HALF:
            sleep(self._dice.uniform(0.3, 1.0) * took_s)
            return
        first, until = Path(self._place, paths.TABLES_FOLDER, "image_builders"), monotonic() + took_s
        known = set(first.iterdir())
        while monotonic() < until and process.poll() is None and set(first.iterdir()) <= known:
            sleep(0.002)
        sleep(self._dice.uniform(0, 0.5) * took_s)

    def _run_clean(self, aws: Aws) -> float:
        """Run undisturbed: the warehouse must then show AWS as it is, without repair by hand."""
        aws.change(generation=aws.world.generation + 1)
        process = self._start_export()
        took_s, code = _wait_for_end(process), process.returncode
        generation, wrong = self._reader.read()
        store = open_store(self._place, s3=self._s3)
        wrong += [str(problem) for problem in verify_warehouse(store).problems if not problem.is_note]
        if code or generation != aws.world.generation:
            wrong.append(f"exit code {code}, generation {generation} instead of {aws.world.generation}")
        self._counts["clean runs"] += 1
        self._counts["not repaired"] += bool(wrong)
        self._found.promise(not wrong, f"{self._place}, clean run: {wrong[:3]}")
        return took_s

    def _check_leftovers(self) -> None:
        """Check that gc alone removes all files of killed processes."""
        store = open_store(self._place, s3=self._s3)
        vacuum_warehouse(store, load_contracts(), now=datetime.now(UTC) + timedelta(days=1), grace=timedelta())
        manifests, newest = load_history(store), load_head(store)
        oldest = max((m.seq for m in manifests if m.past is not None), default=0)
        needed = {file.path for manifest in manifests for file in manifest.files}
        needed |= {paths.build_manifest_path(m.seq) for m in manifests if m.seq >= oldest}
        prefixes = (f"{paths.TABLES_FOLDER}/", f"{paths.COMMITS_FOLDER}/", f"{paths.SCRATCH_FOLDER}/")
        present = {s.path for s in store.list_all() if s.path.startswith(prefixes) or paths.is_unfinished(s.path)}
        self._counts["not repaired"] += present != needed or newest is None
        self._found.promise(present == needed, f"{self._place}: left over or lost: {sorted(present ^ needed)[:3]}")

    @contextmanager
    def _reading(self) -> Generator[list[Child]]:
        arguments = self._arguments | {"regions": self._regions, "world": asdict(self._reader.world)}
        with ExitStack() as stack:
            module = "benchmarks.proofs.lake_reader"
            readers = [stack.enter_context(Child(module, json.dumps(arguments))) for _ in range(self._size.readers)]
            for reader in readers:
                reader.line(START_S)
            yield readers

    def _start_export(self) -> subprocess.Popen[bytes]:
        return _start_command("run", "--config", str(self._config))

    def _start_upkeep(self, number: int) -> subprocess.Popen[bytes]:
        command = ["expire"] if number % 2 else ["gc", "--grace", GRACE]
        return _start_command(*command, "--config", str(self._config))

    def _make_settings(self, url: str) -> dict[str, Any]:
        accounts = [by_role(account) for account in self._reader.world.account_ids()]
        s3 = {"lake.s3": {"endpoint_url": self._s3.endpoint_url}} if self._s3 else {}
        return settings_of(url, accounts, self._regions) | {"warehouse": self._place} | s3 | RETENTION


def _wait_for_end(process: subprocess.Popen[bytes]) -> float:
    """Return the seconds until its end."""
    began = monotonic()
    process.wait(timeout=BOUND_S)
    return monotonic() - began


def _start_command(*args: str) -> subprocess.Popen[bytes]:
    """Start a command of the CLI, silent."""
    command, quiet = [sys.executable, "-m", "appstream_export.cli.main", *args], subprocess.DEVNULL
    return subprocess.Popen(command, cwd=ROOT, env=clean_environment(), stdin=quiet, stdout=quiet, stderr=quiet)  # noqa: S603
