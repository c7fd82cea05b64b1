"""kill -9 of real exports and of upkeep at random moments, while processes read: nothing torn, lost or left to mend."""

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

from appstream_export.contracts import load_contracts
from appstream_export.lake.maintenance.vacuum import vacuum_warehouse
from appstream_export.lake.maintenance.verify import verify_warehouse
from appstream_export.lake.snapshots.manifest import load_head, load_history
from appstream_export.lake.storage import paths
from appstream_export.lake.storage.factory import open_store
from appstream_export.settings import S3Settings
from benchmarks.children import ROOT, Aws, Child, clean_environment
from benchmarks.findings import Findings
from benchmarks.proofs.lake_places import BUCKET, FOLDER, bucket
from benchmarks.proofs.lake_reader import Reader
from benchmarks.warehouse import by_role
from benchmarks.world import REGIONS, World

BOUND_S = 300.0
READ_S = 120.0  # no reader has a connection open for longer: upkeep leaves what it may see
CLEAN_EVERY = 5
UPKEEP_EVERY = 3
HALF = 0.5


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
    """A table by place: kills, reads beside them, and what must be 0."""
    found = Findings(f"Kills: kill -9 at random moments, {size.readers} readers beside it, seed {size.seed}")
    header = [
        *("place", "started", "killed", "had landed", "upkeep killed", "clean runs", "reads", "snapshots read"),
        *("torn reads", "errors of readers", "lost", "not repaired"),
    ]
    lines: list[list[object]] = []
    for where, kills in size.kills:
        with _place(where, folder) as (place, s3):
            lines.append([where, *_Loop(found, size, place, s3, folder).run(kills)])
    found.table(header, lines)
    totals = {name: sum(int(str(line[n])) for line in lines) for n, name in enumerate(header) if n}
    found.figures = {name: totals[name] for name in ("killed", "reads", "torn reads", "lost", "not repaired")}
    return found


@contextmanager
def _place(where: str, folder: Path) -> Generator[tuple[str, S3Settings | None]]:
    if where == FOLDER:
        yield str(folder / "warehouse"), None
        return
    with bucket() as found:
        yield found.place(), found.settings


