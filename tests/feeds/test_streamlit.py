"""The program for Streamlit: written by the command, started by Streamlit's own test client in its own environment."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from appstream_export.cli.main import main
from tests.feeds.test_star_tools import run
from tests.lake.lakes import Lake

SOURCE = Path("docs/dashboards/streamlit/app.py")
NEEDS = ("streamlit==1.67.0", "duckdb", "setuptools")
SCRIPT = """
import json, sys
from streamlit.testing.v1 import AppTest
found = {}
for choices in ({}, {"region": ["eu-west-1"]}):
    app = AppTest.from_file(sys.argv[1], default_timeout=600)
    for column, values in choices.items():
        app.query_params[column] = values
    app.run()
    figures = {metric.label: metric.value for metric in app.metric}
    found["|".join(choices)] = [figures, [e.message for e in app.exception], [c.value for c in app.caption]]
print(json.dumps(found))
"""
Told = Callable[..., tuple[int, str, str]]


@pytest.fixture
def program(published_star: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The program as the command writes it for a warehouse."""
    file = tmp_path / "app.py"
    assert main(("dashboard", "streamlit", "-o", str(file), "--warehouse", str(published_star.store.root))) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("start it:  uvx --with duckdb streamlit run ")
    return file


def test_the_command_writes_the_source_with_the_path_of_the_feeds(program: Path, published_star: Lake) -> None:
    database = f"{published_star.store.root}/feeds/v2/bi.duckdb"
    text = program.read_text("utf-8")

    assert Path(database).is_file()
    assert text.count(database) == 1
    assert text.replace(database, "warehouse/feeds/v2/bi.duckdb") == SOURCE.read_text("utf-8")
    assert re.search(r'LOCKED = \{"enable_external_access": False, "lock_configuration": True\}', text)


def test_a_warehouse_in_a_bucket_needs_a_copy(capsys: pytest.CaptureFixture[str], published_star: Lake) -> None:
    words = ("--warehouse", str(published_star.store.root), "--root", "s3://bucket/w", "-o", "never.py")

    assert main(("dashboard", "streamlit", *words)) == 2
    assert "Streamlit opens bi.duckdb as a file; copy s3://bucket/w/feeds to its disk" in capsys.readouterr().err


@pytest.mark.parametrize("program", ["streamlit", "superset", "dbt"])
def test_a_dashboard_of_feeds_that_are_left_out_is_refused(
    program: str, published_star: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "c.toml"
    config.write_text(f'warehouse = "{published_star.store.root}"\n[feeds]\nversions = ["v1"]\n')
    words = ("--config", str(config), "-o", str(tmp_path / "never"))

    assert main(("dashboard", program, *words)) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.endswith('the dashboard reads feeds/v2, which is left out; add "v2" to [feeds] versions\n')
    assert not (tmp_path / "never").exists()


@pytest.mark.slow
def test_streamlit_runs_it_and_its_filters_are_in_the_address(program: Path) -> None:
    out = run("python", "-c", SCRIPT, str(program), needs=NEEDS)
    (figures, errors, captions), (chosen, more, _) = json.loads(out.splitlines()[-1]).values()

    assert (errors, more) == ([], [])
    assert figures["Image builders"] == "2"
    assert figures["Scopes not seen"] == "1"
    assert re.match(r"As of \*\*\d{4}-\d\d-\d\d \d\d:\d\d UTC\*\*, snapshot \w{26}\.", captions[0])
    assert (chosen["Image builders"], chosen["Scopes not seen"]) == ("2", "0"), "the other region was not seen"
