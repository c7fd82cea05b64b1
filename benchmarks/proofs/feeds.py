"""Dashboards join three feeds in processes of their own while run after run publishes: no error, no mixed answer."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.children import START_S, Aws, Child, Exporter
from benchmarks.findings import Findings
from benchmarks.warehouse import by_role, settings_of
from benchmarks.world import REGIONS, World
from pipelines.feeds.verify import verify
from pipelines.lake.store import open_store

RUN_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large the proof is: publications after the first, and who reads meanwhile."""

    publications: int = 100
    accounts: int = 5
    regions: int = 4
    items: int = 5
    readers: tuple[str, ...] = ("pyarrow", "duckdb", "bi", "bi")


FULL = Size()
QUICK = Size(publications=15)


def prove(size: Size, folder: Path) -> Findings:
    """Every run changes every builder, so that rows of two snapshots can never look alike."""
    found = Findings(f"Feeds: {len(size.readers)} readers join 3 feeds through {size.publications} publications")
    builders = size.accounts * size.regions * size.items
    with ExitStack() as stack:
        aws = stack.enter_context(Aws(World(accounts=size.accounts, items=size.items)))
        exporter = stack.enter_context(Exporter())
        mapping = settings_of(aws.url, [by_role(a) for a in aws.world.account_ids()], REGIONS[: size.regions])
        problems = [exporter.run(mapping, folder, RUN_S)["feeds_problem"]]
        place = folder / "warehouse" / "feeds" / "v1"
        readers = [stack.enter_context(Child("benchmarks.feed_reader", kind, str(place))) for kind in size.readers]
        for reader in readers:
            reader.line(START_S)
        for generation in range(1, size.publications + 1):
            aws.change(generation=generation)
            problems.append(exporter.run(mapping, folder, RUN_S)["feeds_problem"])
        told = [reader.ask({"stop": True}, RUN_S) for reader in readers]
    rows = [_line(found, kind, one, builders) for kind, one in zip(size.readers, told, strict=True)]
    found.table(["reader", "answers", "of snapshots", "errors", "mixed", ""], rows)
    failed = [problem for problem in problems if problem]
    found.promise(not failed, f"{len(failed)} publications failed, such as {failed[:1]}")
    generations = len([*(place / "generations").iterdir()])
    found.promise(generations == size.publications + 1, f"{generations} generations")
    wrong = verify(open_store(str(folder / "warehouse")))
    found.promise(not wrong, "; ".join(wrong[:3]))
    return found


def _line(found: Findings, kind: str, told: dict[str, Any], builders: int) -> list[object]:
    is_kept = not told["n_errors"] and not told["n_mixed"] and told["builders"] == [builders] and told["snapshots"] > 1
    word = found.promise(is_kept, f"{kind}: {told}")
    return [kind, told["reads"], told["snapshots"], told["n_errors"], told["n_mixed"], word]
