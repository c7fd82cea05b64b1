"""Each tool that docs/connect.md calls tested runs the snippet of that page, in an environment without ours."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.children import ROOT, UV_S, Unreachable, run_uv
from benchmarks.dashboard_warehouse import DashboardSize, write_dashboard_warehouse
from benchmarks.findings import Findings

PAGE = ROOT / "docs" / "connect.md"
SAMPLE = "/srv/warehouse"
"""The warehouse of the page's snippets."""
TOOLS: Mapping[str, Sequence[str]] = {
    "csv": (),
    "pyarrow": ("pyarrow",),
    "pandas": ("pandas", "pyarrow"),
    "polars": ("polars",),
    "DuckDB": ("duckdb",),
    "DuckDB 1.4": ("duckdb==1.4.*",),
    "duckdb-cli": (),
    "Node": (),
    "SQLAlchemy": ("duckdb-engine", "sqlalchemy==2.0.41"),  # newer ones ask DuckDB for types that it lacks
    "SQLAlchemy 1.4": ("duckdb-engine", "sqlalchemy<2"),  # which Superset has
    "ibis": ("ibis-framework[duckdb]", "duckdb<2"),  # it knows no newer one yet
    "frictionless": ("frictionless[parquet]", "pandas", "fastparquet", "pyarrow"),
    "datapackage": ("datapackage", "setuptools<81"),
    "Spark": ("pyspark",),
}
"""Packages that each tool needs; a second word of a name is another environment for it."""
WITHOUT_SNIPPET = ("datapackage",)
"""Tools that read what another one's snippet reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Which tools read, and how many builders."""

    tools: Mapping[str, Sequence[str]] = field(default_factory=lambda: TOOLS)
    warehouse: DashboardSize = field(default_factory=lambda: DashboardSize(accounts=9, builders=3, snapshots=3))
    is_isolated: bool = True
    """In an environment that uv makes for the tool alone; else in this one."""


FULL = Size()
QUICK = Size(tools={name: needs for name, needs in TOOLS.items() if name != "Spark"})


def prove(size: Size, folder: Path) -> Findings:
    """Check that every tool finds what DuckDB finds: builders, the cost of each team, and every feed."""
    found = Findings(f"Connect: {len(size.tools)} tools read the feeds")
    warehouse = write_dashboard_warehouse(folder / "warehouse", size.warehouse, csv=True)
    truth = _find_truth(warehouse / "feeds" / "v2" / "bi.duckdb")
    answers = {tool: _run_snippet(tool, size, warehouse, folder / tool) for tool in size.tools}
    rows = [
        found.judge(tool, [answer], f"{truth}", bool(answer) and answer == {name: truth.get(name) for name in answer})
        for tool, answer in answers.items()
    ]
    found.table(["tool", "found", "wanted", ""], rows)
    return found


def _find_truth(database: Path) -> dict[str, Any]:
    import duckdb

    teams = """
        select label_team, round(sum(cost_usd_at_least), 2)
        from fact_image_builder_day join dim_account using (account_id) group by all"""
    with duckdb.connect(str(database), read_only=True) as con:
        builders, feeds = con.execute("""
            select (select count(*) from image_builder_latest), (select count(*) from feed_status)""").fetchall()[0]
        return {"builders": builders, "usd": dict(con.execute(teams).fetchall()), "feeds": feeds}


def read_snippet(tool: str) -> tuple[str, str]:
    """Return the language and the text of the first block below the tool's heading in docs/connect.md."""
    section = PAGE.read_text("utf-8").partition(f"\n### {tool.partition(' ')[0]}\n")[2].partition("\n### ")[0]
    block = re.search(r"^```(\w+)\n(.*?)^```$", section, re.M | re.S)
    if block is None:
        raise ValueError(f"{PAGE.name} has no snippet for {tool}")
    return block[1], block[2]


def _run_snippet(tool: str, size: Size, warehouse: Path, folder: Path) -> dict[str, Any]:
    """Return the answer of the tool's snippet, or `error`."""
    folder.mkdir()
    try:
        if tool in WITHOUT_SNIPPET:
            return _run_python(tool, size, warehouse, folder)
        language, text = read_snippet(tool)
        text = text.replace(SAMPLE, str(warehouse))
        if language == "python":
            (folder / "snippet.py").write_text(text)
            return _run_python(tool, size, warehouse, folder)
        rows = json.loads(_run_shell(text, folder) if language == "sh" else _run_node(text, folder))
        return {"usd": {row["label_team"]: round(row["usd"], 2) for row in rows}}
    except (OSError, Unreachable, RuntimeError, ValueError, IndexError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or error
        return {"error": f"{type(error).__name__}: {said}"[-600:]}


def _run_python(tool: str, size: Size, warehouse: Path, folder: Path) -> dict[str, Any]:
    """Run the script of benchmarks/readers, which imports the snippet."""
    script = ROOT / "benchmarks" / "readers" / f"with_{tool.partition(' ')[0].lower()}.py"
    command = ["python", str(script), str(warehouse / "feeds" / "v2" / "bi.duckdb")]
    needs = [word for need in size.tools[tool] for word in ("--with", need)]
    isolated = ["--isolated", "--no-project", *needs] if size.is_isolated else ["--no-sync"]
    environ = {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    return json.loads(run_uv("run", "--quiet", *isolated, *command, environ=environ).splitlines()[-1])


def _run_shell(text: str, folder: Path) -> str:
    return _run(["bash", "-euc", text], folder)


def _run_node(text: str, folder: Path) -> str:
    (folder / "snippet.mjs").write_text(text)
    _run(["npm", "install", "--no-audit", "--no-fund", "@duckdb/node-api"], folder)
    return _run(["node", "snippet.mjs"], folder)


def _run(command: Sequence[str], folder: Path) -> str:
    program = shutil.which(command[0])
    if program is None:
        raise Unreachable(f"{command[0]} is not on the PATH")
    done = subprocess.run(  # noqa: S603  commands of this file, and of our own page
        [program, *command[1:]], cwd=folder, env=dict(os.environ), capture_output=True, text=True, check=True,
        timeout=UV_S,
    )  # fmt: skip
    return done.stdout
