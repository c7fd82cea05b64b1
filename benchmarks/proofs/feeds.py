"""Dashboards join feeds of v1 and v2 in processes of their own while one commit after the other is published."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appstream_export.contracts import load_contracts
from appstream_export.feeds import publish_feeds
from appstream_export.feeds.generations import VERSIONS
from appstream_export.feeds.verify import verify_feeds
from appstream_export.lake.storage.factory import open_store
from benchmarks.children import START_S, Child
from benchmarks.estate import Estate
from benchmarks.findings import Findings

END_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large the proof is: publications after the first, and who reads meanwhile."""

    publications: int = 100
    builders: int = 300
    readers: tuple[str, ...] = ("pyarrow v1", "bi v1", "pyarrow v2", "bi v2")


FULL = Size()
QUICK = Size(publications=15)


def prove(size: Size, folder: Path) -> Findings:
    """Commit and publish again and again; every answer must be whole, and of one snapshot."""
    found = Findings(
        f"Feeds: {len(size.readers)} readers of v1 and v2 join feeds through {size.publications} publications"
    )
    store = open_store(str(folder / "warehouse"), create=True)
    place = folder / "warehouse" / "feeds"
    with ExitStack() as stack:
        readers: list[Child] = []
        for hour in range(size.publications + 1):
            estate = Estate(size.builders, hour=hour)
            estate.commit(store, estate.write(store))
            publish_feeds(store, load_contracts())
            if not readers:
                for kind, version in map(str.split, size.readers):
                    child = Child("benchmarks.feed_reader", kind, str(place / version))
                    readers.append(stack.enter_context(child))
                for reader in readers:
                    reader.line(START_S)
        reads = [reader.ask({"stop": True}, END_S) for reader in readers]
    rows = [_judge(found, kind, one, size.builders) for kind, one in zip(size.readers, reads, strict=True)]
    found.table(["reader", "answers", "of snapshots", "errors", "mixed", "promise", ""], rows)
    for version in VERSIONS:
        generations = len([*(place / version / "generations").iterdir()])
        found.promise(generations == size.publications + 1, f"{version}: {generations} generations")
    wrong = verify_feeds(store)
    found.promise(not wrong, "; ".join(wrong[:3]))
    return found


def _judge(found: Findings, kind: str, read: dict[str, Any], builders: int) -> list[object]:
    is_whole = all(snapshot.endswith(f": {builders}") for snapshot in read["seen"])
    is_kept = is_whole and not read["errors"] and not read["torn"] and len(read["seen"]) > 1
    found.promise(not read["wrong"], f"{kind}: {read['wrong']}")
    counts = [read["reads"], len(read["seen"]), read["errors"], read["torn"]]
    return found.judge(kind, counts, "no error or mixed answer", is_kept)