class _Loop:
    """Exports of a World that is another one each time, most of them killed."""

    def __init__(self, found: Findings, size: Size, place: str, s3: S3Settings | None, folder: Path) -> None:
        self._found, self._size, self._place, self._s3 = found, size, place, s3
        self._dice, self._counts = Random(size.seed), Counter[str]()  # noqa: S311
        self._regions = REGIONS[: size.regions]
        self._config = folder / f"{'s3' if s3 else 'folder'}.toml"
        self._reader = Reader(place, s3, World(accounts=size.accounts, items=size.items), self._regions)
        self._told = {"place": place, "s3": {"endpoint_url": s3.endpoint_url} if s3 else None}

    def run(self, kills: int) -> list[object]:
        """Figures of the table, the place left out."""
        with Aws(self._reader.world) as aws:
            self._config.write_text(self._settings(aws.url))
            took_s, upkeep_s = min(self._clean(aws) for _ in range(2)), _life_s(self._upkeep())
            with self._reading() as readers:
                for number in range(1, kills + 1):
                    is_upkeep = number % UPKEEP_EVERY == 0
                    self._kill(aws, number, upkeep_s if is_upkeep else took_s, is_upkeep=is_upkeep)
                    if number % CLEAN_EVERY == 0:
                        self._clean(aws)
                read = [reader.ask({}, BOUND_S) for reader in readers]
            self._clean(aws)
            self._leave_nothing()
        for told in read:
            self._found.promise(not told["wrong"], f"{self._place}: readers saw {told['wrong']}")
        totals = {key: sum(told[key] for told in read) for key in ("reads", "torn", "errors")}
        seen = max((told["generations"] for told in read), default=0)
        names = ("killed", "landed", "upkeep killed", "clean")
        counts = [self._counts[name] for name in names]
        ends = [self._counts["lost"], self._counts["unrepaired"]]
        return [kills, *counts, totals["reads"], seen, totals["torn"], totals["errors"], *ends]

    def _kill(self, aws: Aws, number: int, took_s: float, *, is_upkeep: bool) -> None:
        """Start something, kill it at a random moment; readers then see the rows from before it, or all of its own."""
        before, _ = self._reader.read()
        if not is_upkeep:
            aws.change(generation=aws.world.generation + 1)
        process = self._upkeep() if is_upkeep else self._export()
        self._wait(process, took_s, is_upkeep=is_upkeep)
        was_alive = process.poll() is None
        process.kill()
        process.wait()
        self._counts["upkeep killed" if is_upkeep else "killed"] += was_alive
        generation, wrong = self._reader.read()
        allowed = {before} if is_upkeep else {before, aws.world.generation}
        self._counts["landed"] += was_alive and generation != before
        if wrong or generation not in allowed:
            self._counts["lost"] += 1
        self._found.promise(not wrong, f"{self._place}, kill {number}: {wrong}")
        self._found.promise(generation in allowed, f"{self._place}, kill {number}: shows {generation}, not {allowed}")

    def _wait(self, process: subprocess.Popen[bytes], took_s: float, *, is_upkeep: bool) -> None:
        """Half of the times anywhere in its life, else from the moment on in which it begins to write."""
        if self._s3 or is_upkeep or self._dice.random() < HALF:
            sleep(self._dice.uniform(0.3, 1.0) * took_s)
            return
        first, until = Path(self._place, paths.TABLES_FOLDER, "image_builders"), monotonic() + took_s
        known = set(first.iterdir())
        while monotonic() < until and process.poll() is None and set(first.iterdir()) <= known:
            sleep(0.002)
        sleep(self._dice.uniform(0, 0.5) * took_s)

    def _clean(self, aws: Aws) -> float:
        """A run that nobody disturbs shows AWS as it is, and needs no help."""
        aws.change(generation=aws.world.generation + 1)
        process = self._export()
        took_s, code = _life_s(process), process.returncode
        generation, wrong = self._reader.read()
        store = open_store(self._place, s3=self._s3)
        wrong += [str(problem) for problem in verify_warehouse(store).problems if not problem.is_note]
        if code or generation != aws.world.generation:
            wrong.append(f"exit code {code}, generation {generation} instead of {aws.world.generation}")
        self._counts["clean"] += 1
        self._counts["unrepaired"] += bool(wrong)
        self._found.promise(not wrong, f"{self._place}, clean run: {wrong[:3]}")
        return took_s

    def _leave_nothing(self) -> None:
        """gc alone takes away what all the killed processes left."""
        store = open_store(self._place, s3=self._s3)
        vacuum_warehouse(store, load_contracts(), now=datetime.now(UTC) + timedelta(days=1), grace=timedelta())
        manifests, newest = load_history(store), load_head(store)
        told_in = max((m.seq for m in manifests if m.past is not None), default=0)
        needed = {file.path for manifest in manifests for file in manifest.files}
        needed |= {paths.build_manifest_path(m.seq) for m in manifests if m.seq >= told_in}
        ours = (f"{paths.TABLES_FOLDER}/", f"{paths.COMMITS_FOLDER}/", f"{paths.SCRATCH_FOLDER}/")
        lying = {s.path for s in store.list_all() if s.path.startswith(ours) or paths.is_unfinished(s.path)}
        self._counts["unrepaired"] += lying != needed or newest is None
        self._found.promise(lying == needed, f"{self._place}: left over or lost: {sorted(lying ^ needed)[:3]}")

    @contextmanager
    def _reading(self) -> Generator[list[Child]]:
        told = self._told | {"regions": self._regions, "world": asdict(self._reader.world)}
        with ExitStack() as stack:
            module = "benchmarks.proofs.lake_reader"
            yield [stack.enter_context(Child(module, json.dumps(told))) for _ in range(self._size.readers)]

    def _export(self) -> subprocess.Popen[bytes]:
        return _started("appstream_export.cli.main", "--config", str(self._config), "run")

    def _upkeep(self) -> subprocess.Popen[bytes]:
        return _started("benchmarks.proofs.lake_upkeep", json.dumps(self._told | {"grace_s": READ_S}))

    def _settings(self, url: str) -> str:
        accounts = [by_role(account) for account in self._reader.world.account_ids()]
        parts = [
            f"warehouse = {json.dumps(self._place)}\nregions = {json.dumps(self._regions)}\n",
            *("\n".join(["[[accounts]]", *(f"{k} = {json.dumps(v)}" for k, v in a.items()), ""]) for a in accounts),
            f"[aws]\nendpoint_url = {json.dumps(url)}\n",
            f"[lake.s3]\nendpoint_url = {json.dumps(self._s3.endpoint_url)}\n" if self._s3 else "",
        ]
        return "\n".join(parts)


def _life_s(process: subprocess.Popen[bytes]) -> float:
    """How long it takes to its end."""
    began = monotonic()
    process.wait(timeout=BOUND_S)
    return monotonic() - began


def _started(module: str, *args: str) -> subprocess.Popen[bytes]:
    """A process of our own, silent."""
    command = [sys.executable, "-m", module, *args]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(  # noqa: S603  our own modules
        command, cwd=ROOT, env=clean_environment(), stdin=quiet, stdout=quiet, stderr=quiet
    )
