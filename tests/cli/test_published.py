"""Green means served: what was to be published and was not ends with 3, whatever kept it from being."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from appstream_export.emulator import Emulator, make_image_builder
from tests.cli.conftest import Command

Told = Callable[..., tuple[int, str, str]]
SCOPE = "111122223333/eu-west-1"
SETTINGS = """
regions = ["eu-west-1"]
accounts = [{{ id = "111122223333", role_arn = "arn:aws:iam::111122223333:role/reader" }}]
aws.endpoint_url = "{url}"
"""
NO_HOME = """
import os, pwd
os.environ.pop("HOME", None)
def absent(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")
pwd.getpwuid = absent
"""


@pytest.fixture
def folder(tmp_path: Path, aws: Emulator, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings of one scope with a builder, in the current folder."""
    aws.put(SCOPE, make_image_builder("a", scope=SCOPE))
    (tmp_path / "appstream-export.toml").write_text(SETTINGS.format(url=aws.endpoint_url))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stub(folder: Path, module: str, source: str) -> dict[str, str]:
    """The environment of a child that finds this module before all others."""
    place = folder / "stubs"
    place.mkdir()
    (place / f"{module}.py").write_text(source)
    root = str(Path(__file__).parents[2])
    return {"PYTHONPATH": os.pathsep.join([str(place), root])}


OUTPUTS = {
    "catalog": ("warehouse.duckdb", "catalog_problem"),
    "feeds": ("feeds", "feeds_problem"),
    "report": ("report.html", "report_problem"),
}


@pytest.mark.long
@pytest.mark.parametrize("output", OUTPUTS)
def test_what_could_not_be_published_ends_with_3_until_it_is(output: str, folder: Path, told: Told) -> None:
    name, problem = OUTPUTS[output]
    in_the_way = folder / "warehouse" / name
    in_the_way.mkdir(parents=True)
    (in_the_way / "v1").write_text("in the way")
    code, out, _ = told("run", "--json")
    _, text, _ = told("run")
    (in_the_way / "v1").unlink()
    in_the_way.rmdir()
    again, healed, _ = told("run", "--json")

    assert (code, json.loads(out)["exit_code"], json.loads(out)["committed"]) == (3, 3, True)
    assert json.loads(out)[problem].startswith("the snapshot is committed, but its ")
    assert f"{problem.split('_')[0]} could not be" in text
    assert "try again with: " in text
    assert (again, json.loads(healed)[problem]) == (0, None)


@pytest.mark.slow
def test_expire_ends_with_3_where_its_catalog_could_not_be_published(folder: Path, told: Told) -> None:
    settings = folder / "appstream-export.toml"
    keep_one = "lake.retention = { hourly_days = 0, daily_days = 0, monthly_months = 0 }\n"
    settings.write_text(keep_one + settings.read_text())
    told("run", "--no-publish")
    told("run", "--no-publish")
    in_the_way = folder / "warehouse" / "warehouse.duckdb"
    in_the_way.mkdir()
    (in_the_way / "file").write_text("in the way")
    code, out, _ = told("expire", "--json")

    assert (code, json.loads(out)["seq"]) == (3, 3)
    assert "could not be published" in json.loads(out)["catalog_problem"]
    assert told("sql", "select count(*) from snapshots where kind = 'sweep'", "--format", "csv")[0] == 0


@pytest.mark.slow
def test_a_run_with_nothing_left_to_ask_says_what_it_could_not_publish(folder: Path, told: Told) -> None:
    told("run", "--no-publish")
    (folder / "warehouse" / "feeds").write_text("in the way")
    code, out, _ = told("run", "--retry-failed")

    assert code == 3
    assert "nothing to do: every scope of this run" in out
    assert "its feeds could not be published" in out


@pytest.mark.long
def test_a_user_without_home_and_passwd_entry_gets_everything(folder: Path, cli: Command) -> None:
    done = cli("run", env=stub(folder, "sitecustomize", NO_HOME))

    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stdout + done.stderr
    assert (folder / "warehouse" / "report.html").is_file()
    assert not (folder / "~").exists()


@pytest.mark.slow
def test_any_failure_of_the_report_is_its_problem_and_the_snapshot_stands(folder: Path, cli: Command) -> None:
    done = cli("run", env=stub(folder, "jinja2", "raise RuntimeError('no page here')"))

    assert done.returncode == 3
    assert done.stdout.startswith("snapshot 1 committed: ")
    assert "its report could not be written: RuntimeError: no page here; try again with: " in done.stdout
    assert cli("sql", "select name from image_builders", "--format", "csv").stdout == "name\na\n"
