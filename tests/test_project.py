"""The project keeps its word: versions agree, links lead somewhere, the wheel works where nothing else is."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipFile

import duckdb
import pytest

import appstream_export
from appstream_export.emulator import Emulator, make_item
from tests.run.test_several_resources import DESKTOPS

ROOT = Path(__file__).parent.parent
WALK = "111122223333/eu-west-1"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "schemas" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


def test_the_version_is_the_changelogs_newest() -> None:
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)

    assert newest is not None
    assert newest[1] == appstream_export.__version__


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_between_our_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", page.read_text())

    assert [link for link in links if not (page.parent / link).exists()] == []


def test_each_guarantee_names_a_test_that_exists() -> None:
    text = (ROOT / "docs" / "guarantees.md").read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text)

    assert len(re.findall(r"^\| I\d+ ", text, re.M)) == 18
    assert len(named) >= 15
    missing = [f"{file}::{test}" for file, test in named if f"def {test}" not in (ROOT / file).read_text()]
    assert missing == []


def test_the_two_commands_at_the_top_of_the_readme_are_what_ci_runs() -> None:
    readme, ci = (ROOT / "README.md").read_text(), (ROOT / ".ci" / "run").read_text()

    assert "uv run appstream-export demo" in readme
    assert "uv run pytest" in readme
    assert re.search(r"^uv run pytest(\s|$)", ci, re.M)


@pytest.fixture(scope="module", params=["without an index", pytest.param("alone", marks=pytest.mark.slow)])
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A wheel of this checkout, and the Python of an environment that holds it.

    Its dependencies are those of this environment or, among the slow tests, what an index gives for its metadata.
    """
    uv, folder = shutil.which("uv") or "uv", tmp_path_factory.mktemp("installed")
    run(uv, "build", "--offline", "--wheel", "--out-dir", str(folder / "dist"), str(ROOT), cwd=folder)
    (wheel,) = (folder / "dist").glob("*.whl")
    run(uv, "venv", "--offline", "--python", sys.executable, str(folder / "env"), cwd=folder)
    python = folder / "env" / "bin" / "python"
    if request.param == "alone":
        run(uv, "pip", "install", "--python", str(python), str(wheel), cwd=folder)
        return wheel, python
    run(uv, "pip", "install", "--offline", "--no-deps", "--python", str(python), str(wheel), cwd=folder)
    (site,) = (folder / "env" / "lib").glob("python*/site-packages")
    # A folder that a .pth file names is searched last, without its own .pth files: one of them leads to this checkout.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return wheel, python


@pytest.mark.slow
def test_the_wheel_installs_one_package_and_nothing_else_at_the_top(installed: tuple[Path, Path]) -> None:
    wheel, _ = installed
    tops = {name.partition("/")[0] for name in ZipFile(wheel).namelist()}

    assert {top for top in tops if not top.endswith(".dist-info")} == {"appstream_export"}
    packaged = {name.removeprefix("appstream_export/") for name in ZipFile(wheel).namelist()}
    report = {"feeds/report/page.js", "feeds/report/page.licenses.txt"}
    assert {"_schemas/image_builders.toml", "_sql/views/coverage.sql", *report} <= packaged
    assert not [name for name in packaged if "javascript/" in name]  # what the page's JavaScript is built from


def test_the_wheels_readme_has_links_that_work_on_a_package_index(installed: tuple[Path, Path]) -> None:
    wheel, _ = installed
    with ZipFile(wheel) as archive:
        (name,) = [each for each in archive.namelist() if each.endswith(".dist-info/METADATA")]
        metadata = archive.read(name).decode()

    links = re.findall(r"\]\(([^)]+)\)", metadata)
    assert len(links) > 20
    assert [link for link in links if not link.startswith("https://")] == []
    assert "Typing :: Typed" in metadata


def test_a_wheel_in_an_empty_environment_answers_from_another_folder(
    installed: tuple[Path, Path], tmp_path: Path
) -> None:
    _, python = installed
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts/desktops.toml").write_text(DESKTOPS)
    (tmp_path / "sql/marts").mkdir(parents=True)
    mart = "-- fleet_names: F.\n-- reads: desktops\n-- name varchar: N.\nselect name from desktops"
    (tmp_path / "sql/marts/fleet_names.sql").write_text(mart)
    (tmp_path / "appstream-export.toml").write_text('contracts.folder = "contracts"\nsql.folder = "sql"\n')
    answer = run(str(python.with_name("appstream-export")), "tables", "--json", cwd=tmp_path)

    assert all(f'"{name}"' in answer for name in ("image_builder_subnets", "fleet_changes", "fleet_names"))


