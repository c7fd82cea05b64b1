"""Any life of a warehouse: AWS changes, runs succeed, fail and are killed, histories are thinned, accounts erased.

After each step the warehouse must say what the model says. Most of it feeds answers through the lake's own door, so
that hundreds of lives are cheap; tests/run/test_lives.py does a smaller variant over the wire.
"""

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from appstream_export.lake.snapshots.manifest import find_attempt
from appstream_export.lake.storage.base import StoredObject
from appstream_export.status import Status
from tests.lake.lakes import Answer, Lake
from tests.lake.model import Item, answer
from tests.lake.stores import Faulty, Mode, Raced
from tests.lake.told import Told

ACCOUNTS = ("111122223333", "444455556666")
REGIONS = ("eu-west-1", "us-east-1")
SCOPES = tuple(f"{account}/{region}" for account in ACCOUNTS for region in REGIONS)
SICK = (Status.DENIED, Status.MALFORMED, Status.DISABLED, Status.THROTTLED)
CLASHES = 60  # an act has no more operations that a fault of this machine should meet

scopes, names = st.sampled_from(SCOPES), st.sampled_from(["a", "b", "c"])
states = st.sampled_from(["RUNNING", "STOPPED"])
children = st.lists(st.sampled_from(["x", "y"]), max_size=2).map(tuple)
accounts, operations = st.sampled_from(ACCOUNTS), st.integers(1, CLASHES)
modes = st.sampled_from(list(Mode))
rivals = st.sampled_from(["run", "run_limited", "run_named", "thin", "erase"])


