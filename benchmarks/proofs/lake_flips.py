"""Damage of each kind to each kind of committed or published file, one at a time: verify names what was damaged."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq

from appstream_export import feeds
from appstream_export.errors import ExportError
from appstream_export.feeds import report
from appstream_export.feeds.generations import CURRENT, DATABASE, FOLDER as FOLDER_OF_FEEDS, PACKAGE
from appstream_export.feeds.verify import verify_feeds as verify_feeds
from appstream_export.lake.catalog.connect import connect_warehouse, run_query
from appstream_export.lake.maintenance.verify import find_warehouse_problems
from appstream_export.lake.snapshots.manifest import load_history
from appstream_export.lake.storage import paths as layout
from appstream_export.lake.storage.base import Store
from appstream_export.model import Status
from appstream_export.settings import Settings
from benchmarks.findings import Findings
from benchmarks.proofs.lake_places import BUCKET, FOLDER, opened
from tests.lake.lakes import A, B, C, Lake
from tests.lake.model import Item, answer
from tests.lake.told import Told

_GONE = C.partition("/")[0]
_GENERATIONS = f"{layout.FEEDS}/generations/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large the proof is."""

    flips: tuple[tuple[str, int], ...] = ((FOLDER, 40), (BUCKET, 4))
    """Places, and bits flipped at random in each file there, besides those at offsets that matter."""
    per_kind: int = 3
    """Files of each kind and table that are damaged."""
    seed: int = 1


FULL = Size()
QUICK = Size(flips=((FOLDER, 2), (BUCKET, 0)), per_kind=1)


def prove(size: Size, folder: Path) -> Findings:
    """A table by place and kind of file; whatever was done to a file, verify must say so."""
    found = Findings(f"Flips: every kind of committed and published file, seed {size.seed}")
    header = ["place", "kind of file", "tables", "files", "bits flipped", "cut", "swapped", "deleted", "not found"]
    lines: list[list[object]] = []
    for where, flips in size.flips:
        with opened(where, folder) as make:
            lines += _Damages(found, where, _warehouse(make()), Random(size.seed), flips, size.per_kind).lines()  # noqa: S311
    found.table(header, lines)
    totals = [sum(int(str(line[column])) for line in lines) for column in range(4, len(header))]
    found.figures = {"bits flipped": totals[0], "other damage": sum(totals[1:4]), "not found": totals[4]}
    return found


def _warehouse(lake: Lake) -> Lake:
    """Snapshots with every kind of file in them: of fresh, carried, kept and erased rows."""
    told = Told(lake)
    for number in range(6):
        minute, item = lake.minute + 1, Item(f"S{number}", subnets=(f"s{number}",), errors=("E",))
        items = {"a": item, f"b{number}": item}
        told.commit(
            answer(A, items, spoilt=["z"], minute=minute),
            answer(B, items, Status.OK if number % 2 else Status.DENIED, minute=minute),
            answer(C, items, minute=minute),
            planned=[A, B, C],
        )
        if number == 3:
            told.thin()
            told.gc()
    told.erase(_GONE)
    for state in ("ONE", "TWO", "THREE"):  # after an erase: it writes kept files again
        told.commit(answer(A, {"a": Item(state)}, minute=lake.minute + 1), planned=[A, B])
    told.thin()
    told.commit(answer(A, {"a": Item("LAST")}, minute=lake.minute + 1), planned=[A, B])
    lake.publish()
    feeds.publish_feeds(lake.store, lake.contracts)
    with closing(connect_warehouse(str(lake.store.root), s3=lake.s3)) as con:
        report.publish_report(lake.store, lambda sql: run_query(con, sql), Settings())
    if problems := [*find_warehouse_problems(lake.store), *verify_feeds(lake.store)]:
        raise AssertionError(problems)
    return lake