@pytest.mark.slow
def test_dagster_loads_our_definitions_beside_a_folder_called_pipelines(
    installed: tuple[Path, Path], tmp_path: Path
) -> None:
    _, python = installed
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "__init__.py").write_text("OWNER = 'the host project'\n")
    script = (
        "import pipelines; from appstream_export.definitions import defs;"
        "print(pipelines.OWNER, defs().get_job_def('snapshot').name)"
    )

    assert run(str(python), "-c", script, cwd=tmp_path) == "the host project snapshot\n"


@pytest.mark.slow
def test_dagster_validates_our_definitions_where_they_are_installed(
    installed: tuple[Path, Path], tmp_path: Path
) -> None:
    _, python = installed
    validated = run(str(python), "-m", "dagster", "definitions", "validate", "-m", "appstream_export.definitions",
                    cwd=tmp_path)  # fmt: skip
    assert "appstream_export.definitions" in validated


# Picked at random among what `propose` accepts (first and third of seed 19): a list, and one that follows from a list.
@pytest.mark.long
@pytest.mark.parametrize(
    ("service", "operations", "resource"),
    [("es", ("DescribeOutboundCrossClusterSearchConnections",), "cross_cluster_search_connections"),
     ("medialive", ("ListClusters", "ListChannelPlacementGroups"), "channel_placement_groups")],
)  # fmt: skip
def test_a_list_of_another_service_becomes_an_asset_and_a_feed_without_python(
    installed: tuple[Path, Path], aws: Emulator, tmp_path: Path, service: str, operations: Sequence[str], resource: str
) -> None:
    _, python = installed
    command = str(python.with_name("appstream-export"))
    for operation in operations:
        generated = [make_item(service, operation, f"one-{n}", scope=WALK) for n in range(7)]
        aws.put(WALK, *generated, service=service, operation=operation)
        text = run(command, "contracts", "propose", service, operation, cwd=tmp_path)
        file = tmp_path / name_proposed_file(text)
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    names = [file.stem for file in sorted((tmp_path / "contracts").iterdir())]
    (tmp_path / "appstream-export.toml").write_text(
        f"""regions = ["eu-west-1"]
[[accounts]]
id = "{WALK[:12]}"
role_arn = "arn:aws:iam::{WALK[:12]}:role/reader"
[aws]
endpoint_url = "{aws.endpoint_url}"
[contracts]
folder = "contracts"
resources = {json.dumps(names)}
"""
    )
    home = {"DAGSTER_HOME": str(tmp_path / "dagster")}
    run(command, "init", cwd=tmp_path)
    run(command, "doctor", cwd=tmp_path)
    run(command, "run", cwd=tmp_path)
    dagster = (str(python), "-m", "dagster", "asset")
    definitions = ("-m", "appstream_export.definitions")
    assert {resource, f"feeds/{resource}"} <= set(run(*dagster, "list", *definitions, cwd=tmp_path, **home).split())
    run(*dagster, "materialize", "--select", "*", *definitions, cwd=tmp_path, **home)

    feeds = tmp_path / "warehouse/feeds/v1/latest"
    [items] = duckdb.sql(f"select count(*) from '{feeds}/{resource}.parquet'").fetchall()
    assert items[0] == 7 ** len(operations)
    assert duckdb.sql(f"select distinct status from '{feeds}/coverage.parquet'").fetchall() == [("ok",)]


def name_proposed_file(text: str) -> str:
    """Return the place at which a proposal says that it is to be saved."""
    found = re.search(r"^# Save as (contracts/\w+\.toml)", text, re.M)
    assert found
    return found[1]


def test_the_source_folder_is_no_package_of_its_own() -> None:
    assert not (ROOT / "pipelines" / "__init__.py").exists()
    assert Path(appstream_export.__file__).parent == ROOT / "pipelines" / "appstream_export"


def run(*command: str, cwd: Path, **environ: str) -> str:
    """Standard output of a command that must succeed."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("APPSTREAM_EXPORT", "VIRTUAL_ENV", "PYTHONPATH"))}
    done = subprocess.run(command, cwd=cwd, env=clean | environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + (done.stderr if "validate" in command else "")
