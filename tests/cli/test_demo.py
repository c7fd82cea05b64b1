"""The demo from end to end, and what it leaves for reading commands."""

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from appstream_export.contracts import load_contracts
from appstream_export.lake.catalog import checks, shared
from appstream_export.lake.storage import open_store
from appstream_export.run import load_readable_contracts
from appstream_export.settings import read_settings
from tests.absent import wanted
from tests.cli.conftest import Command, Finished, clean_environment

Demo = tuple[Path, Finished]
Told = Callable[..., tuple[int, str, str]]
TABLES = [table.name for contract in load_contracts() for table in contract.tables]


@pytest.mark.slow
def test_the_demo_tells_its_story_and_fills_every_table(demo: Demo) -> None:
    _, done = demo
    rows = dict(re.findall(r"^(image_builder\w*) +(\d+)$", done.stdout, re.M))

    assert [name for name in TABLES if int(rows[name]) == 0] == []
    assert int(rows["image_builders"]) >= 150
    assert len(re.findall(r"^\d\. ", done.stdout, re.M)) >= 3
    assert {"denied", "malformed", "disabled"} <= set(done.stdout.split())
    assert "RUNNING" in done.stdout


def test_a_run_from_first_call_to_report_wants_neither_pandas_nor_numpy(demo: Demo) -> None:
    assert wanted(demo[0].parent / "absent") == []


def test_it_leaves_settings_that_reach_this_machine_alone(demo: Demo) -> None:
    loaded = read_settings(demo[0] / "appstream-export.toml", {})

    assert loaded.is_local_aws
    assert len(loaded.accounts) >= 12
    assert len(loaded.regions) >= 4
    assert loaded.warehouse == str((demo[0] / "warehouse").resolve())