class _Damages:
    """Each file is damaged, looked for, and put back as it was."""

    def __init__(self, found: Findings, where: str, lake: Lake, dice: Random, flips: int, per_kind: int) -> None:
        self._found, self._where, self._lake, self._dice, self._flips = found, where, lake, dice, flips
        self._files = self._chosen(per_kind)

    def lines(self) -> Iterator[list[object]]:
        """A line for each kind of file."""
        for kind, files in self._files.items():
            counts = dict.fromkeys(("flip", "cut", "swap", "delete", "missed"), 0)
            for path in files:
                for what, damaged in self._damages(path, files):
                    counts[what] += 1
                    counts["missed"] += not self._is_found(path, what, damaged)
            tables = {path.split("/")[1] for path in files if path.startswith(f"{layout.TABLES}/")}
            yield [self._where, kind, len(tables), len(files), *counts.values()]

    def _chosen(self, per_kind: int) -> Mapping[str, list[str]]:
        """Some files of each kind and table. Of equal content none: they would be found by nobody, nor missed."""
        manifests = load_history(self._lake.store)
        told_in = max(m.seq for m in manifests if m.past is not None)
        found = {"manifest": [layout.build_manifest_path(m.seq) for m in manifests if m.seq >= told_in]}
        groups: dict[tuple[str, str], list[str]] = {}
        for path in sorted({file.path for manifest in manifests for file in manifest.files}):
            kind = path.rpartition("/")[2].partition("-")[0]
            groups.setdefault((kind, path.split("/")[1]), []).append(path)
        for (kind, _), paths in sorted(groups.items()):
            found.setdefault(kind, []).extend(self._dice.sample(paths, min(per_kind, len(paths))))
        return found | self._published(per_kind)

    def _published(self, per_kind: int) -> dict[str, list[str]]:
        """Report, catalog (a bucket has none), and what readers of feeds open."""
        store = self._lake.store
        generation = sorted(stored.path for stored in store.list_all() if stored.path.startswith(_GENERATIONS))
        feed = self._dice.sample([path for path in generation if path.endswith(".parquet")], per_kind)
        package = [path for path in generation if path.endswith(PACKAGE)]
        pointer, database = (f"{FOLDER_OF_FEEDS}/{name}" for name in (CURRENT, DATABASE))
        found = {"report": [layout.REPORT], "feed": feed, "feeds' description": package}
        found |= {"feeds' pointer": [pointer], "feeds' database": [database]}
        return found | ({"catalog": [layout.CATALOG]} if store.has_catalog_file else {})

    def _damages(self, path: str, others: list[str]) -> Iterator[tuple[str, bytes | None]]:
        """What is put in place of the file, or None for nothing at all."""
        content = self._lake.store.read_bytes(path)
        places = [*_structure(path, content), *(self._dice.randrange(len(content)) for _ in range(self._flips))]
        for place in places:
            yield "flip", _flipped(content, place, self._dice.randrange(8))
        for length in (0, len(content) // 2, len(content) - 1):
            yield "cut", content[:length]
        yield "cut", content + b"\0"
        for other in others:
            if (foreign := self._lake.store.read_bytes(other)) != content:
                yield "swap", foreign
                break
        if path not in (layout.REPORT, layout.CATALOG):  # these may be missing: they are made anew
            yield "delete", None

    def _is_found(self, path: str, what: str, damaged: bytes | None) -> bool:
        store = self._lake.store
        whole = store.read_bytes(path)
        _put(store, path, damaged)
        named = _named(store, path)
        _put(store, path, whole)
        return self._found.promise(path in named, f"{self._where}: {what} of {path}: only {named} named") == "kept"


def _named(store: Store, path: str) -> set[str]:
    """The files that are called damaged, or missing."""
    if not path.startswith(layout.FEEDS):
        return {problem.path for problem in find_warehouse_problems(store) if not problem.is_note}
    try:
        told = verify_feeds(store)
    except ExportError as error:  # without its pointer nobody finds a feed, and is told so
        told = [f"{path}: {error}"]
    return {path for line in told if any(name in line for name in path.split("/")[-2:])}


def _structure(path: str, content: bytes) -> list[int]:
    """Offsets that matter: magic numbers, the footer and its length, the first bytes of each column's pages."""
    ends = [0, len(content) // 2, len(content) - 1]
    if not path.endswith(".parquet"):
        return ends
    footer = int.from_bytes(content[-8:-4], "little")
    metadata = pq.ParquetFile(pa.BufferReader(content)).metadata
    groups = [metadata.row_group(g) for g in range(metadata.num_row_groups)]
    pages = [group.column(c).data_page_offset for group in groups for c in range(0, group.num_columns, 5)]
    return [*ends, len(content) - 5, len(content) - 8 - footer, len(content) - 8 - footer // 2, *pages]


def _flipped(content: bytes, place: int, bit: int) -> bytes:
    changed = bytearray(content)
    changed[place] ^= 1 << bit
    return bytes(changed)


def _put(store: Store, path: str, content: bytes | None) -> None:
    """As somebody would who may write there."""
    store.remove(path)
    if content is not None:
        with store.open_output(path) as sink:
            sink.write(content)
