"""What monitoring systems get from a run: a file of figures, and heartbeats; neither changes how the run ends."""

import importlib.util
import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_prometheus

from appstream_export.emulator import Emulator, Fault
from appstream_export.run import heartbeat
from appstream_export.settings import HeartbeatSettings, Secret
from tests.cli.two_scopes import BAD, GOOD, enter_folder, serve_two_scopes
from tests.pings import Pings, serve_pings

pytestmark = pytest.mark.usefixtures("without_checks")
Told = Callable[..., tuple[int, str, str]]
Figures = Mapping[tuple[str, ...], float]
SETTINGS = """
lake.freshness_interval = "1h"
heartbeat.url = "env:HEARTBEAT_URL"
metrics.file = "metrics/appstream.prom"
"""


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    with serve_two_scopes() as running:
        yield running


@pytest.fixture
def pings(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pings]:
    with serve_pings() as service:
        monkeypatch.setenv("HEARTBEAT_URL", service.url)
        yield service


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, aws: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with enter_folder(tmp_path, aws, monkeypatch, SETTINGS) as entered:
        yield entered


def read(folder: Path) -> Figures:
    """Name and labels (by their names) → value, as OpenMetrics' parser reads it; that of Prometheus must agree."""
    text = (folder / "metrics" / "appstream.prom").read_text()
    new, old = (
        {
            (sample.name.removeprefix("appstream_export_"), *sample.labels.values()): sample.value
            for family in parse(text)
            for sample in family.samples
        }
        for parse in (parse_openmetrics, parse_prometheus)
    )
    assert new == old
    return new


@pytest.mark.usefixtures("pings")
def test_the_figures_of_a_run_are_those_of_its_object_and_of_status(folder: Path, told: Told) -> None:
    before = datetime.now(UTC).timestamp()
    ran = json.loads(told("run", "--json")[1])
    found, status = read(folder), json.loads(told("status", "--json")[1])

    assert (found["run_exit_code",], found["run_committed",], found["warehouse_readable",]) == (0, 1, 1)
    assert found["scopes", "false", "image_builders", "ok"] == found["run_scopes", "image_builders", "ok"] == 2
    assert (found["run_calls", "image_builders"], found["run_failed_scopes", "image_builders"]) == (2, 0)
    assert found["table_rows", "image_builders"] == ran["items"] == 2
    assert found["snapshot_seq",] == ran["seq"] == 1
    assert found["snapshot_timestamp_seconds",] == datetime.fromisoformat(ran["committed_at"]).timestamp()
    assert found["output_snapshots_behind", "catalog"] == 0
    assert ("output_age_seconds", "report") not in found
    assert found["freshness_limit_seconds",] == 2.5 * 3600
    assert before < found["last_success_timestamp_seconds",] == found["run_ended_timestamp_seconds",]
    stages = [found["run_seconds", stage] for stage in ("prepare", "extract", "commit", "publish")]
    assert min(stages) >= 0
    assert sum(stages) == pytest.approx(
        found["run_ended_timestamp_seconds",] - found["run_started_timestamp_seconds",], abs=0.01
    )
    assert status["freshness"] == "fresh"
    assert (folder / "metrics" / "appstream.prom").stat().st_mode & 0o777 == 0o644
    assert [file.name for file in (folder / "metrics").iterdir()] == ["appstream.prom"]


@pytest.mark.slow
@pytest.mark.usefixtures("pings")
def test_the_figures_of_a_later_run_are_its_own(aws: Emulator, folder: Path, told: Told) -> None:
    settings = folder / "appstream-export.toml"
    settings.write_text(settings.read_text().replace("max_attempts = 1", "max_attempts = 4"))
    told("run")
    before = read(folder)
    aws.fail(GOOD, Fault("throttle", times=1))
    aws.fail(BAD, Fault("error500", times=2))
    second = json.loads(told("run", "--json")[1])
    found = read(folder)

    assert before["snapshot_timestamp_seconds",] < found["snapshot_timestamp_seconds",]
    assert found["snapshot_timestamp_seconds",] == datetime.fromisoformat(second["committed_at"]).timestamp()
    assert [found[name, "image_builders"] for name in ("run_calls", "run_throttles", "run_retries")] == [5, 1, 3]


@pytest.mark.slow
def test_heartbeats_say_that_a_run_starts_and_how_it_ends(
    aws: Emulator, folder: Path, told: Told, pings: Pings
) -> None:
    told("run")
    well = read(folder)
    aws.fail(BAD, "deny")
    code, _, _ = told("run")
    ill = read(folder)

    assert code == 3
    assert pings.signals == ["start", "ok", "start", "fail"]
    assert [body for _, body in pings.received] == [
        "", "exit code 0; snapshot 1; scopes: 2 ok", "", "exit code 3; snapshot 2; scopes: 1 ok, 1 denied",
    ]  # fmt: skip
    assert (ill["run_exit_code",], ill["stale_scopes", "image_builders"]) == (3, 1)
    assert ill["last_success_timestamp_seconds",] == well["last_success_timestamp_seconds",]
    assert ill["oldest_answer_timestamp_seconds", "image_builders"] < ill["snapshot_timestamp_seconds",]


