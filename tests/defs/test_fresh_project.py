"""A fresh Dagster project of `create-dagster`, from PyPI, into which our wheel is installed as docs/dagster.md says.

It has assets and an executor of its own, one export as a component and a second one in Python.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from tests.defs.servers import ROOT, end, free_port, wait_until

pytestmark = pytest.mark.long
INSTALL_S, COMMAND_S = 900, 600  # against a hang; all of it takes two minutes
FIRST, SECOND = "123456789012", "210987654321"
ESTATE = f"""
regions = ["eu-west-1"]
[[accounts]]
id = "{FIRST}"
[[accounts]]
id = "{SECOND}"
[[items]]
operation = "DescribeImageBuilders"
count = 5
"""
SETTINGS = """
warehouse = "{warehouse}"
regions = ["eu-west-1"]
[[accounts]]
id = "{account}"
role_arn = "arn:aws:iam::{account}:role/reader"
[aws]
endpoint_url = "{url}"
"""
HOST = '''
"""The host's own: names that the export has too, an executor, and readers of what the exports commit."""

import json
from pathlib import Path

import dagster as dg
import pyarrow as pa

from appstream_export.defs import TableInputManager, WarehouseResource, export_definitions


@dg.asset
def accounts() -> None: ...


@dg.asset
def report() -> None: ...


@dg.asset(ins={"image_builders": dg.AssetIn(key=["appstream", "image_builders"], input_manager_key="first")})
def by_team(image_builders: pa.Table) -> None:
    Path("by_team.json").write_text(json.dumps(image_builders.select(["account_id", "name"]).to_pylist()))


@dg.asset(deps=[["second", "image_builders"]])
def counted(second: WarehouseResource) -> None:
    Path("counted.json").write_text(json.dumps(second.table("image_builders")["account_id"].to_pylist()))


def second_export() -> dg.Definitions:
    return export_definitions("second.toml", key_prefix=["second"], group_prefix="second_")


@dg.definitions
def defs() -> dg.Definitions:
    own = dg.Definitions(
        assets=[accounts, report, by_team, counted],
        executor=dg.multiprocess_executor.configured({"max_concurrent": 1}, name="one_at_a_time"),
        resources={
            "first": TableInputManager(config="appstream-export.toml"),
            "second": WarehouseResource(config="second.toml"),
        },
    )
    return dg.Definitions.merge(own, second_export())
