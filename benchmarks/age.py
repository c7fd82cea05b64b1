"""What follows the commit of a warehouse as it ages: daily snapshots, published after few and after many days.

Each publication is a process of its own, as a run is, of a snapshot that nothing has published yet: the one of the day
before is published first. Both versions of the feeds are measured, and `feeds/v2` alone: `feeds/v1` writes the rows of
all days again for each snapshot. The last day is the last one of a month: facts of the newest month are written again.
"""

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Event

import pyarrow as pa

from appstream_export.lake.storage.base import Store
from appstream_export.lake.storage.factory import open_store
from appstream_export.run import load_enabled_contracts
from appstream_export.run.after_commit import publish_stages
from appstream_export.settings import parse_settings
from benchmarks.children import Child, peak_mb
from benchmarks.estate import Estate
from benchmarks.exporter import Stopwatch
from benchmarks.figures import Figure, make_figure, make_ratio
from benchmarks.findings import say

STAGES = ("catalog", "checks", "feeds", "report")
STAR: Mapping[str, Sequence[str]] = {" with feeds/v2 alone": ("v2",)}
VERSIONS: Mapping[str, Sequence[str]] = {"": ("v1", "v2"), **STAR}
GROWTH_MAX = 1.2
LONG_GROWTH_MAX = 1.3
"""That of two years of a larger estate."""
YOUNG = 2  # days
BOUND_S = 900.0


def measure(
    builders: int,
    days: int,
    rounds: int,
    folder: Path,
    *,
    published: Mapping[str, Sequence[str]] = VERSIONS,
    at_most: float = GROWTH_MAX,
    is_judged: bool = True,
) -> list[Figure]:
    """Return the CPU of what follows the commit on a late day over that on the second day, by stage and in all."""
    ages = (YOUNG, days)
    places = dict(zip(ages, _build_histories(builders, ages, folder), strict=True))
    found = list[Figure]()
    for suffix, versions in published.items():
        first, last = (costs for costs in _publish_in_turns(builders, places, versions, rounds).values())
        title = f"{builders:,} builders daily{suffix}: CPU after the commit"
        budget = at_most if suffix else None
        found += [
            make_ratio(
                f"{title}, day {days} / day {YOUNG}", last["cpu_s"], first["cpu_s"], budget, is_judged=is_judged
            ),
            *(make_ratio(f"{title}, {stage}", last[f"{stage}_cpu_s"], first[f"{stage}_cpu_s"]) for stage in STAGES),
            make_figure(f"{title}, day {days}", last["cpu_s"], "s"),
            make_figure(f"{builders:,} builders daily{suffix}: peak memory, day {days}", last["peak_mb"], "MB"),
        ]
    return found


def _publish_in_turns(
    builders: int, places: Mapping[int, Path], versions: Sequence[str], rounds: int
) -> Mapping[int, dict[str, list[float]]]:
    """Publish a new snapshot of each warehouse so often, in turns; return the costs of each by name."""
    costs: dict[int, list[dict[str, float]]] = {day: [] for day in places}
    for place in places.values():
        _publish_as_run(place, versions)
    for _ in range(rounds):
        for day, place in places.items():
            copied = place.with_name(f"{place.name}-copy")
            shutil.copytree(place, copied, symlinks=True, copy_function=_link_or_copy)
            _commit_day(open_store(str(copied)), builders, day - 1, {})
            costs[day].append(_publish_as_run(copied, versions))
            shutil.rmtree(copied)
    return {day: {name: [each[name] for each in some] for name in some[0]} for day, some in costs.items()}


def _link_or_copy(source: str, target: str) -> None:
    """Give a file that is never changed a second name: all but what a publication replaces."""
    if source.endswith((".duckdb", "current.json", ".html")):
        shutil.copy2(source, target)
    else:
        os.link(source, target)


def _publish_as_run(place: Path, versions: Sequence[str]) -> dict[str, float]:
    with Child("benchmarks.age") as publisher:
        return publisher.ask({"warehouse": str(place), "versions": versions}, BOUND_S)


def _build_histories(builders: int, ages: Sequence[int], folder: Path) -> list[Path]:
    """Build warehouses that lack the last one of so many days, in each of which a hundredth of the builders changed."""
    grown, found = folder / "grown", list[Path]()
    store, unchanged = open_store(str(grown), create=True), {}
    for day in range(max(ages) - 1):
        _commit_day(store, builders, day, unchanged)
        if day + 2 in ages:
            found.append(Path(shutil.copytree(grown, folder / f"day-{day + 2}")))
    return found


def _commit_day(store: Store, builders: int, day: int, unchanged: dict[tuple[int, str, str], pa.Array]) -> None:
    estate = Estate(builders, hour=24 * day, moment=day, unchanged=unchanged)
    estate.commit(store, estate.write(store))


def publish(warehouse: str, versions: Sequence[str]) -> dict[str, float]:
    """Publish the newest snapshot as a run does; return CPU by stage (`feeds_cpu_s`), their sum, and peak memory."""
    mapping = {
        "warehouse": warehouse,
        "regions": ["eu-west-1"],
        "accounts": [{"id": "111100000000"}],
        "feeds": {"versions": versions},
    }
    settings, watch = parse_settings(mapping, Path(warehouse, "appstream-export.toml")), Stopwatch()
    result = publish_stages(settings, load_enabled_contracts(settings), STAGES, listener=watch, stop=Event())
    costs = watch.finish()
    problems = (result.catalog_problem, result.checks_problem, result.feeds_problem, result.report_problem)
    assert not any(problems), problems  # noqa: S101  costs of a failure are no measure
    found = {f"{stage}_cpu_s": costs[f"{stage}_cpu_s"] for stage in STAGES}
    return found | {"cpu_s": sum(found.values()), "peak_mb": peak_mb()}


if __name__ == "__main__":
    for line in sys.stdin:
        say(json.dumps(publish(**json.loads(line))))
