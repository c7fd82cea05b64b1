"""A warehouse and a model that is told the same: whatever was done to the one, both must say the same afterwards."""

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from appstream_export.errors import CommitError, ConfigurationError
from appstream_export.lake.maintenance.erase import erase_account
from appstream_export.lake.maintenance.expire import expire_snapshots
from appstream_export.lake.maintenance.vacuum import VacuumResult, vacuum_warehouse
from appstream_export.lake.maintenance.verify import verify_warehouse
from appstream_export.lake.snapshots.manifest import KIND_ERASE, KIND_SWEEP, Manifest, load_history
from appstream_export.lake.storage import build_contract_path
from appstream_export.settings import RetentionSettings
from tests.lake.kept import keep
from tests.lake.lakes import Answer, Lake, at
from tests.lake.model import Model, changes_of_all, shown, unlike
from tests.lake.stores import Killed

NONE_OF_AN_HOUR = RetentionSettings(hourly_days=0, daily_days=0, monthly_months=24)
"""Of all snapshots of a month the last one stays."""
FAR = datetime(2100, 1, 1, tzinfo=UTC)
"""So late that the grace of whatever lies there is over."""


@dataclass(frozen=True, slots=True)
class Run:
    """What an attempt asked and heard."""

    answers: tuple[Answer, ...]
    planned: tuple[str, ...]
    started_at: datetime


class Told:
    """`lake.store` may be exchanged for one that fails; what is compared is read through a store that works."""

    def __init__(self, lake: Lake) -> None:
        self.lake, self.model, self.healthy = lake, Model(), lake.store
        self.runs: dict[str, Run] = {}
        self.erasing: list[str] = []
        self.seq = 0
        """Up to here the model knows the history."""

    def commit(self, *answers: Answer, planned: Iterable[str], attempt: str | None = None) -> Manifest:
        """One run at the lake's next minute."""
        minute = self.lake.minute + 1
        attempt = attempt or f"attempt-{minute}"
        run = Run(answers, tuple(planned), at(minute) - timedelta(seconds=30))
        self.runs[attempt] = run
        return self.lake.commit(*answers, planned=planned, attempt=attempt, clock=lambda: at(minute))

    def thin(self) -> object:
        """Let go of all snapshots but the newest."""
        self.settle()  # what is let go is not told to the model afterwards
        self.lake.minute += 1
        now = at(self.lake.minute)
        return expire_snapshots(self.lake.store, now=now, policy=NONE_OF_AN_HOUR, tool_version="0", clock=lambda: now)

    def gc(self) -> VacuumResult:
        """Collect everything that nothing needs, however young: nobody else is at work."""
        self.lake.reopen()
        return vacuum_warehouse(self.lake.store, self.lake.contracts, now=FAR, grace=timedelta())

    def erase(self, account: str) -> bool:
        """Erase an account; whether no byte of it is left."""
        self.lake.minute += 1
        self.erasing.append(account)
        now = at(self.lake.minute)
        with suppress(ConfigurationError):  # nothing here holds it: never, or no more
            return erase_account(
                self.lake.store, self.lake.contracts, account, now=FAR, tool_version="0", grace=timedelta(),
                clock=lambda: now,
            ).is_gone  # fmt: skip
        return True

    @contextmanager
    def through(self, store: Any) -> Generator[None]:
        """Do the block through another store, which may kill the process or fail in a way that we foresee."""
        self.lake.store = store
        try:
            yield
        except (Killed, CommitError) as error:
            if "\n" in str(error):
                raise AssertionError(f"told in more than one line: {error}") from error
        finally:
            self.lake.store = self.healthy
            self.lake.reopen()

    def settle(self) -> list[Manifest]:
        """Tell the model what has landed since, in its order; the whole history as it is told now."""
        manifests = load_history(self.healthy)
        for manifest in (m for m in manifests if m.seq > self.seq):
            if manifest.kind == KIND_SWEEP:
                run = self.runs.pop(manifest.attempt_id)  # a KeyError: it has committed twice
                self.model.commit(manifest.seq, run.answers, run.planned, run.started_at)
            elif manifest.kind == KIND_ERASE:
                self.model.erase(self.erasing[-1])
        self.seq = manifests[-1].seq if manifests else 0
        return manifests

    def keep(self) -> Callable[[], None]:
        """Remember how all stands; whoever calls the answer goes back there, with the warehouse and with the model."""
        back = keep(self.healthy)
        minute, seq, scopes, snapshots = self.lake.minute, self.seq, self.model.scopes, dict(self.model.snapshots)
        runs, erasing = dict(self.runs), [*self.erasing]

        def restore() -> None:
            self.lake.close()  # who has a catalog open in this process would be shown the same one under its name
            back()
            self.lake.store, self.lake.minute, self.seq = self.healthy, minute, seq
            self.model.scopes, self.model.snapshots = scopes, dict(snapshots)
            self.runs, self.erasing = dict(runs), [*erasing]

        return restore

    def check(self) -> None:
        """As `served`, and no byte has changed."""
        self.served()
        assert [str(problem) for problem in verify_warehouse(self.healthy).problems if not problem.is_note] == []

    def served(self) -> None:
        """One line of snapshots; readers see the newest one whole, and every change that there ever was."""
        manifests = self.settle()
        moments = [m.committed_at for m in manifests]
        assert moments == sorted(set(moments)), "the history is not in one line"
        if manifests:
            con = self.lake.con
            differs = unlike(shown(con), self.model.newest)
            assert not differs, f"too many and missing: {differs}"
            assert changes_of_all(con) == self.model.all_changes

    def check_past(self, number: int) -> None:
        """One of the snapshots that are left is served as it was."""
        sweeps = [m for m in self.settle() if m.kind == KIND_SWEEP]
        if sweeps:
            chosen = sweeps[number % len(sweeps)]
            past = shown(self.lake.con, chosen.committed_at.isoformat())
            differs = unlike(past, self.model.snapshots[chosen.seq])
            assert not differs, f"too many and missing: {differs}"

    def tidy(self) -> None:
        """After gc and publication nothing lies there that no snapshot needs, and there is nothing to be noted."""
        if not self.gc().files:  # else it has published
            self.lake.publish()
        manifests = load_history(self.healthy)
        needed = {file.path for manifest in manifests for file in manifest.files}
        told_in = max((m.seq for m in manifests if m.past is not None), default=0)
        commits = {f"commits/{m.seq:012}.json" for m in manifests if m.seq >= told_in}
        lying = {file.path for file in self.healthy.list_all()} - {"warehouse.duckdb"}
        contracts = {path for path in lying if path.startswith("contracts/")}  # a later commit may name any of them
        assert lying - contracts == needed | commits
        assert contracts >= {
            build_contract_path(entry.sha256) for manifest in manifests for entry in manifest.contracts.values()
        }
        assert [str(problem) for problem in verify_warehouse(self.healthy).problems] == []