'''


@dataclass(frozen=True)
class Project:
    """A project, and the environment that its `source .venv/bin/activate` makes."""

    folder: Path
    environ: dict[str, str]

    def run(self, *command: str, within_s: float = COMMAND_S) -> str:
        """Return what a command prints; it has to end with 0."""
        done = self.try_run(*command, within_s=within_s)
        assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout[-5000:]}"
        return done.stdout

    def try_run(self, *command: str, within_s: float = COMMAND_S) -> subprocess.CompletedProcess[str]:
        """Run a command of the project's environment in its folder."""
        program = shutil.which(command[0], path=self.environ["PATH"])
        assert program, f"{command[0]} is not installed"
        return subprocess.run(
            [program, *command[1:]],
            cwd=self.folder,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=within_s,
            check=False,
        )

    def read(self, file: str) -> list[object]:
        """Return what an asset of the host has written."""
        return json.loads((self.folder / file).read_text())

    def list_step_events(self) -> list[str]:
        """Return the starts and ends of the steps of the newest run, in order."""
        with dg.DagsterInstance.from_config(self.environ["DAGSTER_HOME"]) as instance:
            kinds = {dg.DagsterEventType.STEP_START, dg.DagsterEventType.STEP_SUCCESS}
            (run,) = instance.get_runs(limit=1)
            return [
                entry.get_dagster_event().event_type_value for entry in instance.all_logs(run.run_id, of_type=kinds)
            ]

    def sql(self, warehouse: str, statement: str) -> list[object]:
        """Return the rows of the newest snapshot."""
        return json.loads(self.run("appstream-export", "sql", "--warehouse", warehouse, "--json", statement))


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project as `create-dagster` makes it, with our wheel and its documented extras."""
    folder = tmp_path_factory.mktemp("fresh")
    home = folder / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    project = Project(folder, _build_environ(folder, home))
    project.run("uv", "build", "--offline", "--wheel", "--out-dir", "dist", str(ROOT))
    (wheel,) = (folder / "dist").glob("*.whl")
    # The version of our lock file: of a newer one, some of Dagster's packages may not be published yet.
    create = ("uvx", "--python", sys.executable, f"create-dagster@{dg.__version__}")
    project.run(*create, "project", "analytics", "--uv-sync", within_s=INSTALL_S)
    made = Project(folder / "analytics", project.environ)
    declared = made.folder / "pyproject.toml"
    declared.write_text(declared.read_text().replace('">=3.10,', '">=3.11,'))
    made.run("uv", "add", f"{wheel}[ui,demo]", within_s=INSTALL_S)
    return made


def _build_environ(folder: Path, home: Path) -> dict[str, str]:
    """Return an environment in which nothing leads to this checkout."""
    ours = {"VIRTUAL_ENV", "PYTHONPATH", "APPSTREAM_EXPORT_CONFIG", "DAGSTER_HOME"}
    kept = {name: value for name, value in os.environ.items() if name not in ours and not name.startswith("AWS_")}
    venv = folder / "analytics" / ".venv"
    path = [str(venv / "bin"), *_list_path_without(Path(sys.executable).parent)]
    own = {"VIRTUAL_ENV": str(venv), "PATH": os.pathsep.join(path), "DAGSTER_HOME": str(home), "COLUMNS": "200"}
    return {**kept, **own}


def _list_path_without(folder: Path) -> list[str]:
    return [entry for entry in os.environ["PATH"].split(os.pathsep) if Path(entry) != folder]


@pytest.fixture(scope="module")
def project(fresh: Project) -> Iterator[Project]:
    """The project with both exports, the host's own assets, and an emulated AWS that answers."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    for file, warehouse, account in (("appstream-export.toml", "one", FIRST), ("second.toml", "two", SECOND)):
        text = SETTINGS.format(warehouse=warehouse, account=account, url=url)
        (fresh.folder / file).write_text(text)
    (fresh.folder / "estate.toml").write_text(ESTATE)
    (fresh.folder / "src" / "analytics" / "defs" / "host.py").write_text(HOST)
    fresh.run("dg", "scaffold", "defs", "appstream_export.defs.AppStreamExport", "aws")
    with (fresh.folder / "emulate.log").open("wb") as log:
        emulator = subprocess.Popen(
            ["appstream-export", "emulate", "--estate", "estate.toml", "--port", str(port)],
            cwd=fresh.folder,
            env=fresh.environ,
            executable=shutil.which("appstream-export", path=fresh.environ["PATH"]),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until(lambda: _is_answering(port), "the emulated AWS answers")
        yield fresh
    finally:
        end(emulator)


def _is_answering(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_component_is_listed_with_its_attributes_and_scaffolded(project: Project) -> None:
    inspected = project.run("dg", "utils", "inspect-component", "appstream_export.defs.AppStreamExport")
    scaffolded = (project.folder / "src" / "analytics" / "defs" / "aws" / "defs.yaml").read_text()

    assert "appstream_export.defs.AppStreamExport" in project.run("dg", "list", "components")
    assert '"description": "Prefix of all asset keys.' in inspected, inspected
    assert '"0 * * * *"' in inspected, inspected
    assert "config: appstream-export.toml" in scaffolded


def test_the_definitions_are_valid_and_have_both_exports_beside_the_hosts_own_names(project: Project) -> None:
    project.run("dg", "check", "defs")
    project.run("dagster", "definitions", "validate", "-m", "analytics.definitions")
    listed = json.loads(project.run("dg", "list", "defs", "--json"))
    keys, jobs = {entry["asset_key"] for entry in listed["assets"]}, {entry["name"] for entry in listed["jobs"]}

    both = {f"{prefix}/{name}" for prefix in ("appstream", "second") for name in ("accounts", "report")}
    assert {"accounts", "report", "by_team", "counted", *both} <= keys
    assert {"appstream_snapshot", "second_snapshot"} <= jobs


def test_a_launch_of_all_assets_is_green_and_those_downstream_read_the_committed_snapshots(project: Project) -> None:
    log = project.run("dg", "launch", "--assets", "*")

    assert "RUN_SUCCESS" in log
    assert project.list_step_events() == ["STEP_START", "STEP_SUCCESS"] * 10, "the host's executor runs one at a time"
    assert project.read("by_team.json") == project.sql("one", "select account_id, name from image_builders")
    assert project.read("counted.json") == [SECOND] * 5
    assert len(project.read("by_team.json")) == 5


def test_selected_assets_a_job_and_a_headless_run_end_green(project: Project) -> None:
    project.run("dg", "launch", "--assets", "appstream/image_builder_overview,appstream/feeds/image_builders")
    before = project.sql("one", "select count(*) as n from snapshots")
    project.run("dg", "launch", "--job", "appstream_snapshot")
    project.run("dagster", "job", "execute", "-m", "analytics.definitions", "-j", "second_snapshot")

    assert before == [{"n": 1}], "marts and feeds alone commit nothing"
    assert project.sql("one", "select count(*) as n from snapshots") == [{"n": 2}]
    assert project.sql("two", "select count(*) as n from snapshots") == [{"n": 2}]