@pytest.mark.slow
def test_a_run_that_commits_nothing_or_is_refused_is_reported_too(
    aws: Emulator, folder: Path, told: Told, pings: Pings
) -> None:
    aws.fail("*", "deny")
    nothing = told("run")[0], read(folder)
    aws.heal()
    told("run")
    file = folder / "appstream-export.toml"
    file.write_text(file.read_text() + "[extract2]\nworkers = 0\n")
    refused = told("run")[0], read(folder)

    assert (nothing[0], nothing[1]["run_exit_code",], ("snapshot_seq",) in nothing[1]) == (4, 4, False)
    assert (refused[0], refused[1]["run_exit_code",], refused[1]["snapshot_seq",]) == (2, 2, 1)
    assert pings.signals == ["start", "fail", "start", "ok", "fail"]
    assert [body for path, body in pings.received if path.endswith("fail")] == [
        "exit code 4: NothingExtracted", "exit code 2: SettingsError",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "mistake", ["[extract2]\n", "not TOML", "variable", "no such variable", "no file"], ids=lambda text: text.strip()
)
def test_a_refused_run_is_reported_to_where_the_environment_says(
    mistake: str, folder: Path, told: Told, pings: Pings, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = folder / "appstream-export.toml"
    own = [line for line in file.read_text().splitlines() if not line.startswith(("heartbeat", "metrics"))]
    file.write_text("\n".join(own) + "\n")
    monkeypatch.setenv("APPSTREAM_EXPORT_METRICS__FILE", "elsewhere/run.prom")
    monkeypatch.setenv("APPSTREAM_EXPORT_HEARTBEAT__URL", pings.url)
    if mistake == "no file":
        file.unlink()
    elif "variable" in mistake:
        monkeypatch.setenv(f"APPSTREAM_EXPORT_{'LAKE__FILE_MODE' if mistake == 'variable' else 'EXTRACT__X'}", "x")
    else:
        file.write_text(file.read_text() + mistake)

    assert told("run")[0] == 2
    assert "appstream_export_run_exit_code 2.0" in (folder / "elsewhere" / "run.prom").read_text()
    assert pings.signals == ["fail"]


@pytest.mark.slow
@pytest.mark.parametrize("answer", ["500", "redirect", "none", "gone"])
def test_a_heartbeat_that_fails_changes_no_run_and_its_url_is_nowhere(
    answer: str, folder: Path, told: Told, pings: Pings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve_pings() as elsewhere:
        if answer == "gone":
            monkeypatch.setenv("HEARTBEAT_URL", elsewhere.url)
        elif answer == "none":
            monkeypatch.setattr(heartbeat, "TIMEOUT_S", 0.05)
            pings.hangs.clear()
        else:
            pings.status = 302 if answer == "redirect" else 500
            pings.headers = {"Location": elsewhere.url}
        if answer == "gone":
            elsewhere.server.server_close()
        code, out, err = told("run", "--debug")
        reached = elsewhere.received

    assert (code, reached) == (0, [])
    assert (
        len(re.findall(r"WARNING the heartbeat (?:start )?was not received: \[heartbeat\] url: the server", err)) == 2
    )
    assert "its-secret-name" not in out + err + (folder / "metrics" / "appstream.prom").read_text()


def test_a_server_that_never_answers_holds_up_a_run_for_a_limited_time_only(
    pings: Pings, caplog: pytest.LogCaptureFixture
) -> None:
    pings.hangs.clear()
    heartbeat.send_heartbeat(HeartbeatSettings(url=Secret(pings.url)), "start", wait_s=0.05)

    assert "the server did not answer within 0.05 s" in caplog.text


def test_a_file_that_cannot_be_written_is_a_warning_and_leaves_nothing(folder: Path, told: Told, pings: Pings) -> None:
    (folder / "metrics" / "appstream.prom").mkdir(parents=True)
    code, _, err = told("run")

    assert code == 0
    assert "WARNING [metrics] file: " in err
    assert [file.name for file in (folder / "metrics").iterdir()] == ["appstream.prom"]
    assert pings.signals == ["start", "ok"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('heartbeat.url = "hc-ping.com/x"', "[heartbeat] url: it is not a URL such as https://hc-ping.com/..."),
        ('heartbeat.url = "https://u:p@h/x"', "[heartbeat] url: it contains a user or a password"),
        ('metrics.file = "s3://b/m.prom"', '[metrics] file: "s3://b/m.prom" is not a file of this machine'),
    ],
)
def test_a_place_to_which_nothing_can_be_sent_is_refused(line: str, problem: str, folder: Path, told: Told) -> None:
    file = folder / "appstream-export.toml"
    text = file.read_text()
    file.write_text(re.sub(rf"^{line.split()[0]} .*$", line, text, flags=re.M))
    code, _, err = told("run")

    assert code == 2
    assert problem in err


def test_the_page_lists_every_metric() -> None:
    file = Path(__file__).parents[2] / "docs" / "render_metrics.py"
    spec = importlib.util.spec_from_file_location("render_metrics", file)
    assert spec is not None
    assert spec.loader is not None
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    text = page.PAGE.read_text("utf-8")

    assert page.replace_table(text) == text, "run `uv run python docs/render_metrics.py`"
