"""`run` as a shell sees it: exit codes, what is said where, filters, and signals."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appstream_export.emulator import Emulator, Fault, make_image_builder
from tests.absent import wanted, without
from tests.cli.conftest import clean_environment
from tests.lake.buckets import Bucket, Seen, Wire
from tests.pages import read_texts

Told = Callable[..., tuple[int, str, str]]
ACCOUNTS = {"111122223333": "finance", "444455556666": "research"}
REGIONS = ("eu-west-1", "us-east-1")
HANG_S = 600.0  # what a signal does not end takes as long
ENDS_S = 120  # far below, and enough on a machine that is busy
QUIET = "feeds.publish = false\nfeeds.report = false\n"


@pytest.fixture
def folder(tmp_path: Path, aws: Emulator, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings of two accounts in two regions, three builders each, in the current folder."""
    for account in ACCOUNTS:
        for region in REGIONS:
            scope = f"{account}/{region}"
            aws.put(scope, *(make_image_builder(f"b-{n}", scope=scope) for n in range(3)))
    accounts = "".join(
        f'[[accounts]]\nid = "{a}"\nname = "{name}"\nrole_arn = "arn:aws:iam::{a}:role/reader"\n'
        for a, name in ACCOUNTS.items()
    )
    text = f'regions = {json.dumps(REGIONS)}\n[aws]\nendpoint_url = "{aws.endpoint_url}"\n'
    text += f"[extract]\nmax_attempts = 2\n{accounts}"
    (tmp_path / "appstream-export.toml").write_text(QUIET + text)  # what is not about feeds need not wait for them
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def publishing(folder: Path) -> Path:
    """The same, with feeds and report."""
    file = folder / "appstream-export.toml"
    file.write_text(file.read_text().removeprefix(QUIET))
    return folder


