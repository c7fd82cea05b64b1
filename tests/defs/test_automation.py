"""What runs without anybody: schedules ask once for each time, and whoever wants to hear of red runs does."""

import json
import threading
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from appstream_export.definitions import defs
from appstream_export.defs import automation
from appstream_export.errors import SettingsError
from appstream_export.settings import LakeSettings, Settings, parse_settings
from tests.defs.exports import as_toml, execute
from tests.defs.jobs import rebuilt, retried_job
from tests.defs.servers import ROOT, dagster_dev, launched, wait_until
from tests.export import Export
from tests.factories import image_builder


class Receiver:
    """Takes what is posted to it; answers with `status`, and from the second time on with `then` if there is one."""

    def __init__(self) -> None:
        self.got: list[dict[str, str]] = []
        self.followed = False
        self.status, self.then = 200, 0
        ours = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                ours.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                status = ours.status if len(ours.got) == 1 or not ours.then else ours.then
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()

            def do_GET(self) -> None:
                ours.followed = True
                self.send_response(200)
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


@pytest.fixture
def silent(configured: Export, receiver: Receiver) -> None:
    """No scope answers, so that every run turns red, and the receiver is to hear of it."""
    hooked(configured, receiver.url)
    configured.aws.fail("*", "deny")


def red_run(instance: dg.DagsterInstance) -> str:
    """The id of a run that turned red."""
    with execute(instance) as red:
        assert not red.success
    return red.run_id


def foreign_job() -> dg.JobDefinition:
    """A job of the host that fails and makes an asset of its own alone."""

    @dg.asset
    def page() -> None:
        raise dg.Failure("it is broken")

    job = dg.define_asset_job("foreign", executor_def=dg.in_process_executor)
    return dg.Definitions(assets=[page], jobs=[job]).resolve_job_def("foreign")


