"""What follows the commit of a warehouse as it ages: daily snapshots, published after few and after many days.

Each publication is a process of its own, as a run is. Both versions of the feeds are measured, and `feeds/v2` alone:
`feeds/v1` writes the rows of all days again for each snapshot.
"""

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Event

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
VERSIONS: Mapping[str, Sequence[str]] = {"": ("v1", "v2"), " with feeds/v2 alone": ("v2",)}
GROWTH_MAX = 1.2
YOUNG = 2  # days
BOUND_S = 900.0


def measure(builders: int, days: int, rounds: int, folder: Path, *, is_judged: bool = True) -> list[Figure]:
    """Return the CPU of what follows the commit on a late day over that on the second day, by stage and in all."""
    young, old = folder / "young", folder / "old"
    _build_history(builders, days, old, young)
    found = list[Figure]()
    for suffix, versions in VERSIONS.items():
        first, last = _publish_in_turns((young, old), versions, rounds).values()
        title = f"{builders:,} builders daily{suffix}: CPU after the commit"
        budget = GROWTH_MAX if suffix else None
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
    places: Sequence[Path], versions: Sequence[str], rounds: int
) -> Mapping[Path, dict[str, list[float]]]:
    """Publish each warehouse so often, in turns; return the costs of each by name."""
    costs: dict[Path, list[dict[str, float]]] = {place: [] for place in places}
    for _ in range(rounds + 1):  # the first one of a warehouse writes what later ones keep
        for place, found in costs.items():
            with Child("benchmarks.age") as publisher:
                found.append(publisher.ask({"warehouse": str(place), "versions": versions}, BOUND_S))
    return {place: {name: [each[name] for each in some[1:]] for name in some[0]} for place, some in costs.items()}


def _build_history(builders: int, days: int, old: Path, young: Path) -> None:
    """Commit a snapshot for each day, in each of which a hundredth of the builders changed; copy the young one."""
    store, unchanged = open_store(str(old), create=True), {}
    for day in range(days):
        estate = Estate(builders, hour=24 * day, moment=day, unchanged=unchanged)
        estate.commit(store, estate.write(store))
        if day + 1 == YOUNG:
            shutil.copytree(old, young)


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