class Lives(RuleBasedStateMachine):
    """An AWS of two accounts and two regions, and a warehouse in a folder."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="lives-"))
        self.told = Told(Lake(self.folder / "warehouse"))
        self.aws: dict[str, dict[str, Item]] = {scope: {} for scope in SCOPES}
        self.sick: dict[str, Status] = {}
        self.spoilt: set[str] = set()
        self.suspended: set[str] = set()
        self.accounts, self.regions = set(ACCOUNTS), set(REGIONS)
        self.rivals = 0
        self.happened: Counter[str] = Counter()
        """How often what has been done, for those who count."""
        self.compared: Sequence[StoredObject] | None = None
        """What lay there when the warehouse was last compared."""

    def teardown(self) -> None:
        """Only now: a failing life is looked at while it lasts."""
        shutil.rmtree(self.folder, ignore_errors=True)

    # What AWS and its owners do.

    @rule(scope=scopes, name=names, state=states, subnets=children, errors=children)
    def add_or_change(
        self, scope: str, name: str, state: str, subnets: tuple[str, ...], errors: tuple[str, ...]
    ) -> None:
        """A builder appears, or is another one in all but its birth."""
        known = self.aws[scope].get(name)
        born = known.born if known else self.told.lake.minute
        self.aws[scope][name] = Item(state, born, subnets, errors)

    @rule(scope=scopes, name=names)
    def delete(self, scope: str, name: str) -> None:
        """A builder goes."""
        self.aws[scope].pop(name, None)

    @rule(scope=scopes, name=names, state=states)
    def recreate(self, scope: str, name: str, state: str) -> None:
        """Another builder under the same name."""
        self.aws[scope][name] = Item(state, self.told.lake.minute + 1)

    @rule(scope=scopes, status=st.sampled_from(SICK))
    def fall_sick(self, scope: str, status: Status) -> None:
        """A scope answers no more."""
        self.sick[scope] = status

    @rule(scope=scopes)
    def heal(self, scope: str) -> None:
        """It answers again."""
        self.sick.pop(scope, None)
        self.spoilt.discard(scope)

    @rule(scope=scopes)
    def spoil(self, scope: str) -> None:
        """One of its items cannot be read."""
        self.spoilt.add(scope)

    @rule(account=accounts)
    def suspend_or_reopen(self, account: str) -> None:
        """An account is not asked while it is suspended."""
        self.suspended ^= {account}

    @rule(account=accounts)
    def remove_or_return(self, account: str) -> None:
        """An account leaves the settings, or comes back; one always stays."""
        self.accounts = self.accounts ^ {account} or {account}

    @rule(region=st.sampled_from(REGIONS))
    def change_regions(self, region: str) -> None:
        """A region leaves the settings, or comes back; one always stays."""
        self.regions = self.regions ^ {region} or {region}

    # What we do.

    @rule()
    def run(self) -> None:
        """Ask everything."""
        self.commit()
        self.told.lake.publish()

    @rule(limit=st.sets(scopes, min_size=1), name=names)
    def run_limited(self, limit: set[str], name: str) -> None:
        """Ask some scopes, and there only for one name."""
        self.commit(only=limit, name=name)
        self.told.lake.publish()

    @rule()
    def retry_failed(self) -> None:
        """Ask again what failed."""
        failed = {
            scope for scope, seen in self.told.model.scopes.items() if seen.status.is_failure and not seen.is_expected
        }
        self.commit(only=failed)
        self.told.lake.publish()

    @rule(at=operations, mode=modes)
    def run_with_fault(self, at: int, mode: Mode) -> None:
        """A run on a store that fails."""
        self.through(at, mode, self.run)

    @rule(at=operations, mode=modes)
    def same_attempt_again(self, at: int, mode: Mode) -> None:
        """A run that may not have heard that it has landed looks for itself, and commits only once."""
        self.through(at, mode, self.commit)
        self.told.settle()
        attempt = f"attempt-{self.told.lake.minute}"
        found = find_attempt(self.told.healthy, run_id=f"run-{attempt}", attempt_id=attempt)
        assert (found is None) is (attempt in self.told.runs)
        if found is None:
            self.commit(attempt=attempt)

    @rule(rival=rivals, is_older=st.booleans(), change=states)
    def two_at_once(self, rival: str, is_older: bool, change: str) -> None:
        """Somebody else commits between our answers and our commit; they may have asked later than we, or earlier."""
        self.two(rival, is_older, change, lambda store: store)

    @rule(at=operations, mode=modes, is_older=st.booleans(), change=states)
    def two_at_once_with_fault(self, at: int, mode: Mode, is_older: bool, change: str) -> None:
        """And then the disk fails."""
        self.two("run", is_older, change, lambda store: Faulty(store, at, mode))

    @rule()
    def publish(self) -> None:
        """The catalog."""
        if self.told.seq:
            self.told.lake.publish()

    @rule()
    def thin(self) -> None:
        """Only the newest snapshot stays."""
        self.told.thin()

    @rule()
    def collect(self) -> None:
        """Everything that nothing needs goes."""
        self.told.gc()

    @rule(act=st.sampled_from(["publish", "thin", "collect"]), at=st.integers(1, 25), mode=modes)
    def maintain_with_fault(self, act: str, at: int, mode: Mode) -> None:
        """Publication, thinning or gc on a store that fails."""
        self.through(at, mode, getattr(self, act))

    @precondition(lambda self: len(self.accounts) == 1)
    @rule(at=operations, mode=modes)
    def erase(self, at: int, mode: Mode) -> None:
        """The account that left the settings is erased, on a store that fails, and then again."""
        (gone,) = set(ACCOUNTS) - self.accounts
        self.through(at, mode, lambda: self.told.erase(gone))
        self.told.settle()
        assert self.told.erase(gone)
        self.told.settle()

    @rule()
    def clean_run_heals_everything(self) -> None:
        """Whatever happened before: AWS is well, one run, and nothing is left to be done by anybody."""
        self.happened["clean runs that healed everything"] += 1
        self.sick, self.spoilt, self.suspended = {}, set(), set()
        self.run()
        self.told.served()
        truth = {(s, name, item.state) for s in self.planned for name, item in self.aws[s].items()}
        assert {row[:3] for row in self.told.model.newest.image_builders} == truth
        assert {row[1:3] for row in self.told.model.newest.scope_runs} == {("ok", False)}
        self.told.tidy()

    @rule()
    def unchanged_run_changes_nothing(self) -> None:
        """Two runs on an AWS that stands still: the second proves no change."""
        self.commit()
        self.run()
        self.told.settle()
        assert self.told.model.newest.image_builder_changes == frozenset()

    # What always holds.

    @invariant()
    def readers_see_the_truth(self) -> None:
        """Rows, staleness, changes, one line of snapshots, no changed byte; where only AWS has changed, as before."""
        lies = self.told.healthy.list_all()
        if lies != self.compared:
            self.happened["states compared with the model"] += 1
            self.told.check()
            self.compared = lies

    @rule(number=st.integers(0, 20))
    def look_back(self, number: int) -> None:
        """A retained snapshot is served as it was."""
        self.told.check_past(number)

    @property
    def planned(self) -> list[str]:
        """Scopes of the settings."""
        return [s for s in SCOPES if s.partition("/")[0] in self.accounts and s.partition("/")[2] in self.regions]

    def heard(self, only: set[str] | None, name: str | None, minute: int) -> list[Answer]:
        """What the scopes answer that are asked."""
        asked = [scope for scope in self.planned if only is None or scope in only]
        return [self.answer(scope, name, minute) for scope in asked]

    def answer(self, scope: str, name: str | None, minute: int) -> Answer:
        """What a scope answers, now."""
        if scope.partition("/")[0] in self.suspended:
            return answer(scope, {}, Status.SKIPPED, minute=minute)
        if scope in self.sick:
            return answer(scope, {}, self.sick[scope], minute=minute)
        items = {n: item for n, item in self.aws[scope].items() if name in (None, n)}
        spoilt = ["z"] if scope in self.spoilt and name is None else []
        return answer(scope, items, Status.FILTERED if name else Status.OK, spoilt=spoilt, minute=minute)

    def commit(self, *, only: set[str] | None = None, name: str | None = None, attempt: str | None = None) -> None:
        """One run."""
        answers = self.heard(only, name, self.told.lake.minute + 1)
        self.told.commit(*answers, planned=self.planned, attempt=attempt)

    def through(self, at: int, mode: Mode, act: Callable[[], object]) -> None:
        """Do it on a store that fails."""
        store = Faulty(self.told.healthy, at, mode)
        with self.told.through(store):
            act()
        self.happened[f"operations failed: {mode}"] += store.struck is not None

    def two(self, rival: str, is_older: bool, change: str, around: Callable[[Any], Any]) -> None:
        """We ask, a rival asks and commits, we commit."""
        self.happened["two at once"] += 1
        told, ours = self.told, self.told.lake.minute + 1
        answers, planned = self.heard(None, None, ours), self.planned
        self.aws[planned[0]]["a"] = Item(change, ours)

        def first() -> None:
            theirs, through = told.lake.minute, told.lake.store
            told.lake.store, told.lake.minute = told.healthy, ours - 2 if is_older else ours
            try:
                self.act_of(rival)
            finally:
                told.lake.store, told.lake.minute = through, theirs
            told.settle()

        with told.through(around(Raced(told.healthy, [first]))):
            told.commit(*answers, planned=planned)
        told.lake.minute = ours + 1

    def act_of(self, rival: str) -> None:
        """What a rival does, under a name of its own."""
        self.rivals += 1
        attempt = f"rival-{self.rivals}"
        if rival == "run":
            self.commit(attempt=attempt)
        elif rival == "run_limited":
            self.commit(only=set(self.planned[:1]), attempt=attempt)
        elif rival == "run_named":
            self.commit(only=set(self.planned[:1]), name="a", attempt=attempt)
        elif rival == "thin":
            self.told.thin()
        elif gone := set(ACCOUNTS) - self.accounts:
            self.told.erase(*gone)