class Ticking:
    """The sensor as the daemon asks it: what a tick leaves as cursor is given to the next, unless it fails."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance, self._cursor = instance, None
        self.tick()  # the first only begins: what was red before is no news

    def tick(self) -> str:
        """Why it launched nothing, as it says."""
        context = dg.build_sensor_context(instance=self._instance, cursor=self._cursor)
        told = defs().resolve_sensor_def("alert_on_red")(context)
        if isinstance(told, dg.SensorResult):
            self._cursor = told.cursor
        skipped = told.skip_reason if isinstance(told, dg.SensorResult) else told
        assert isinstance(skipped, str | dg.SkipReason)
        return skipped if isinstance(skipped, str) else skipped.skip_message or ""


def hooked(export: Export, url: str) -> None:
    """The configuration with a webhook."""
    file = export.folder / "appstream-export.toml"
    file.write_text(as_toml(export, f'[dagster]\nalert_webhook = "{url}"\n'))


@pytest.mark.slow
def test_a_schedule_asks_once_for_each_time(stored_instance: dg.DagsterInstance) -> None:
    schedule = defs().resolve_schedule_def("snapshot_schedule")
    at = datetime(2026, 11, 24, 6, tzinfo=UTC)
    context = dg.build_schedule_context(instance=stored_instance, scheduled_execution_time=at)
    ticks = [schedule.evaluate_tick(context) for _ in range(2)]

    assert [request.run_key for tick in ticks for request in tick.run_requests or []] == [
        "2026-11-24T06:00:00+00:00"
    ] * 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "max_runtime", "reason"),
    [
        (dg.DagsterRunStatus.QUEUED, "0", "run earlier of snapshot is queued"),
        (dg.DagsterRunStatus.STARTED, "7200", "run earlier of snapshot is started"),
        (dg.DagsterRunStatus.STARTED, "0", None),
        (dg.DagsterRunStatus.SUCCESS, "7200", None),
    ],
    ids=["queued", "running", "killed", "ended"],
)
def test_a_schedule_skips_while_a_run_of_its_job_is_under_way(
    status: dg.DagsterRunStatus, max_runtime: str, reason: str | None, stored_instance: dg.DagsterInstance
) -> None:
    schedule, job = defs().resolve_schedule_def("snapshot_schedule"), defs().resolve_job_def("snapshot")
    tags = {**job.tags, "dagster/max_runtime": max_runtime}
    place = GrpcServerCodeLocationOrigin(host="127.0.0.1", port=1, location_name="here")
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(place, "__repository__"), "snapshot")
    stored_instance.add_run(
        dg.DagsterRun("snapshot", run_id="of another warehouse", status=dg.DagsterRunStatus.STARTED)
    )
    stored_instance.add_run(
        dg.DagsterRun("snapshot", run_id="earlier", status=status, tags=tags, remote_job_origin=origin)
    )
    context = dg.build_schedule_context(
        instance=stored_instance, scheduled_execution_time=datetime(2026, 11, 24, tzinfo=UTC)
    )
    tick = schedule.evaluate_tick(context)

    assert (tick.skip_message, len(tick.run_requests or [])) == (reason, 0 if reason else 1)


@pytest.mark.slow
@pytest.mark.usefixtures("configured")
def test_alerts_are_of_runs_of_this_export_alone_and_link_to_them(
    configured: Export, instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    file = configured.folder / "appstream-export.toml"
    file.write_text(
        as_toml(configured, f'[dagster]\nalert_webhook = "{receiver.url}"\nui_url = "https://d.example/"\n')
    )
    sensor, red = Ticking(instance), dg.DagsterRunStatus.FAILURE
    of_assets = {"own": "image_builders", "theirs": "orders"}
    for run_id, key in of_assets.items():
        asset_selection = frozenset({dg.AssetKey(key)})
        instance.add_run(dg.DagsterRun("__ASSET_JOB", run_id=run_id, status=red, asset_selection=asset_selection))
    instance.add_run(dg.DagsterRun("orders_hourly", run_id="job of theirs", status=red))
    for run in instance.get_runs():
        instance.report_run_failed(run, "it failed")
    sensor.tick()

    assert [told["url"] for told in receiver.got] == ["https://d.example/runs/own"]
    assert receiver.got[0]["text"] == "a run of assets is red: it failed https://d.example/runs/own"


def test_a_missed_snapshot_warns_and_two_fail() -> None:
    policy = automation.build_freshness_policy(Settings(lake=LakeSettings(freshness_interval="1h")))
    with pytest.raises(SettingsError, match="freshness_interval"):
        parse_settings({"lake": {"freshness_interval": "0h"}}, Path("appstream-export.toml"))

    assert policy == dg.FreshnessPolicy.time_window(timedelta(minutes=150), timedelta(minutes=90))


@pytest.mark.slow
def test_what_is_posted_of_a_run_with_failed_scopes_names_them(
    configured: Export, instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    hooked(configured, receiver.url)
    configured.aws.fail("111122223333/eu-west-1", "deny")
    sensor = Ticking(instance)
    run_id = red_run(instance)
    sensor.tick()
    (told,) = receiver.got

    assert told["text"].startswith(
        "snapshot is red: coverage: 1 of 4 requested scopes failed, "
        "such as image_builders@111122223333/eu-west-1 (denied)"
    )
    assert (told["job"], told["run_id"], told["root_run_id"]) == ("snapshot", run_id, run_id)


@pytest.mark.slow
@pytest.mark.usefixtures("silent")
def test_a_post_that_fails_is_tried_again_at_the_next_tick_and_one_that_arrives_is_not(
    instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    before = red_run(instance)
    sensor = Ticking(instance)
    first = red_run(instance)
    for receiver.status in (503, 301, 302, 303, 307, 308):  # a redirect takes no alert, wherever it leads
        with pytest.raises(SettingsError, match=f"the server answered {receiver.status}"):
            sensor.tick()
    assert not receiver.followed
    second = red_run(instance)
    receiver.got.clear()
    receiver.status, receiver.then = 200, 503
    partly = sensor.tick()
    receiver.then = 200
    rest, nothing = sensor.tick(), sensor.tick()

    assert partly.startswith("1 of 2 red runs posted; the others follow at the next tick: [dagster] alert_webhook")
    assert (rest, nothing) == ("1 of 1 red runs posted", "no new red runs")
    assert [told["run_id"] for told in receiver.got] == [first, second, second]
    assert before not in {told["run_id"] for told in receiver.got}
    assert "no scope answered" in receiver.got[0]["text"]


@pytest.mark.slow
@pytest.mark.usefixtures("silent")
def test_a_red_run_whose_log_cannot_be_read_is_posted_once_and_holds_up_no_other(
    stored_instance: dg.DagsterInstance, home: Path, receiver: Receiver
) -> None:
    sensor = Ticking(stored_instance)
    damaged, whole = red_run(stored_instance), red_run(stored_instance)
    [log] = home.rglob(f"{damaged}.db")
    log.write_bytes(b"no database" * 1000)
    for left in home.rglob(f"{damaged}.db-*"):
        left.unlink()

    assert [sensor.tick(), sensor.tick()] == ["2 of 2 red runs posted", "no new red runs"]
    assert [told["run_id"] for told in receiver.got] == [damaged, whole]
    assert receiver.got[0]["why"] == "its log cannot be read (DatabaseError)"


@pytest.mark.slow
@pytest.mark.usefixtures("silent")
def test_a_webhook_that_stays_dead_is_not_asked_for_ever(
    instance: dg.DagsterInstance, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    sensor = Ticking(instance)
    red_run(instance)
    receiver.status = 503
    with pytest.raises(SettingsError):
        sensor.tick()
    monkeypatch.setattr(automation, "ALERT_FOR", timedelta(0))

    assert sensor.tick() == "no new red runs"
    assert len(receiver.got) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("silent")
def test_a_red_run_of_a_hosts_job_is_posted_if_it_makes_assets_of_ours(
    instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    sensor = Ticking(instance)
    for job in (retried_job, foreign_job):
        with dg.execute_job(rebuilt(job), instance) as red:
            assert not red.success

    assert sensor.tick() == "1 of 1 red runs posted"
    assert [posted["job"] for posted in receiver.got] == ["retried"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::dagster_shared.utils.warnings.BetaWarning")  # Dagster warns about its own code
def test_automation_downstream_of_a_resource_that_is_not_due_is_not_requested(
    configured: Export, instance: dg.DagsterInstance
) -> None:
    cadence = '[contracts]\nresources = ["image_builders", "fleets"]\ncadence = { image_builders = "1d" }\n'
    (configured.folder / "appstream-export.toml").write_text(as_toml(configured, cadence))
    changed = dg.AutomationCondition.any_deps_match(dg.AutomationCondition.data_version_changed())

    @dg.asset(deps=["image_builders"], automation_condition=changed)
    def daily() -> None: ...

    @dg.asset(deps=["scope_runs"], automation_condition=changed)
    def hourly() -> None: ...

    project = dg.Definitions.merge(dg.Definitions(assets=[daily, hourly]), defs())
    requested, cursor = [], None
    configured.aws.put("111122223333/eu-west-1", image_builder("a"))
    for _ in range(2):
        cursor = dg.evaluate_automation_conditions(project, instance, cursor=cursor).cursor
        with execute(instance) as result:
            assert result.success
        found = dg.evaluate_automation_conditions(project, instance, cursor=cursor)
        requested.append({key.to_user_string() for key in (daily.key, hourly.key) if found.get_num_requested(key)})
        cursor = found.cursor

    assert requested == [{"daily", "hourly"}, {"hourly"}]


@pytest.mark.slow
@pytest.mark.parametrize(("on_incomplete", "requested"), [("stop", set()), ("continue", {"by_team"})])
@pytest.mark.filterwarnings("ignore::dagster_shared.utils.warnings.BetaWarning")  # Dagster warns about its own code
def test_automation_that_waits_for_blocking_checks_agrees_with_jobs_about_a_red_run(
    on_incomplete: str, requested: set[str], configured: Export, instance: dg.DagsterInstance
) -> None:
    settings = as_toml(configured, f'[dagster]\non_incomplete = "{on_incomplete}"\n')
    (configured.folder / "appstream-export.toml").write_text(settings)
    configured.aws.fail("111122223333/eu-west-1", "deny")

    @dg.asset(deps=["image_builders"], automation_condition=dg.AutomationCondition.all_deps_blocking_checks_passed())
    def by_team() -> None: ...

    project = dg.Definitions.merge(dg.Definitions(assets=[by_team]), defs())
    with execute(instance) as red:
        assert not red.success
    found = dg.evaluate_automation_conditions(project, instance)

    assert {key for key in ("by_team",) if found.get_num_requested(dg.AssetKey(key))} == requested


@pytest.mark.slow
@pytest.mark.usefixtures("silent")
def test_a_tag_that_a_red_run_is_given_later_makes_no_news_of_it(instance: dg.DagsterInstance) -> None:
    run_id = red_run(instance)
    sensor = Ticking(instance)
    instance.add_run_tags(run_id, {"seen": "yes"})

    assert sensor.tick() == "no new red runs"


@pytest.mark.long
@pytest.mark.usefixtures("silent")
def test_dagsters_daemon_posts_a_red_run_of_this_code_location_once_the_webhook_is_well_again(
    home: Path, receiver: Receiver
) -> None:
    (home / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text())
    with dagster_dev(home, {}) as url, dg.DagsterInstance.from_config(str(home)) as instance:
        wait_until(lambda: cursors(instance), "the sensor has begun")
        receiver.status = 503
        run_id = launched(url)
        wait_until(lambda: receiver.got, "it tries")
        receiver.status = 200
        wait_until(lambda: run_id in cursors(instance), "it succeeds")
        run = instance.get_run_by_id(run_id)

    assert {told["run_id"] for told in receiver.got} == {run_id}
    assert run is not None
    assert run.tags["dagster/max_runtime"] == "7200"


def cursors(instance: dg.DagsterInstance) -> str:
    """What sensors remember."""
    states = [state.instigator_data for state in instance.all_instigator_state()]
    return " ".join(str(getattr(state, "cursor", None) or "") for state in states).strip()


@pytest.mark.slow
def test_the_address_stays_secret_whatever_is_wrong_with_it(
    configured: Export, instance: dg.DagsterInstance, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured.aws.fail("*", "deny")
    unset = Ticking(instance).tick()
    hooked(configured, "env:HOOK")
    monkeypatch.setenv("HOOK", receiver.url)
    sensor = Ticking(instance)
    red_run(instance)
    receiver.status = 404
    refusals = []
    for address in (
        receiver.url,
        "file:///secret-word",
        "https://hooks.example.com/secret-word and more",
        "https://[secret-word/",
        "http://a:secret-word/",
    ):
        monkeypatch.setenv("HOOK", address)
        with pytest.raises(SettingsError) as refusal:
            sensor.tick()
        refusals.append("".join(traceback.format_exception(refusal.value)))

    assert unset == "[dagster] alert_webhook is not set: no alert is posted"
    assert "the server answered 404" in refusals[0]
    assert not [word for word in ("secret-word", receiver.url) if word in str(refusals)]
