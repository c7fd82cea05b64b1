"""What Dagster itself costs at 10, 1,000 and 10,000 scopes, and what re-execution asks after 3 of 1,000 were denied."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.children import Aws, Child
from benchmarks.findings import Findings
from benchmarks.warehouse import by_role, settings_of
from benchmarks.world import REGIONS, World

ROWS_APART_MAX = 12  # ten lines on the way, which a run of ten scopes does not need
LOG_ROWS_MAX = 30
DENIED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Accounts and regions of each run; the second one is also denied in three scopes."""

    worlds: tuple[tuple[int, int], ...] = ((1, 10), (50, 20), (500, 20))
    timeout_s: float = 900.0


FULL = Size()
QUICK = Size(worlds=((1, 10), (10, 10)))


def prove(size: Size, folder: Path) -> Findings:
    """A run of each size in a Dagster and a warehouse of its own, then the one that is denied, and its re-execution."""
    found = Findings(f"Dagster: {', '.join(f'{a * r:,}' for a, r in size.worlds)} scopes")
    runs = [_run(World(accounts=a, items=3), r, folder / str(n), size)[0] for n, (a, r) in enumerate(size.worlds)]
    accounts, regions = size.worlds[1]
    red, green = _run(_denied(accounts, regions), regions, folder / "denied", size)
    told = {f"{run['asked']:,} scopes": run for run in runs}
    found.table(["figure", *told, "promise", ""], _rows(found, runs))
    found.table(["denied, then healed", "red run", "re-execution", "promise", ""], _mended(found, red, green))
    return found


def _run(world: World, regions: int, folder: Path, size: Size) -> list[dict[str, Any]]:
    """A run; and where something is denied, its re-execution once nothing is."""
    home, config = folder / "home", folder / "appstream-export.toml"
    home.mkdir(parents=True)
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with Aws(world) as aws, Child("benchmarks.dagster_runs") as dagster:
        accounts = [by_role(account) for account in world.account_ids()]
        config.write_text(_toml(settings_of(aws.url, accounts, REGIONS[:regions])))
        told = {"home": str(home), "config": str(config)}
        first = dagster.ask(told, size.timeout_s)
        if not world.denied:
            return [first]
        aws.change(denied=0.0)
        again = dagster.ask(told | {"again": first["run_id"]}, size.timeout_s)
        calls = aws.change()["calls"]["DescribeImageBuilders"]
        return [first, again | {"calls": calls}]


def _denied(accounts: int, regions: int) -> World:
    """A World in which exactly three scopes are denied."""
    for seed in count():
        world = World(accounts=accounts, items=3, denied=DENIED / (accounts * regions), seed=seed)
        if sum(world.is_denied(a, r) for a in world.account_ids() for r in REGIONS[:regions]) == DENIED:
            return world
    raise AssertionError


def _rows(found: Findings, runs: list[dict[str, Any]]) -> list[list[object]]:
    rows, logged = [run["rows"] for run in runs], [run["log_rows"] for run in runs]
    flat = found.promise(max(rows) - min(rows) <= ROWS_APART_MAX, f"event rows {rows}")
    few = found.promise(max(logged) <= LOG_ROWS_MAX, f"rows that are not of an asset {logged}")
    return [
        ["event rows", *rows, f"within {ROWS_APART_MAX}", flat],
        ["of them not of an asset", *logged, f"<= {LOG_ROWS_MAX}", few],
        ["Dagster's own seconds", *(float(run["own_s"]) for run in runs), "", ""],
        ["seconds of run()", *(float(run["run_s"]) for run in runs), "", ""],
    ]


def _mended(found: Findings, red: dict[str, Any], green: dict[str, Any]) -> list[list[object]]:
    colours = found.promise((red["success"], green["success"]) == (False, True), "the colours are wrong")
    landed = found.promise(red["materialized"] == green["materialized"], "not everything has landed")
    asked = found.promise(green["asked"] == green["calls"] == DENIED, f"{green['asked']} asked, {green['calls']} calls")
    return [
        ["is green", str(red["success"]), str(green["success"]), "no, then yes", colours],
        ["assets materialized", str(red["materialized"]), str(green["materialized"]), "all of them", landed],
        ["scopes asked", str(red["asked"]), str(green["asked"]), f"{DENIED} the second time", asked],
        ["scopes failed", str(red["failed"]), str(green["failed"]), "", ""],
    ]


def _toml(mapping: Mapping[str, Any]) -> str:
    """Settings as a file; JSON's texts, numbers and lists are TOML too."""
    tables = {name: value for name, value in mapping.items() if isinstance(value, Mapping)}
    blocks = {name: value for name, value in mapping.items() if name == "accounts"}
    top = {name: value for name, value in mapping.items() if name not in tables | blocks}
    lines = [_lines(top), *(f"[[accounts]]\n{_lines(block)}" for block in blocks.get("accounts", ()))]
    return "\n".join([*lines, *(f"[{name}]\n{_lines(table)}" for name, table in tables.items())])


def _lines(table: Mapping[str, Any]) -> str:
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in table.items() if value is not None)
