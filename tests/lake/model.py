"""What a warehouse must serve, told a second time in plain Python: the oracle of the lake's proofs.

A `World` is what its accounts hold and how they answer. A `Model` takes the same answers as `Lake.commit`, in the order
in which they were committed, and says which rows each snapshot shows and which changes it proves.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import duckdb

from appstream_export.status import Status
from tests.lake.lakes import Answer, at, bad, builder


@dataclass(frozen=True, slots=True, order=True)
class Item:
    """A builder as the proofs tell it: enough to see a lost row, a mixed row and a second life under the same name."""

    state: str
    born: int = 0
    """Minute in which it was created."""
    subnets: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()

    def row(self, name: str) -> dict[str, Any]:
        """As a lake is fed."""
        return builder(name, state=self.state, created_time=at(self.born), subnets=self.subnets, errors=self.errors)


Items = Mapping[str, Item]
Row = tuple[Any, ...]


def answer(scope: str, items: Items, status: Status = Status.OK, *, spoilt: Iterable[str] = (), minute: int) -> Answer:
    """What a scope answers; `spoilt` are items that nobody can read."""
    rows = [item.row(name) for name, item in sorted(items.items())] if status.is_answer else []
    quarantine = [bad(name, None, level="item") for name in spoilt] if status.is_answer else []
    return Answer(scope, rows, status, quarantine=quarantine, minute=minute)


@dataclass(frozen=True, slots=True)
class Seen:
    """A scope in a snapshot. `rows` are its items with the moments in which AWS gave them."""

    status: Status
    is_stale: bool = True
    is_expected: bool = False
    observed_at: datetime | None = None
    finished_at: datetime | None = None
    rows: Mapping[str, tuple[Item, datetime]] = field(default_factory=dict)
    spoilt: frozenset[str] = frozenset()

    @property
    def told_at(self) -> datetime | None:
        """The newest answer, complete or of a part: older ones come too late."""
        in_part = self.finished_at if self.status is Status.FILTERED else None
        moments = (self.observed_at, in_part, *(at for _, at in self.rows.values()))
        return max((moment for moment in moments if moment), default=None)


@dataclass(frozen=True, slots=True)
class Shown:
    """Everything that a reader may compare of one snapshot: sets of rows, by table."""

    image_builders: frozenset[Row]
    image_builder_subnets: frozenset[Row]
    image_builder_errors: frozenset[Row]
    scope_runs: frozenset[Row]
    quarantine: frozenset[Row]
    accounts: frozenset[Row]
    image_builder_changes: frozenset[Row]


NOTHING = Shown(*(frozenset() for _ in range(7)))


class Model:
    """The newest snapshot, and the rows of all before."""

    def __init__(self) -> None:
        self.scopes: dict[str, Seen] = {}
        self.snapshots: dict[int, Shown] = {}
        """By seq, sweeps only."""

    def commit(self, seq: int, answers: Iterable[Answer], planned: Iterable[str], started_at: datetime) -> None:
        """The same run as the lake's, on what came before it here."""
        asked, wanted, changes = {a.scope: a for a in answers}, set(planned), set[Row]()
        new: dict[str, Seen] = {}
        for scope in sorted(wanted | self.scopes.keys()):
            before, given = self.scopes.get(scope), asked.get(scope)
            if scope not in wanted and before and not (before.finished_at and before.finished_at > started_at):
                changes |= {_whole(scope, name, "ended", item) for name, (item, _) in before.rows.items()}
            elif given is None or scope not in wanted:
                new[scope] = before or Seen(Status.SKIPPED)
            elif before and (told_at := before.told_at) and told_at > at(given.minute or 0):
                new[scope] = before
            else:
                new[scope] = _heard(given, before)
                changes |= _changes(scope, before, given)
        self.scopes = new
        self.snapshots[seq] = _shown(new, changes)

    def erase(self, account: str) -> None:
        """It is in no snapshot any more."""
        self.scopes = {scope: seen for scope, seen in self.scopes.items() if not scope.startswith(account)}
        for seq, shown in self.snapshots.items():
            self.snapshots[seq] = _without(shown, account)

    @property
    def newest(self) -> Shown:
        """What readers must see."""
        return self.snapshots[max(self.snapshots)] if self.snapshots else NOTHING

    @property
    def all_changes(self) -> frozenset[Row]:
        """Those of all snapshots, the seq in front: they outlive them."""
        return frozenset((seq, *row) for seq, shown in self.snapshots.items() for row in shown.image_builder_changes)


