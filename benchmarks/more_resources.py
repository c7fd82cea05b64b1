"""One run with tags and images on: calls, the sweep's wall over the ideal, and peak memory."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from appstream_export.lake.catalog import connect_warehouse
from benchmarks.children import Aws, Exporter
from benchmarks.figures import Figure, make_figure
from benchmarks.findings import say
from benchmarks.proofs import scale
from benchmarks.warehouse import by_role, settings_of
from benchmarks.world import REGIONS, World

RESOURCES = {"image_builders": "DescribeImageBuilders", "images": "DescribeImages", "tags": "GetResources"}
IMAGES = 2
_BOUND_S = 3600.0
_COUNTS = """
select (select count(*) from image_builders), (select count(*) from images), (select count(*) from resource_tags),
    (select count(*) from scope_runs where status <> 'ok')
"""


@dataclass(frozen=True, slots=True)
class Costs:
    """Costs of one run, and the rows that it left."""

    calls: dict[str, int]
    ratio: float
    sweep_mb: float
    peak_mb: float
    counts: tuple[int, ...]


def measure_more_resources(size: scale.Size, folder: Path) -> list[Figure]:
    """Measure a first run of three resources in all scopes: one call for each resource and scope."""
    scopes = size.accounts * size.regions
    world = World(accounts=size.accounts, images=IMAGES, latency_ms=size.latency_ms)
    costs = _run(world, size, folder)
    expected = dict.fromkeys(RESOURCES.values(), scopes)
    wrong = (
        costs.calls != expected,
        costs.counts != (world.items * scopes, IMAGES * scopes, 2 * world.items * scopes, 0),
    )
    say(f"\n{costs}")
    name = f"{scopes:,} scopes, tags and images on"
    return [
        make_figure(f"{name}: calls", [sum(costs.calls.values())], "", 3 * scopes),
        make_figure(f"{name}: wall/ideal", [costs.ratio], "x", scale.RATIO_MAX, is_judged=size.is_timed),
        make_figure(
            f"{name}: peak memory of the sweep", [costs.sweep_mb], "MB", scale.PEAK_MB_MAX, is_judged=size.is_timed
        ),
        make_figure(f"{name}: peak memory", [costs.peak_mb], "MB"),
        make_figure(f"{name}: wrong calls or rows", [sum(wrong)], "", 0),
    ]


def _run(world: World, size: scale.Size, folder: Path) -> Costs:
    with Aws(world) as aws, Exporter() as exporter:
        accounts = [by_role(account) for account in world.account_ids()]
        mapping = settings_of(aws.url, accounts, REGIONS[: size.regions], workers=size.workers)
        mapping |= {"contracts": {"resources": [*RESOURCES]}}
        export = exporter.run(mapping, folder, _BOUND_S, publish=False)
        served = aws.change()
    with closing(connect_warehouse(str(folder / "warehouse"))) as con:
        [counts] = con.execute(_COUNTS).fetchall()
    return Costs(
        {name: served["calls"].get(name, 0) for name in RESOURCES.values()},
        export["sweep_s"] / (served["asked_latency_s"] / size.workers),
        export["sweep_peak_mb"],
        export["peak_mb"],
        counts,
    )
