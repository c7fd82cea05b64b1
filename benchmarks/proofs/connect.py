"""Each tool that docs/connect.md calls tested reads the feeds in an environment of its own, without ours."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.children import ROOT, Aws, Exporter, clean_environment
from benchmarks.findings import Findings
from benchmarks.warehouse import by_role, settings_of
from benchmarks.world import REGIONS, World

RUN_S = 120.0
INSTALL_S = 540  # Spark brings 400 MB
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
"""What each script of benchmarks/readers needs; a word behind its name is one more environment for it."""


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
    """Every tool finds every builder, joins its subnets to it, and sees every feed."""
    found = Findings(f"Connect: {len(size.tools)} tools read the feeds")
    feeds = {"csv": True, "account_labels": ["team"]}
    with Aws(World(accounts=size.accounts, items=size.items)) as aws, Exporter() as exporter:
        mapping = settings_of(aws.url, [by_role(a) for a in aws.world.account_ids()], REGIONS[:2]) | {"feeds": feeds}
        exporter.run(mapping, folder, RUN_S)
    v1 = folder / "warehouse" / "feeds" / "v1"
    builders = 2 * size.accounts * size.items
    count = len(json.loads((v1 / "current.json").read_text())["feeds"])
    truth = {"builders": builders, "joined": builders, "feeds": count}
    rows = [_line(found, tool, _told(tool, size, v1), truth) for tool in size.tools]
    found.table(["tool", "environment", "builders", "joined", "feeds", ""], rows)
    return found


def _told(tool: str, size: Size, v1: Path) -> dict[str, Any]:
    """What the tool's script printed, or `error`."""
    python = ["python"] if size.is_isolated else [sys.executable]
    needs = [word for need in size.tools[tool] for word in ("--with", need)]
    uv = (
        [shutil.which("uv") or "uv", "run", "--isolated", "--no-project", "--quiet", *needs] if size.is_isolated else []
    )
    script = str(ROOT / "benchmarks" / "readers" / f"with_{tool.partition(' ')[0]}.py")
    command = [*uv, *python, script, str(v1)]
    try:
        done = subprocess.run(  # noqa: S603  our own scripts, with arguments that we made
            command, env=clean_environment(), capture_output=True, text=True, check=False, timeout=INSTALL_S
        )
        return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {"error": done.stderr[-600:]}
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError) as error:
        return {"error": f"{type(error).__name__}: {error}"}


def _line(found: Findings, tool: str, told: Mapping[str, Any], truth: Mapping[str, int]) -> list[object]:
    word = found.promise(told == truth, f"{tool}: {dict(told)} instead of {dict(truth)}")
    needs = " ".join(TOOLS[tool]) or "the standard library"
    return [tool, needs, *(told.get(name, 0) for name in truth), word]