def _heard(given: Answer, known: Seen | None) -> Seen:
    before = known or Seen(Status.SKIPPED)
    moment, status = at(given.minute or 0), given.status
    kept = replace(before, status=status, finished_at=moment, is_expected=False)
    if not status.is_answer:
        by_design = status in (Status.DISABLED, Status.UNAVAILABLE)
        return replace(kept, is_stale=True, is_expected=by_design and not before.rows)
    fresh = {b["name"]: (_item(b), moment) for b in given.builders}
    spoilt = frozenset(q["item_name"] for q in given.quarantine)
    if status is Status.OK and not spoilt:
        return replace(kept, rows=fresh, spoilt=spoilt, is_stale=False, observed_at=moment)
    kept = replace(kept, rows={**before.rows, **fresh}, spoilt=spoilt | before.spoilt - fresh.keys())
    if status is Status.FILTERED:
        return replace(kept, is_stale=bool(known and known.is_stale))
    return replace(kept, is_stale=False, observed_at=moment)


def _changes(scope: str, before: Seen | None, given: Answer) -> set[Row]:
    """What an answer proves: only complete ones know of deletions, and a first one only of what is there."""
    old = {name: item for name, (item, _) in before.rows.items()} if before else {}
    new = {b["name"]: _item(b) for b in given.builders}
    if not given.status.is_answer:
        return set()
    if before is None or before.observed_at is None:
        is_first = given.status is Status.OK
        return {_whole(scope, name, "first_seen", item) for name, item in new.items()} if is_first else set()
    found = {_whole(scope, name, "created", new[name]) for name in new.keys() - old.keys()}
    if given.status is Status.OK and not given.quarantine:
        found |= {_whole(scope, name, "deleted", old[name]) for name in old.keys() - new.keys()}
    for name in new.keys() & old.keys():
        found |= _differences(scope, name, old[name], new[name])
    return found


def _differences(scope: str, name: str, old: Item, new: Item) -> set[Row]:
    if old.born != new.born:
        return {_whole(scope, name, "deleted", old), _whole(scope, name, "created", new)}
    found = {("state", old.state, new.state)} if old.state != new.state else set[Row]()
    if sorted(old.subnets) != sorted(new.subnets):
        found |= {("image_builder_subnets", old.subnets, new.subnets)}
    if sorted(old.errors) != sorted(new.errors):
        found |= {("image_builder_errors", old.errors, new.errors)}
    return {(scope, name, "changed", *difference) for difference in found}


def _whole(scope: str, name: str, change: str, item: Item) -> Row:
    return (scope, name, change, None, None, item) if change in ("first_seen", "created") else (
        scope, name, change, None, item, None
    )  # fmt: skip


def _item(row: Mapping[str, Any]) -> Item:
    return Item(row["state"], _minute(row["created_time"]), tuple(row["subnets"]), tuple(row["errors"]))


def _minute(moment: datetime) -> int:
    return round((moment - at(0)).total_seconds() / 60)


def _shown(scopes: Mapping[str, Seen], changes: Iterable[Row]) -> Shown:
    seen_of = scopes.items()
    rows = [(s, n, item, when, seen.is_stale) for s, seen in seen_of for n, (item, when) in seen.rows.items()]
    runs = [(s, seen.status.value, seen.is_stale, seen.is_expected, seen.observed_at) for s, seen in seen_of]
    return Shown(
        image_builders=frozenset((s, n, i.state, at(i.born), when, stale) for s, n, i, when, stale in rows),
        image_builder_subnets=frozenset((s, n, p, v) for s, n, i, *_ in rows for p, v in enumerate(i.subnets)),
        image_builder_errors=frozenset((s, n, p, v) for s, n, i, *_ in rows for p, v in enumerate(i.errors)),
        scope_runs=frozenset(runs),
        quarantine=frozenset((s, name) for s, seen in seen_of for name in seen.spoilt),
        accounts=frozenset((s.partition("/")[0],) for s in scopes),
        image_builder_changes=frozenset(changes),
    )


