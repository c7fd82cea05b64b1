"""What runs without anybody: schedules ask once for each time, and whoever wants to hear of red runs does."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import dagster as dg
import pytest

from pipelines.definitions import defs
from pipelines.defs import automation
from pipelines.errors import BadSettings
from pipelines.settings import LakeSettings, Settings, from_mapping
from tests.defs.exports import as_toml, execute
from tests.export import Export


class Receiver:
    """Takes what is posted to it; answers with `status`."""

    def __init__(self) -> None:
        self.got: list[dict[str, str]] = []
        self.status = 200
        ours = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                ours.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(ours.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing is said."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook/secret-word"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


def of_red_run(instance: dg.DagsterInstance) -> dg.RunFailureSensorContext:
    """What the sensor is given after a run that could not commit anything."""
    with execute(instance) as red:
        assert not red.success
        run = instance.get_run_by_id(red.run_id)
        (failure,) = [event for event in red.all_events if event.event_type_value == "PIPELINE_FAILURE"]
    assert run is not None
    return dg.build_run_status_sensor_context(
        sensor_name="alert_on_red", dagster_event=failure, dagster_instance=instance, dagster_run=run
    ).for_run_failure()


def test_a_schedule_asks_once_for_each_time() -> None:
    schedule = defs().resolve_schedule_def("snapshot_schedule")
    at = datetime(2026, 11, 24, 6, tzinfo=UTC)
    ticks = [schedule.evaluate_tick(dg.build_schedule_context(scheduled_execution_time=at)) for _ in range(2)]

    assert [request.run_key for tick in ticks for request in tick.run_requests or []] == [
        "2026-11-24T06:00:00+00:00"
    ] * 2


def test_a_missed_snapshot_warns_and_two_fail() -> None:
    policy = automation.freshness(Settings(lake=LakeSettings(expected_every="1h")))
    with pytest.raises(BadSettings, match="expected_every"):
        from_mapping({"lake": {"expected_every": "0h"}}, Path("appstream-export.toml"))

    assert policy == dg.FreshnessPolicy.time_window(timedelta(minutes=150), timedelta(minutes=90))


def test_what_is_posted_of_a_run_with_failed_scopes_names_them(
    configured: Export, instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    configured.aws.fail("111122223333/eu-west-1", "deny")
    file = configured.folder / "appstream-export.toml"
    file.write_text(as_toml(configured, f'[dagster]\nalert_webhook = "{receiver.url}"\n'))
    automation.alert(Settings())(of_red_run(instance))
    (told,) = receiver.got

    assert told["text"].startswith(
        "snapshot is red: coverage: 1 of 4 asked scopes failed, such as 111122223333/eu-west-1 (denied)"
    )


def test_a_red_run_is_posted_and_the_address_stays_secret(
    configured: Export, instance: dg.DagsterInstance, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured.aws.fail("*", "deny")
    context = of_red_run(instance)
    sensor = automation.alert(Settings())
    unset = sensor(context)
    file = configured.folder / "appstream-export.toml"
    file.write_text(as_toml(configured, '[dagster]\nalert_webhook = "env:HOOK"\n'))
    monkeypatch.setenv("HOOK", receiver.url)
    sensor(context)
    receiver.status = 404
    with pytest.raises(BadSettings) as refused:
        sensor(context)
    monkeypatch.setenv("HOOK", "file:///secret-word")
    with pytest.raises(BadSettings) as strange:
        sensor(context)
    odd = []
    for address in ("https://hooks.example.com/secret-word and more", "https://[secret-word/", "http://a:secret-word/"):
        monkeypatch.setenv("HOOK", address)
        with pytest.raises(BadSettings) as refusal:
            sensor(context)
        odd.append(f"{refusal.value!r} {refusal.value.__suppress_context__}")

    assert "secret-word" not in str(odd)
    assert isinstance(unset, dg.SkipReason)
    (told, _) = receiver.got
    assert told["text"].startswith("snapshot is red: ")
    assert "no scope answered" in told["text"]
    assert told["run_id"] == context.dagster_run.run_id
    assert "it answered 404" in str(refused.value)
    assert "secret-word" not in f"{refused.value!r} {strange.value!r}"