@pytest.mark.usefixtures("publishing")
def test_a_clean_run_ends_with_0_and_says_what_came(told: Told) -> None:
    code, out, err = told("run")

    assert code == 0
    assert out.splitlines()[0].startswith("snapshot 1 committed: ")
    assert out.splitlines()[1:] == [
        "  scopes   4 ok",
        "  items    12 in all, 12 fresh",
        "  changes  12 first_seen",
        "  checks   15 passed",
    ]
    assert [line.partition(" INFO ")[2] for line in err.splitlines()] == [
        "requesting 4 scopes",
        "4/4 scopes, 12 items",
        "committing the snapshot",
        "publishing the catalog",
        "running the checks",
        "publishing the feeds",
        "writing the report",
        "run ended with exit code 0",
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("folder", "without_checks")
def test_a_failed_scope_ends_with_3_and_is_named_with_the_way_to_retry(aws: Emulator, told: Told) -> None:
    told("run")
    aws.fail("444455556666/us-east-1", "deny")
    code, out, err = told("run")
    aws.heal()
    aws.reset_calls()
    again, healed, _ = told("run", "--retry-failed")
    nothing, done, _ = told("run", "--retry-failed")

    assert code == 3
    assert "  scopes   3 ok, 1 failed" in out
    assert "  items    12 in all, 9 fresh, 3 carried, 3 stale" in out
    assert "  changes  none" in out
    assert "  denied      444455556666/us-east-1 (research): " in out
    assert "retry failures:    appstream-export run --retry-failed\n" in out
    assert "denied 444455556666/us-east-1: " in err
    assert max(map(len, out.split("see details")[0].splitlines())) <= 80
    assert (again, nothing) == (0, 0)
    assert "  scopes   1 ok, 3 not requested, unchanged" in healed
    assert {(c.account_id, c.region) for c in aws.calls if c.operation == "DescribeImageBuilders"} == {
        ("444455556666", "us-east-1")
    }
    assert "nothing to do: every scope of this run" in done


def test_when_nothing_answers_and_nothing_was_there_it_ends_with_4(folder: Path, aws: Emulator, told: Told) -> None:
    aws.fail("*", "deny")
    code, out, err = told("run", "--json")

    assert (code, out) == (4, "")
    assert err.splitlines()[-1].startswith("appstream-export: nothing committed: no scope answered")
    assert list(folder.rglob("*.parquet")) == []


@pytest.mark.usefixtures("without_checks")
def test_json_is_one_object_and_all_of_stdout(folder: Path, aws: Emulator, told: Told) -> None:
    aws.fail("444455556666/us-east-1", "deny")
    code, out, _ = told("run", "--json", "--warehouse", "elsewhere")
    result = json.loads(out)

    assert (code, result["exit_code"], result["committed"], result["seq"]) == (3, 3, True, 1)
    assert (result["items"], result["changes"], result["stale_scopes"]) == (9, {"first_seen": 9}, 1)
    assert result["warehouse"] == str(folder / "elsewhere")
    assert result["failures"][0]["account_name"] == "research"
    assert result["failures"][0]["error_code"] == "AccessDeniedException"
    assert result["retry"] == f"appstream-export run --retry-failed --warehouse {folder}/elsewhere"


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
def test_a_scope_that_never_answered_has_no_earlier_rows_to_keep(aws: Emulator, told: Told) -> None:
    aws.fail("444455556666/us-east-1", "deny")
    told("run")
    _, never, _ = told("run")
    aws.fail("444455556666/eu-west-1", "deny")
    _, one, _ = told("run")
    aws.heal()
    told("run")
    aws.fail("444455556666/us-east-1", "deny")
    _, again, _ = told("run")

    assert "failed (1):\n" in never
    assert "failed (2), earlier rows of 1 retained as stale:\n" in one
    assert "failed (1), their earlier rows retained as stale:\n" in again


@pytest.mark.slow
def test_expected_scopes_take_a_line_per_region(publishing: Path, aws: Emulator, told: Told) -> None:
    aws.fail("*/us-east-1", "deny_scp")

    assert told("run")[0] == 0
    _, out, _ = told("status")
    assert [line.split(maxsplit=1) for line in out.splitlines() if line.startswith("expected")] == [
        ["expected", "us-east-1: denied in 2 accounts"]
    ]
    assert json.loads(told("status", "--json")[1])["expected_by_region"] == [
        {"region": "us-east-1", "status": "denied", "scopes": 2, "accounts": 2, "resource": "image_builders"}
    ]
    page = read_texts(publishing / "warehouse" / "report.html")
    assert "explicit deny in a service control policy" in page


@pytest.mark.usefixtures("folder", "without_checks")
def test_many_failures_are_grouped_by_reason(aws: Emulator, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appstream_export.cli.views.run.LINES_MAX", 1)
    aws.fail("444455556666/*", "deny")
    _, out, _ = told("run")

    assert "\n       2 x denied, such as 444455556666/eu-west-1 (research):\n" in out


@pytest.mark.slow
@pytest.mark.usefixtures("folder", "without_checks")
def test_flags_limit_what_is_asked(aws: Emulator, told: Told) -> None:
    told("run")
    aws.reset_calls()
    code, out, _ = told("run", "--accounts", "111122223333", "--regions", "eu-west-1", "--names", "b-1,b-2", "--json")
    asked = {(c.account_id, c.region) for c in aws.calls if c.operation == "DescribeImageBuilders"}

    assert (code, asked) == (0, {("111122223333", "eu-west-1")})
    assert json.loads(out)["items_fresh"] == 2


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
def test_a_cut_says_how_to_go_on(told: Told) -> None:
    where = ("--accounts", "111122223333", "--regions", "eu-west-1")
    code, out, _ = told("run", "--max-items", "2", *where, "--json")
    token = json.loads(out)["cut"][0]["starting_token"]
    _, text, _ = told("run", "--max-items", "2", *where)
    went_on, rest, _ = told("run", *where, "--starting-token", token, "--json")

    assert (code, went_on) == (0, 0)
    assert f"continue with: {' '.join(where)} --starting-token {token}" in text
    assert json.loads(rest)["items"] == 3


@pytest.mark.slow
@pytest.mark.usefixtures("without_checks")
def test_words_of_the_global_options_stand_before_or_after(folder: Path, told: Told) -> None:
    (folder / "other.toml").write_text((folder / "appstream-export.toml").read_text())
    before, out, _ = told("--config", "other.toml", "run")
    (folder / "appstream-export.toml").unlink()
    after, again, _ = told("run", "--config", "other.toml", "--no-publish", "--debug")

    assert (before, after) == (0, 0)
    assert out.startswith("snapshot 1 committed: ")
    assert again.startswith("snapshot 2 committed: ")


@pytest.mark.slow
def test_a_catalog_can_be_made_anew(folder: Path, told: Told) -> None:
    told("run", "--no-publish")
    file = folder / "warehouse" / "warehouse.duckdb"
    missing = not file.exists()

    assert missing
    assert told("catalog") == (0, f"{file}\n", "")
    assert file.exists()
    assert told("sql", "select count(*) as n from image_builders", "--format", "csv")[1] == "n\r\n12\r\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "hangs"),
    [
        (signal.SIGTERM, "DescribeImageBuilders"),
        pytest.param(signal.SIGINT, "DescribeImageBuilders", marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, "AssumeRole", marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, "ListAccounts", marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_the_run_with_nothing_committed(
    number: signal.Signals, hangs: str, folder: Path, aws: Emulator
) -> None:
    if hangs == "ListAccounts":
        with (folder / "appstream-export.toml").open("a") as file:
            file.write('[organization]\nrole_name = "reader"\n')
    aws.fail("*", Fault("slow", operation=hangs, delay_s=HANG_S))
    running = begin(folder)
    wait_for_a_call(aws, hangs)
    running.send_signal(number)
    out, err = running.communicate(timeout=ENDS_S)

    assert running.returncode == 128 + number
    assert out == ""
    assert "interrupted: nothing was committed" in err.splitlines()[-1]
    assert list(folder.rglob("*.parquet")) == []


@pytest.mark.slow
def test_a_second_signal_ends_it_at_once(folder: Path, aws: Emulator) -> None:
    aws.fail("*", "slow", delay_s=HANG_S)
    running = begin(folder)
    wait_for_a_call(aws)
    running.send_signal(signal.SIGTERM)
    wait_for_line(running, "stopping ...")
    running.send_signal(signal.SIGTERM)
    running.communicate(timeout=ENDS_S)

    assert running.returncode == 143


Committing = tuple[subprocess.Popen[str], threading.Event]


@pytest.fixture
def commit(publishing: Path, aws: Emulator) -> Iterator[Committing]:
    """A run into a bucket that is about to create its manifest, and the event that lets it."""
    begun, go = threading.Event(), threading.Event()

    def hold(_: int, seen: Seen) -> None:
        if seen.method == "PUT" and "/commits/" in seen.key:
            begun.set()
            go.wait(HANG_S)

    with Wire(int(aws.endpoint_url.rpartition(":")[2])) as wire:
        place = Bucket(aws, wire).place()
        wire.plan = hold
        file = publishing / "appstream-export.toml"
        file.write_text(f'warehouse = "{place}"\nlake.s3.endpoint_url = "{wire.url}"\n{file.read_text()}')
        running = begin(publishing, AWS_ACCESS_KEY_ID="k", AWS_SECRET_ACCESS_KEY="s")
        assert begun.wait(ENDS_S)
        yield running, go
        go.set()


@pytest.mark.slow
def test_a_signal_lets_a_commit_that_has_begun_come_to_its_end(commit: Committing) -> None:
    running, go = commit
    running.send_signal(signal.SIGTERM)
    wait_for_line(running, "stopping ... (a second signal stops at once)")
    go.set()
    out, err = running.communicate(timeout=ENDS_S)

    assert (running.returncode, out.splitlines()[0].partition(":")[0]) == (0, "snapshot 1 committed")
    assert "the snapshot is committed, but the run was stopped before its feeds were published" in out
    assert not [line for line in err.splitlines() if line in ("checks", "feeds", "report")]


@pytest.mark.slow
def test_a_second_signal_waits_for_no_commit(commit: Committing) -> None:
    running, _ = commit
    running.send_signal(signal.SIGTERM)
    wait_for_line(running, "stopping ...")
    running.send_signal(signal.SIGTERM)
    running.communicate(timeout=ENDS_S)

    assert running.returncode == 143


def begin(folder: Path, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "appstream_export.cli.main", "run"],
        cwd=folder, env=clean_environment() | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_for_a_call(aws: Emulator, operation: str = "DescribeImageBuilders") -> None:
    """Until the run has asked, and waits for the answer."""
    until = time.monotonic() + ENDS_S
    while not any(c.operation == operation for c in aws.calls) and time.monotonic() < until:
        time.sleep(0.05)


def wait_for_line(running: "subprocess.Popen[str]", text: str) -> None:
    """Until the run has written the line to its log."""
    assert running.stderr is not None
    while (line := running.stderr.readline()) and text not in line:
        pass
    assert text in line


HEAVY = ("boto3", "botocore", "dagster", "moto", "numpy", "pyarrow", "rich", "sqlglot", "yaml")
SMALL = "['sql', \"select 1 as n, now() as t, 'a' as x, 1.5 as d, sum(1) as s\", '--warehouse', 'warehouse']"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "also"),
    [("['--help']", ("duckdb", "msgspec")), ("['completion', 'bash']", ("duckdb",)),
     ("['tables']", ("duckdb",)), ("['tables', '--json']", ("duckdb",)),
     ("['describe', 'image_builders']", ("duckdb",)), ("['query']", ("duckdb",)),
     (SMALL, ("appstream_export.settings", "ssl")),
     (SMALL.replace("]", ", '--format', 'csv']"), ("appstream_export.settings", "ssl")),
     ("['query', 'running_over', '--warehouse', 'warehouse']", ("ssl",)),
     ("['status', '--warehouse', 'warehouse']", ("ssl",))],
    ids=[*("help", "completion", "tables", "tables as JSON", "describe"),
         *("queries", "sql", "sql as CSV", "query", "status")],
)  # fmt: skip
def test_reading_loads_nothing_heavy(
    words: str, also: tuple[str, ...], folder: Path, tmp_path_factory: pytest.TempPathFactory, told: Told
) -> None:
    absent = tmp_path_factory.mktemp("absent")
    if "warehouse" in words:
        told("run")
    script = (
        "import sys; from appstream_export.cli.main import main\n"
        f"assert main({words}) == 0; print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env=without(absent, clean_environment()),
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert sorted(set(done.stderr.split()) & {*HEAVY, *also}) == []
    assert wanted(absent) == []


@pytest.mark.slow
@pytest.mark.parametrize(("chosen", "used"), [({}, "system"), ({"ARROW_DEFAULT_MEMORY_POOL": "jemalloc"}, "jemalloc")])
def test_a_run_takes_arrows_memory_from_the_system_unless_told_otherwise(
    chosen: dict[str, str], used: str, tmp_path: Path
) -> None:
    code = (
        "from appstream_export.cli.main import main; code = main(['run', '--config', 'none.toml']);"
        "import pyarrow; print(code, pyarrow.default_memory_pool().backend_name)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=clean_environment() | chosen,
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert done.stdout.split() == ["2", used]


def test_a_bug_is_called_one_with_its_place(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> int:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("appstream_export.cli.commands.reading.show_tables", broken)
    code, out, err = told("tables")
    _, _, traced = told("tables", "--debug")

    assert (code, out, err.count("\n")) == (70, "", 1)
    assert "this is a bug: ZeroDivisionError at test_run.py:" in err
    assert err.endswith(": by zero; rerun with --debug and report what it prints\n")
    assert "Traceback (most recent call last)" in traced