def _without(shown: Shown, account: str) -> Shown:
    return Shown(
        *(frozenset(row for row in getattr(shown, name) if not row[0].startswith(account)) for name in Shown.__slots__)
    )


_QUERIES = {
    "image_builders": "select {scope}, name, state, created_time, observed_at{stale} from image_builders{of}",
    "image_builder_subnets": "select {scope}, image_builder_name, position, subnet_id from image_builder_subnets{of}",
    "image_builder_errors": "select {scope}, image_builder_name, position, error_code from image_builder_errors{of}",
    "scope_runs": "select {scope}, status, is_stale, is_expected, observed_at from scope_runs{of}",
    "quarantine": "select {scope}, item_name from quarantine{of}",
    "accounts": "select account_id from accounts{of}",
    "image_builder_changes": "select {scope}, name, change, column_name, old_value, new_value"
    " from image_builder_changes{of}",
}
_SCOPE = "account_id || '/' || region"


def shown(con: duckdb.DuckDBPyConnection, as_of: str | None = None) -> Shown:
    """What a connection serves, now or as of a moment. A row that is there twice is an error at once."""
    of = f"_as_of('{as_of}')" if as_of else ""
    return Shown(**{name: _rows(con, name, of) for name in Shown.__slots__})


def unlike(found: Shown, expected: Shown) -> dict[str, tuple[list[Row], list[Row]]]:
    """Tables that differ, with the rows that are too many and those that are missing."""
    pairs = {name: (getattr(found, name), getattr(expected, name)) for name in Shown.__slots__}
    return {n: (sorted(f - e, key=str)[:5], sorted(e - f, key=str)[:5]) for n, (f, e) in pairs.items() if f != e}


def changes_of_all(con: duckdb.DuckDBPyConnection) -> frozenset[Row]:
    """Every change that the warehouse still knows, the seq of its snapshot in front."""
    found = con.execute(
        f"select seq, {_SCOPE}, name, change, column_name, old_value, new_value"
        " from image_builder_changes_history join snapshots using (snapshot_id)"
    ).fetchall()
    rows = frozenset((seq, *_change(row)) for seq, *row in found)
    assert len(rows) == len(found), "a change is told twice"
    return rows


def _rows(con: duckdb.DuckDBPyConnection, name: str, of: str) -> frozenset[Row]:
    query = _QUERIES[name].format(scope=_SCOPE, of=of, stale=", is_stale")
    table = con.sql(query).to_arrow_table()
    found = [tuple(row.values()) for row in table.to_pylist()]
    if name == "image_builder_changes":
        found = [_change(row) for row in found]
    rows = frozenset(found)
    assert len(rows) == len(found), f"{name} holds a row twice"
    return rows


def _change(row: Iterable[Any]) -> Row:
    scope, name, change, column, old, new = row
    if change == "changed":
        return scope, name, change, column, _value(column, old), _value(column, new)
    return scope, name, change, column, _parsed(old), _parsed(new)


def _value(column: str, text: str) -> Any:
    if not column.startswith("image_builder_"):
        return text
    return tuple(element.get("subnet_id") or element.get("error_code") for element in json.loads(text))


def _parsed(text: str | None) -> Item | None:
    if text is None:
        return None
    told = json.loads(text)
    return Item(
        told["state"],
        _minute(datetime.fromisoformat(told["created_time"])),
        tuple(element["subnet_id"] for element in told["image_builder_subnets"]),
        tuple(element["error_code"] for element in told["image_builder_errors"]),
    )
