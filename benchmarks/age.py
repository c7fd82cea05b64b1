"""What follows the commit of a warehouse as it ages: daily snapshots, published after few and after many days.

Each publication is a process of its own, as a run is. Budgets of the growth are not judged yet: feeds write every day's
rows again for each snapshot.
"""

import json
import shutil
import sys
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
YOUNG = 2  # days
BOUND_S = 900.0


def measure(builders: int, days: int, rounds: int, folder: Path) -> list[Figure]:
    """Return the CPU of what follows the commit on a late day over that on the second day, by stage and in all."""
    young, old = folder / "young", folder / "old"
    _build_history(builders, days, old, young)
    costs: dict[Path, list[dict[str, float]]] = {young: [], old: []}
    for _ in range(rounds + 1):  # the first one of a warehouse writes what later ones keep
        for place, found in costs.items():
            with Child("benchmarks.age") as publisher:
                found.append(publisher.ask({"warehouse": str(place)}, BOUND_S))
    first, last = ({name: [each[name] for each in some[1:]] for name in some[0]} for some in costs.values())
    title = f"{builders:,} builders daily: CPU after the commit"
    return [
        make_ratio(f"{title}, day {days} / day {YOUNG}", last["cpu_s"], first["cpu_s"]),
        *(make_ratio(f"{title}, {stage}", last[f"{stage}_cpu_s"], first[f"{stage}_cpu_s"]) for stage in STAGES),
        make_figure(f"{title}, day {days}", last["cpu_s"], "s"),
        make_figure(f"{builders:,} builders daily: peak memory, day {days}", last["peak_mb"], "MB"),
    ]


def _build_history(builders: int, days: int, old: Path, young: Path) -> None:
    """Commit a snapshot for each day, in each of which a hundredth of the builders changed; copy the young one."""
    store = open_store(str(old), create=True)
    for day in range(days):
        estate = Estate(builders, hour=24 * day, moment=day)
        estate.commit(store, estate.write(store))
        if day + 1 == YOUNG:
            shutil.copytree(old, young)


def publish(warehouse: str) -> dict[str, float]:
    """Publish the newest snapshot as a run does; return CPU by stage (`feeds_cpu_s`), their sum, and peak memory."""
    mapping = {"warehouse": warehouse, "regions": ["eu-west-1"], "accounts": [{"id": "111100000000"}]}
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
