"""Each act of the lake, failed at its operation 1, 2, 3, ... in each mode until it passes untouched.

A trial prepares something to do, does it on a store that fails, compares what readers see with the model (which only
knows the old and the new snapshot), and lets a healthy store go on. What an act finds is made once: each trial begins
with the same bytes and names, so trials need not come in any order.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from appstream_export.lake.snapshots.manifest import find_attempt, load_head
from appstream_export.status import Status
from tests.lake.lakes import A, B, C, Lake, at
from tests.lake.model import Item, answer
from tests.lake.stores import Faulty, Mode, Raced
from tests.lake.told import Told

GONE = C.partition("/")[0]
OPERATIONS_MAX = 2_000  # an act that is still struck by then does not end


@dataclass(slots=True)
class Tally:
    """What became of the trials of an act in a mode."""

    operations: int = 0
    old: int = 0
    """Readers then saw the snapshot before it."""
    new: int = 0
    struck: Counter[str] = field(default_factory=Counter)
    """Operations by kind."""
    broken: list[str] = field(default_factory=list)
    """Trials in which a promise was, with the operation that went wrong."""


class Trials:
    """`make` opens an empty warehouse."""

    def __init__(self, make: Callable[[], Lake], acts: "Acts | None" = None) -> None:
        self._make, self._acts = make, ACTS if acts is None else acts
        self._begins: dict[str, tuple[Told, Callable[[], None]]] = {}
        self.struck: str | None = None
        """The operation that went wrong last."""

    def each(self, act: str, mode: Mode, *, start: int = 1, step: int = 1) -> Tally:
        """Fail every operation from `start` on, or each `step`-th, whatever became of the one before."""
        tally = Tally()
        for number in range(start, OPERATIONS_MAX, step):
            try:
                struck = self.one(act, mode, number)
            except Exception as error:  # noqa: BLE001  whatever a trial ends with is a finding
                tally.broken.append(f"operation {number}, {self.struck}: {type(error).__name__}: {error}")
                struck = self.struck
            else:
                tally.new += struck is not None and self._is_new
                tally.old += struck is not None and not self._is_new
            if struck is None:
                return tally
            tally.operations += 1
            tally.struck[struck.partition(" tables/")[0].partition(" commits/")[0]] += 1
        tally.broken.append(f"{act} has not passed after {OPERATIONS_MAX} operations")
        return tally

    def one(self, act: str, mode: Mode, number: int) -> str | None:
        """One of them: the operation that was struck; None when there were fewer."""
        self.struck = None
        told, do = self._begin(act), self._acts[act][1]
        before = load_head(told.healthy)
        store = Faulty(told.healthy, number, mode)
        try:
            with told.through(store):
                do(told, store)
        finally:
            self.struck = store.struck
        told.check()
        self._is_new = load_head(told.healthy) != before
        if store.struck is None:
            assert self._is_new or act in ("publish", "gc"), f"{act} said nothing, and did nothing"
        turn = (number + [*Mode].index(mode)) % 4  # who goes on, and how; another one in each mode
        if "commit" in act and (self._is_new or turn == 2):  # whoever lost the answer to the manifest always asks
            _same_again(told)
        _heal(told, do if turn in (1, 3) else None, is_thinned=turn == 0)
        return self.struck

    def _begin(self, act: str) -> Told:
        """A warehouse as the act finds it."""
        if act in self._begins:
            told, back = self._begins[act]
            back()
            return told
        told = Told(self._make())
        self._acts[act][0](told)
        told.check()
        self._begins[act] = told, told.keep()
        return told


def _same_again(told: Told) -> None:
    """Whoever did not hear whether an attempt has landed asks as `run()` does, and tries again only if it has not."""
    attempt = f"attempt-{told.lake.minute}"
    has_landed = attempt not in told.runs
    found = find_attempt(told.healthy, run_id=f"run-{attempt}", attempt_id=attempt)
    assert (found is not None) is has_landed
    if found is None:
        told.commit(*_truth(told.lake.minute), planned=[A, B, C], attempt=attempt)
        told.check()


def _heal(told: Told, do: "Do | None", *, is_thinned: bool) -> None:
    """The next clean run equals the truth, and nothing of the failed one is left: nobody has to help."""
    if do:
        do(told, told.healthy)  # as if nothing had been done
        told.lake.publish()  # readers of a published catalog need a tenth of the time
        told.served()
    truth = _truth(told.lake.minute)
    told.commit(*truth, planned=[A, B, C])
    told.lake.publish()
    told.served()  # already now: gc comes later, and is not what heals
    if is_thinned:
        told.thin()
    told.tidy()
    told.served()
    assert told.model.newest.image_builders == _rows(truth), "a clean run is the truth"


def _truth(minute: int) -> list[Any]:
    """Something new for each minute."""
    states = ("RUNNING", "STOPPED", "PENDING")
    item = Item(states[minute % 3], subnets=(f"subnet-{minute % 2}", "subnet-x"), errors=("E",) * (minute % 2))
    items = {"stays": item, f"new-{minute}": Item("PENDING", born=minute)}
    return [answer(scope, items, minute=minute + 1) for scope in (A, B, C)]


def _rows(truth: list[Any]) -> frozenset[tuple[Any, ...]]:
    return frozenset(
        (a.scope, b["name"], b["state"], b["created_time"], at(a.minute), False) for a in truth for b in a.builders
    )


Do = Callable[[Told, Any], object]


def _commit(told: Told, _: Any = None) -> None:
    """A run in which one scope answers, one fails, one is read in part, and an item cannot be read."""
    minute = told.lake.minute + 1
    told.commit(
        answer(A, {"stays": Item("REBOOTING"), "b": Item("RUNNING", subnets=("s",))}, spoilt=["bad"], minute=minute),
        answer(B, {}, Status.DENIED, minute=minute),
        answer(C, {f"part-{minute}": Item("RUNNING")}, Status.FILTERED, minute=minute),
        planned=[A, B, C],
    )


def _raced(told: Told, store: Any) -> None:
    """The same while a rival is faster: the second try is made on what the rival left."""
    rival = Told(Lake(told.healthy.root, s3=told.lake.s3))
    rival.runs, rival.lake.minute, rival.lake.who = told.runs, told.lake.minute, "rival"
    minute = told.lake.minute + 1

    def first() -> None:
        rival.commit(answer(B, {"rival": Item("RUNNING")}, minute=minute), planned=[A, B, C], attempt=f"r-{minute}")

    told.lake.store = Raced(store, [first])
    _commit(told)


def _publish(told: Told, _: Any) -> None:
    told.lake.publish()


def _thin(told: Told, _: Any) -> None:
    told.thin()


def _gc(told: Told, _: Any) -> None:
    told.gc()


def _erase(told: Told, _: Any) -> None:
    told.erase(GONE)


def _nothing(_: Told) -> None:
    """No preparation."""


def _two(told: Told) -> None:
    """Two snapshots, so that one can be let go, and a catalog that shows them."""
    _unpublished(told)
    told.lake.publish()


def _unpublished(told: Told) -> None:
    """The same with a catalog that shows the older one."""
    for _ in range(2):
        told.commit(*_truth(told.lake.minute), planned=[A, B, C])
        if not told.seq:
            told.settle()
            told.lake.publish()


def _litter(told: Told) -> None:
    """A snapshot that was let go, the files of an attempt that never committed, and unfinished ones."""
    _unpublished(told)
    told.thin()
    told.lake.draft(*_truth(told.lake.minute))


Acts = Mapping[str, tuple[Callable[[Told], None], Do]]
"""What comes before each, and what is done."""
ACTS: Acts = {
    "first commit": (_nothing, _commit),
    "commit": (_two, _commit),
    "raced commit": (_two, _raced),
    "publish": (_unpublished, _publish),
    "thin": (_two, _thin),
    "gc": (_litter, _gc),
    "erase": (_two, _erase),
}
