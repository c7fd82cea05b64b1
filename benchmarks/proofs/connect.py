"""Each tool that docs/connect.md calls tested reads the feeds in an environment of its own, without ours."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.children import ROOT, Aws, Exporter, Unreachable, run_uv
from benchmarks.findings import Findings
from benchmarks.warehouse import by_role, settings_of
from benchmarks.world import REGIONS, World

RUN_S = 120.0
TOOLS: Mapping[str, Sequence[str]] = {
    "csv": (),
    "pyarrow": ("pyarrow",),
    "pandas": ("pandas", "pyarrow"),
    "polars": ("polars",),
    "duckdb": ("duckdb==1.4.*",),
    "sqlalchemy": ("duckdb-engine", "sqlalchemy==2.0.41"),  # newer ones ask DuckDB for types that it lacks
    "sqlalchemy 1.4": ("duckdb-engine", "sqlalchemy<2"),  # which Superset has
    "ibis": ("ibis-framework[duckdb]", "duckdb<2"),  # it knows no newer one yet
    "frictionless": ("frictionless",),
    "datapackage": ("datapackage", "setuptools<81"),
    "spark": ("pyspark",),
}
"""Packages that each script of benchmarks/readers needs; a second word of a name is another environment for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Which tools read, and how many builders."""

    tools: Mapping[str, Sequence[str]] = field(default_factory=lambda: TOOLS)
    accounts: int = 3
    items: int = 5
    is_isolated: bool = True
    """In an environment that uv makes for the tool alone; else in this one."""


FULL = Size()
QUICK = Size(tools={name: needs for name, needs in TOOLS.items() if name != "spark"})


def prove(size: Size, folder: Path) -> Findings:
    """Check that every tool finds every builder, joins its subnets to it, and sees every feed."""
    found = Findings(f"Connect: {len(size.tools)} tools read the feeds")
    feeds = {"csv": True, "account_labels": ["team"]}
    with Aws(World(accounts=size.accounts, items=size.items)) as aws, Exporter() as exporter:
        mapping = settings_of(aws.url, [by_role(a) for a in aws.world.account_ids()], REGIONS[:2]) | {"feeds": feeds}
        exporter.run(mapping, folder, RUN_S)
    v1 = folder / "warehouse" / "feeds" / "v1"
    builders = 2 * size.accounts * size.items
    count = len(json.loads((v1 / "current.json").read_text())["feeds"])
    truth = {"builders": builders, "joined": builders, "feeds": count}
    answers = {tool: _read_feeds(tool, size, v1) for tool in size.tools}
    rows = [found.judge(tool, [answer], f"{truth}", answer == truth) for tool, answer in answers.items()]
    found.table(["tool", "found", "wanted", ""], rows)
    return found


def _read_feeds(tool: str, size: Size, v1: Path) -> dict[str, Any]:
    """Return the answer of the tool's script, or `error`."""
    command = ["python", str(ROOT / "benchmarks" / "readers" / f"with_{tool.partition(' ')[0]}.py"), str(v1)]
    needs = [word for need in size.tools[tool] for word in ("--with", need)]
    isolated = ["--isolated", "--no-project", *needs] if size.is_isolated else ["--no-sync"]
    try:
        return json.loads(run_uv("run", "--quiet", *isolated, *command).splitlines()[-1])
    except (OSError, Unreachable, RuntimeError, ValueError, IndexError) as error:
        return {"error": f"{type(error).__name__}: {error}"[-600:]}