@pytest.mark.slow
def test_checks_run_query_by_query_in_little_memory(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read_settings(demo[0] / "appstream-export.toml", {})
    store = open_store(settings.warehouse)
    contracts = load_readable_contracts(settings, store)
    monkeypatch.setattr(shared, "_OPTIONS", ("memory_limit = '100MiB'",))
    with shared.SharedConnection(store, contracts) as own, own.open_newest("checks") as con:
        found = {result.name: result.rows for result in checks.run_checks(con, contracts)}

    assert (found["orphan_children"], found["duplicate_keys"], found["unknown_scopes"]) == (0, 0, 0)


@pytest.mark.slow
def test_its_next_commands_work_as_they_are_printed(demo: Demo) -> None:
    reading = re.findall(r"^  (appstream-export (?:status|sql|describe) .*)$", demo[1].stdout, re.M)
    executable = f"{sys.executable} -m appstream_export.cli.main"
    script = " && ".join(line.replace("appstream-export ", f"{executable} ", 1) for line in reading)
    done = shell(script, cwd=demo[0].parent)

    assert len(reading) == 3
    assert (done.returncode, done.stderr) == (0, "")


def test_status_for_people_and_for_programs(demo: Demo, told: Told) -> None:
    warehouse = str(demo[0] / "warehouse")
    _, people, _ = told("status", "--warehouse", warehouse)
    _, program, _ = told("status", "--json", "--warehouse", warehouse)
    standing = json.loads(program)

    assert f"duckdb -readonly {warehouse}/warehouse.duckdb" in people
    assert re.search(r"^fresh +\d+ (second|minute)s? ago, 20", people)
    assert max(map(len, people.splitlines()[:4])) <= 80
    assert standing["seq"] == 4
    assert standing["committed_at"].endswith("Z")
    assert sum(group["scopes"] for group in standing["coverage"]) == 56


@pytest.mark.parametrize("kind", ["json", "ndjson", "csv", "md", "table"])
def test_sql_gives_the_same_rows_in_each_format(
    kind: str, demo: Demo, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APPSTREAM_EXPORT_WAREHOUSE", str(demo[0] / "warehouse"))
    sql = "select name, count(*) over () as n from image_builders order by name limit 3"
    code, text, err = told("sql", sql, "--format", kind)
    read = {
        "json": lambda: [(r["name"], r["n"]) for r in json.loads(text)],
        "ndjson": lambda: [(r["name"], r["n"]) for r in map(json.loads, text.splitlines())],
        "csv": lambda: [(r["name"], int(r["n"])) for r in csv.DictReader(io.StringIO(text))],
        "md": lambda: [(r[0], int(r[1])) for line in text.splitlines()[2:] if (r := line.strip("| ").split(" | "))],
        "table": lambda: [(r[0], int(r[1])) for line in text.splitlines()[2:5] if (r := line.split())],
    }[kind]()

    assert (code, err, len(read)) == (0, "", 3)
    assert read == sorted(read)
    assert {n for _, n in read} == {268}


@pytest.mark.long
def test_a_reader_that_leaves_early_is_no_failure(demo: Demo) -> None:
    words = f"'from image_builders, range(200)' --json --warehouse {demo[0]}/warehouse"
    done = shell(
        f"set -o pipefail; {sys.executable} -m appstream_export.cli.main sql {words} | head -c 10", cwd=demo[0]
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, '[\n  {"snap'[:10], "")


@pytest.mark.slow
def test_ctrl_c_ends_a_long_query(demo: Demo) -> None:
    sql = "select count(*) from range(100000) as a, range(10000000) as b where a.range * b.range % 7 = 3"
    asking = subprocess.Popen(
        [sys.executable, "-m", "appstream_export.cli.main", "sql", sql, "--warehouse", str(demo[0] / "warehouse")],
        env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )  # fmt: skip
    try:
        wait_until_busy(asking.pid, cpu_s=2)  # its start takes less
        asking.send_signal(signal.SIGINT)

        assert asking.communicate(timeout=120) == ("", "")
        assert asking.returncode == 130
    finally:
        asking.kill()


def test_output_that_cannot_be_written_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "appstream_export.cli.main", "tables"],
            env=clean_environment(), stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip

    assert (done.returncode, done.stderr) == (
        2,
        "appstream-export: the output could not be written: No space left on device\n",
    )


@pytest.mark.slow
def test_a_demo_whose_emulator_is_down_says_how_to_start_it(demo: Demo, tmp_path: Path, cli: Command) -> None:
    folder = Path(shutil.copytree(demo[0], tmp_path / "d"))
    before = files(folder)
    done = cli("run", "--config", str(folder / "appstream-export.toml"))

    assert (done.returncode, done.stdout) == (2, "")
    assert f"start it with: appstream-export emulate --dir {folder}" in done.stderr.splitlines()[-1]
    assert files(folder) == before


@pytest.mark.long
def test_emulate_brings_the_demos_aws_back(demo: Demo, tmp_path: Path, cli: Command) -> None:
    folder = tmp_path / "d"
    shutil.copytree(demo[0], folder)
    serving = subprocess.Popen(
        [sys.executable, "-m", "appstream_export.cli.main", "emulate", "--dir", str(folder)],
        env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert serving.stdout is not None
    try:
        said = [serving.stdout.readline() for _ in range(3)]
        taken = cli("emulate", "--dir", str(folder))
        done = cli("run", "--json", "--config", str(folder / "appstream-export.toml"))
        again = cli("run", "--retry-failed", "--config", str(folder / "appstream-export.toml"))
    finally:
        serving.send_signal(signal.SIGINT)
        _, err = serving.communicate(timeout=120)
    result = json.loads(done.stdout)

    assert said[1].split(None, 2)[2].strip() == f"appstream-export run --config {folder}/appstream-export.toml"
    assert (taken.returncode, taken.stderr.count("\n")) == (2, 1)
    assert "cannot listen on 127.0.0.1:" in taken.stderr
    assert (done.returncode, result["exit_code"], result["changes"]) == (3, 3, {})
    assert {f["status"] for f in result["failures"]} == {"denied", "malformed"}
    assert {f["account_name"] for f in result["failures"]} == {"finance-prod", "research-dev"}
    assert result["retry"] == f"appstream-export run --retry-failed --config {folder}/appstream-export.toml"
    assert (again.returncode, again.stderr.splitlines()[0].split(" ", 1)[1]) == (3, "INFO requesting 2 scopes")
    assert "54 not requested, unchanged" in again.stdout
    assert "(finance-prod): " in again.stdout
    assert (serving.returncode, err) == (0, "")


def test_a_demo_starts_afresh_only_where_a_demo_was(
    demo: Demo, tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    refused = told("demo", "--dir", "mine")
    turned = tmp_path / "turned"
    shutil.copytree(demo[0], turned)
    config = turned / "appstream-export.toml"
    config.write_text(re.sub(r"(?m)^endpoint_url.*$", "", config.read_text()))
    before = files(turned)
    real = told("demo", "--dir", str(turned))

    why = "holds something that no demo made; choose another folder with --dir"
    assert refused == (2, "", f"appstream-export: mine: {why}\n")
    assert [place.name for place in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    assert real[0] == 2
    assert files(turned) == before


def test_it_removed_what_an_earlier_demo_had_left_there(demo: Demo) -> None:
    commits = (demo[0] / "warehouse" / "commits").glob("*.json")

    assert sorted(place.stem for place in commits) == [f"{n:012}" for n in range(1, 5)]


def wait_until_busy(pid: int, cpu_s: float) -> None:
    """Until a process has used so much CPU."""
    used = 0.0
    while used < cpu_s:
        time.sleep(0.05)
        user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        used = (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def files(folder: Path) -> list[tuple[str, int]]:
    """Every file with its time of change."""
    return sorted((str(p), p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file())


def shell(script: str, cwd: Path) -> Finished:
    """Run lines as a user would type them."""
    return subprocess.run(
        ["bash", "-c", script], cwd=cwd, env=clean_environment(), capture_output=True, text=True, check=False
    )
