"""Damage of each kind to each kind of committed or published file, one at a time: verify names what was damaged."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq

from appstream_export import feeds
from appstream_export.errors import ExportError
from appstream_export.feeds import report
from appstream_export.feeds.generations import CURRENT, FEEDS_DATABASE, FEEDS_ROOT, PACKAGE, V2
from appstream_export.feeds.verify import verify_feeds
from appstream_export.lake.maintenance.verify import verify_warehouse
from appstream_export.lake.snapshots.manifest import load_history
from appstream_export.lake.storage import paths
from appstream_export.lake.storage.base import Store
from appstream_export.settings import Settings
from appstream_export.status import Status
from benchmarks.findings import Findings
from benchmarks.proofs.lake_places import BUCKET, FOLDER, opened
from tests.lake.lakes import A, B, C, Lake
from tests.lake.model import Item, answer
from tests.lake.told import Told

_GONE = C.partition("/")[0]
_GENERATIONS = f"{FEEDS_ROOT}/{V2}/generations/"


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
DAMAGES = ("bits flipped", "cut", "swapped", "deleted", "not found")


def prove(size: Size, folder: Path) -> Findings:
    """Damage files in each place; a table by kind of file. Verify must name every damaged one."""
    found, rows = Findings(f"Flips: every kind of committed and published file, seed {size.seed}"), []
    for where, flips in size.flips:
        with opened(where, folder) as make:
            lake, dice = _make_warehouse(make()), Random(size.seed)  # noqa: S311
            for kind, files in _choose_files(lake, dice, size.per_kind).items():
                counts = dict.fromkeys(DAMAGES, 0)
                for path in files:
                    for what, damaged in _list_damages(lake.store, path, files, dice, flips):
                        counts[what] += 1
                        named = _find_named(lake.store, path, damaged)
                        problem = f"{where}: {what} of {path}: only {named} named"
                        counts["not found"] += found.promise(path in named, problem) != "kept"
                rows.append([where, kind, len(files), *counts.values()])
    found.table(["place", "kind of file", "files", *DAMAGES], rows)
    found.figures = {what: sum(int(str(row[3 + n])) for row in rows) for n, what in enumerate(DAMAGES)}
    return found


def _make_warehouse(lake: Lake) -> Lake:
    """Fill it with snapshots that have every kind of file: of fresh, carried, kept and erased rows."""
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
    report.publish_report(lake.store, lake.contracts, Settings())
    if problems := [*verify_warehouse(lake.store).problems, *verify_feeds(lake.store)]:
        raise AssertionError(problems)
    return lake


def _choose_files(lake: Lake, dice: Random, per_kind: int) -> dict[str, list[str]]:
    """Choose some files of each kind and table."""
    manifests = load_history(lake.store)
    oldest = max(m.seq for m in manifests if m.past is not None)
    found = {"manifest": [paths.build_manifest_path(m.seq) for m in manifests if m.seq >= oldest]}
    groups: dict[tuple[str, str], list[str]] = {}
    for path in sorted({file.path for manifest in manifests for file in manifest.files}):
        kind = path.rpartition("/")[2].partition("-")[0]
        groups.setdefault((kind, path.split("/")[1]), []).append(path)
    for (kind, _), group in sorted(groups.items()):
        found.setdefault(kind, []).extend(dice.sample(group, min(per_kind, len(group))))
    generation = sorted(stored.path for stored in lake.store.list_all() if stored.path.startswith(_GENERATIONS))
    found |= {
        "report": [paths.REPORT_FILE],
        "feed": dice.sample([path for path in generation if path.endswith(".parquet")], per_kind),
        "feeds' description": [path for path in generation if path.endswith(PACKAGE)],
        "feeds' pointer": [f"{FEEDS_ROOT}/{V2}/{CURRENT}"],
        "feeds' database": [f"{FEEDS_ROOT}/{V2}/{FEEDS_DATABASE}"],
    }
    return found | ({"catalog": [paths.CATALOG_FILE]} if lake.store.has_catalog_file else {})


def _list_damages(
    store: Store, path: str, others: list[str], dice: Random, flips: int
) -> Iterator[tuple[str, bytes | None]]:
    """Yield each damage and the content that replaces the file's, or None for a missing file."""
    content = store.read_bytes(path)
    for place in [*_structure(path, content), *(dice.randrange(len(content)) for _ in range(flips))]:
        yield "bits flipped", _flip(content, place, dice.randrange(8))
    for length in (0, len(content) // 2, len(content) - 1):
        yield "cut", content[:length]
    yield "cut", content + b"\0"
    foreign = (store.read_bytes(other) for other in others)
    if other := next((each for each in foreign if each != content), None):
        yield "swapped", other
    if path not in (paths.REPORT_FILE, paths.CATALOG_FILE):  # these may be missing: the next run makes them again
        yield "deleted", None


def _find_named(store: Store, path: str, damaged: bytes | None) -> set[str]:
    """Return the files that verify calls damaged or missing while this one is damaged."""
    whole = store.read_bytes(path)
    _put(store, path, damaged)
    try:
        if not path.startswith(FEEDS_ROOT):
            return {problem.path for problem in verify_warehouse(store).problems if not problem.is_note}
        problems = verify_feeds(store)
    except ExportError as error:  # without its pointer no feed is found, and the error says so
        problems = [f"{path}: {error}"]
    finally:
        _put(store, path, whole)
    return {path for line in problems if any(name in line for name in path.split("/")[-2:])}


def _structure(path: str, content: bytes) -> list[int]:
    """Return offsets that matter: magic numbers, the footer and its length, the first bytes of each column's pages."""
    ends = [0, len(content) // 2, len(content) - 1]
    if not path.endswith(".parquet"):
        return ends
    footer = int.from_bytes(content[-8:-4], "little")
    metadata = pq.ParquetFile(pa.BufferReader(content)).metadata
    groups = [metadata.row_group(g) for g in range(metadata.num_row_groups)]
    pages = [group.column(c).data_page_offset for group in groups for c in range(0, group.num_columns, 5)]
    return [*ends, len(content) - 5, len(content) - 8 - footer, len(content) - 8 - footer // 2, *pages]


def _flip(content: bytes, place: int, bit: int) -> bytes:
    changed = bytearray(content)
    changed[place] ^= 1 << bit
    return bytes(changed)


def _put(store: Store, path: str, content: bytes | None) -> None:
    """Write or remove a file as anybody with access could."""
    store.remove(path)
    if content is not None:
        with store.open_output(path) as sink:
            sink.write(content)
