"""Each kind of fault at several rates and seeds, STS included, after a clean snapshot and healed by a clean run."""

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.children import Aws, Exporter, Hung
from benchmarks.faults import ALL_FAULTS, FAULTS, STALL, Fault
from benchmarks.findings import Findings
from benchmarks.warehouse import Scopes, by_role, mismatches, seen, settings_of
from benchmarks.world import REGIONS, World

KINDS_AT_ONCE = 3
BOUND_S = 180.0  # a cell takes 3 s on a quiet machine: its waits are at most 0.5 and 1 s for each page
STALL_S = 8.0  # task_timeout_s where answers never come; a worker is held as long


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large the proof is. Pages per scope = items / page_size, rounded up."""

    accounts: int = 20
    regions: int = 5
    items: int = 7
    page_size: int = 2
    workers: int = 16
    attempts: int = 3
    """Few, so that at a quarter of all calls some scopes must give up."""
    rates: tuple[float, ...] = (0.01, 0.05, 0.25)
    seeds: tuple[int, ...] = (1, 2, 3)
    kinds: tuple[str, ...] = (*FAULTS, STALL, "mixed")


FULL = Size()
QUICK = Size(accounts=8, rates=(0.25,), seeds=(1,))
COUNTED = ("cells", "faults met", "ok", "failed", "mismatches", "wrong status", "not healed")


def prove(size: Size, folder: Path) -> Findings:
    """Export through each kind of fault; a table by kind, in which every count of something wrong must be 0."""
    cells = len(size.kinds) * len(size.rates) * len(size.seeds)
    rates = ", ".join(f"{rate:.0%}" for rate in size.rates)
    scopes = size.accounts * size.regions
    found = Findings(f"Faults: {cells} cells of {scopes} scopes, {rates}, {len(size.seeds)} seeds")
    with ThreadPoolExecutor(KINDS_AT_ONCE) as pool:  # most of their time is waiting
        tallies = list(pool.map(lambda kind: _prove_kind(found, size, kind, folder), size.kinds))
    rows = [[kind, *(tally[name] for name in COUNTED)] for kind, tally in zip(size.kinds, tallies, strict=True)]
    found.table(["fault", *COUNTED], rows)
    found.figures = {name: sum(tally[name] for tally in tallies) for name in COUNTED}
    return found


def _prove_kind(found: Findings, size: Size, kind: str, folder: Path) -> Counter[str]:
    tally = Counter[str]()
    for seed in size.seeds:
        world = World(accounts=size.accounts, items=size.items, page_size=size.page_size)
        try:
            with Aws(world) as aws, Exporter() as exporter:
                _Exports(found, aws, size, kind, folder / f"{kind}-{seed}").chain(exporter, seed, tally)
        except Hung as hung:
            found.promise(False, f"{kind}, seed {seed}: {hung}")
    return tally


class _Exports:
    """A clean export, then for each rate a faulty one and another clean one, all into one warehouse."""

    def __init__(self, found: Findings, aws: Aws, size: Size, kind: str, folder: Path) -> None:
        self._found, self._aws, self._size, self._kind, self._folder = found, aws, size, kind, folder
        self._kinds = tuple(FAULTS) if kind == "mixed" else (kind,)

    def chain(self, exporter: Exporter, seed: int, tally: Counter[str]) -> None:
        """Run everything with one seed."""
        self._aws.change(generation=0, fault_rate=0.0, faults=self._kinds, seed=seed)
        self._judge("healed", self._run_export(exporter), None, self._aws.world, tally)
        for rate in self._size.rates:
            before = self._aws.world
            self._aws.change(generation=before.generation + 1, fault_rate=rate)
            export = self._run_export(exporter)
            served = self._aws.change(fault_rate=0.0)
            self._judge(f"{rate:.0%}", export, served, before, tally)
            self._aws.change(generation=before.generation + 2)
            self._judge("healed", self._run_export(exporter), None, before, tally)

    def _run_export(self, exporter: Exporter) -> dict[str, Any]:
        accounts = [by_role(account) for account in self._aws.world.account_ids()]
        regions = REGIONS[: self._size.regions]
        extract: dict[str, float] = {"workers": self._size.workers, "max_attempts": self._size.attempts}
        extract |= {"task_timeout_s": STALL_S} if self._kind == STALL else {}
        mapping = settings_of(self._aws.url, accounts, regions, **extract)
        return exporter.run(mapping, self._folder, BOUND_S, publish=False)

    def _judge(
        self, what: str, export: Mapping[str, Any], served: Mapping[str, Any] | None, before: World, tally: Counter[str]
    ) -> None:
        scopes = seen(self._folder / "warehouse")
        wrong = mismatches(scopes, self._aws.world, before)
        oks = sum(scope.is_ok for scope in scopes.values())
        if served is None:
            tally["not healed"] += len(scopes) - oks + len(wrong)
            words = [f"{a}/{r}: {s.status}: {s.reason}" for (a, r), s in scopes.items() if not s.is_ok]
            self._expect(what, [*words, *wrong])
            return
        failed = len(scopes) - oks
        odd = self._list_wrong_statuses(scopes, served["in_a_row"])
        if export["exit_code"] != (3 if failed else 0):
            odd.append(f"exit code {export['exit_code']} with {failed} failed")
        counts = (1, sum(served["faults"].values()), oks, failed, len(wrong), len(odd))
        tally.update(dict(zip(COUNTED, counts, strict=False)))
        self._expect(what, [*wrong, *odd])

    def _expect(self, what: str, wrong: Sequence[str]) -> None:
        text = f"{self._kind} {what} (seed {self._aws.world.seed}): {len(wrong)} wrong, such as {'; '.join(wrong[:2])}"
        self._found.promise(not wrong, text)

    def _list_wrong_statuses(self, scopes: Scopes, in_a_row: Mapping[str, int]) -> list[str]:
        """Describe scopes that failed without cause, that did not fail with cause, or that give another cause."""
        wrong = []
        kinds = [ALL_FAULTS[kind] for kind in self._kinds]
        for (account, region), scope in sorted(scopes.items()):
            met = max(in_a_row.get(account, 0), in_a_row.get(f"{account}/{region}", 0))
            if not scope.is_ok and scope.status not in {kind.status for kind in kinds}:
                wrong.append(f"{account}/{region} is {scope.status}: {scope.reason}")
            if not scope.is_ok and not met:
                wrong.append(f"{account}/{region} is {scope.status} and met no fault: {scope.reason}")
            if len(kinds) == 1 and kinds[0].is_exact and scope.is_ok is self._is_too_much(kinds[0], met):
                wrong.append(f"{account}/{region} is {scope.status} after {met} in a row: {scope.reason}")
        return wrong

    def _is_too_much(self, kind: Fault, in_a_row: int) -> bool:
        return kind.status is not None and in_a_row >= (kind.calls_max or self._size.attempts)
