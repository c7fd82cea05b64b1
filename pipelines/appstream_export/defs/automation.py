"""Schedules, freshness policies, and alerts for failed runs."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from typing import Self

import dagster as dg
import msgspec

from appstream_export.defs.context import load_settings
from appstream_export.errors import SettingsError
from appstream_export.settings import Settings, compute_freshness_windows, has_user_part

HOURLY, WEEKLY, DAILY = "0 * * * *", "30 3 * * 0", "45 3 * * *"
POST_TIMEOUT_S = 10
POST_ALL_TIMEOUT_S = 30  # Dagster gives a tick a minute
ALERT_FOR = timedelta(days=1)
"""For so long a red run whose post fails is posted again with each tick; then it is old news."""
FAILED_RUNS_MAX = 500
OVERHEAD_S = 3600  # what a run does besides its sweep: discovery, commit, feeds


def build_schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """Those that the settings give a time are on from the start; the others are there, and off."""
    own = settings.dagster
    return [
        _build_schedule("snapshot", own.cron_job, own.cron, HOURLY, own.timezone),
        _build_schedule("maintenance", "maintenance", own.maintenance_cron, WEEKLY, own.timezone),
        _build_schedule("prune_runs", "prune_runs", None, DAILY, own.timezone),
    ]


def build_freshness_policy(settings: Settings) -> dg.FreshnessPolicy:
    """A snapshot is due each `freshness_interval` (a day, if unset): a missed one warns, two fail."""
    warn, fail = compute_freshness_windows(settings.lake.freshness_timedelta or timedelta(days=1))
    return dg.FreshnessPolicy.time_window(warn_window=warn, fail_window=fail)


def build_max_runtime_tag(settings: Settings, sweeps: int = 1, extra_s: float = 0.0) -> dict[str, str]:
    """The tag by which run monitoring takes a run for dead: not before its sweeps, one after the other, are due."""
    due_s = sweeps * (settings.extract.run_timeout_s + extra_s) + OVERHEAD_S
    return {dg.MAX_RUNTIME_SECONDS_TAG: f"{due_s:.0f}"}


def build_alert_sensor(settings: Settings) -> dg.SensorDefinition:
    """Posts each red run to `alert_webhook`; off unless the settings name one.

    Not Dagster's run_failure_sensor, which is through with a run whether the post arrived or not.
    """
    is_on = settings.dagster.alert_webhook is not None
    status = dg.DefaultSensorStatus.RUNNING if is_on else dg.DefaultSensorStatus.STOPPED

    @dg.sensor(
        name="alert_on_red",
        description="Posts every red run of this code location to [dagster] alert_webhook, as JSON.",
        default_status=status,
        minimum_interval_seconds=30,
    )
    def alert_on_red(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        webhook = load_settings().dagster.alert_webhook
        if webhook is None:
            return dg.SkipReason("[dagster] alert_webhook is not set: nobody is told")
        known = AlertCursor.decode_json(context.cursor)
        failed = list(_list_failed_runs(context, known.since))
        pending = [run for run in failed if run.run_id not in known.runs]
        posted, problem = _post_alerts(webhook.reveal(key="[dagster] alert_webhook"), context.instance, pending)
        if problem and not posted:
            raise problem  # a failed tick: the cursor stays, and the next tick posts all of them
        runs = {run.run_id for run in failed} & {*known.runs, *posted}
        cursor = AlertCursor(since=known.since, runs=tuple(sorted(runs))).encode_json()
        return dg.SensorResult(cursor=cursor, skip_reason=_format_skip_reason(len(pending), len(posted), problem))

    return alert_on_red


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertCursor:
    """The sensor's cursor: since when it looks, and which red runs it has posted of those that it still sees."""

    since: float
    runs: tuple[str, ...] = ()

    @classmethod
    def decode_json(cls, cursor: str | None) -> Self:
        """A cursor that is not ours is none: the sensor begins now, and posts no run of before."""
        try:
            return msgspec.json.decode(cursor or "", type=cls)
        except msgspec.DecodeError:
            return cls(since=datetime.now(UTC).timestamp())

    def encode_json(self) -> str:
        """As Dagster keeps it."""
        return msgspec.json.encode(self).decode()


def _list_failed_runs(context: dg.SensorEvaluationContext, since: float) -> Iterator[dg.DagsterRun]:
    """Runs of this code location that turned red since then, but not longer ago than they are worth a word."""
    start = max(since, (datetime.now(UTC) - ALERT_FOR).timestamp())
    newer = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=datetime.fromtimestamp(start, UTC))
    here = context.code_location_origin
    for record in context.instance.get_run_records(newer, limit=FAILED_RUNS_MAX):
        origin = record.dagster_run.remote_job_origin
        is_ours = (origin.location_name if origin else None) == (here.location_name if here else None)
        if is_ours and (record.end_time or 0.0) >= start:  # a tag that is set later makes a run newer, not red again
            yield record.dagster_run


def _post_alerts(
    url: str, instance: dg.DagsterInstance, pending: Sequence[dg.DagsterRun]
) -> tuple[list[str], SettingsError | None]:
    """Ids of those that arrived, oldest first, and what went wrong with the first that did not."""
    posted, problem, began = list[str](), None, time.monotonic()
    for run in reversed(pending):
        if time.monotonic() - began > POST_ALL_TIMEOUT_S:
            break
        try:
            _post_json(url, _build_alert_payload(instance, run))
        except SettingsError as error:
            problem = problem or error
        else:
            posted.append(run.run_id)
    return posted, problem


def _format_skip_reason(pending: int, posted: int, problem: SettingsError | None) -> str:
    """What the tick says of itself."""
    if not pending:
        return "no run has turned red"
    later = f"; the others at the next tick: {problem or 'there was no more time'}" if posted < pending else ""
    return f"{posted} of {pending} red runs posted{later}"


def _build_schedule(name: str, job: str, cron: str | None, default_cron: str, timezone: str) -> dg.ScheduleDefinition:
    status = dg.DefaultScheduleStatus.RUNNING if cron else dg.DefaultScheduleStatus.STOPPED

    @dg.schedule(
        name=f"{name}_schedule",
        job_name=job,
        cron_schedule=cron or default_cron,
        execution_timezone=timezone,
        default_status=status,
        description=f"Runs {job}; a time that was asked for already is not asked for twice.",
    )
    def request_run(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        return dg.RunRequest(run_key=context.scheduled_execution_time.isoformat())

    return request_run


def _build_alert_payload(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dict[str, object]:
    """What the webhook gets: `text` is what chats show, the rest is for programs."""
    why = _describe_failure(instance, run)
    return {
        "text": f"{run.job_name} is red: {why}",
        "job": run.job_name,
        "run_id": run.run_id,
        "root_run_id": run.root_run_id or run.run_id,
        "why": why,
    }


def _describe_failure(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """What turned it red, by its log."""
    try:
        entries = instance.all_logs(run.run_id, of_type=_FAILURE_EVENT_TYPES)
    except Exception as error:  # noqa: BLE001  whatever it is, one log that cannot be read must not hold up the others
        return f"its log cannot be read ({type(error).__name__})"
    events = [entry.dagster_event for entry in entries if entry.dagster_event]
    return " ".join(_list_failed_checks(events)) or next(_list_error_messages(events), "")


_FAILURE_EVENT_TYPES = {
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.RUN_FAILURE,
}


def _list_failed_checks(events: Iterable[dg.DagsterEvent]) -> Iterator[str]:
    """What the checks that turned the run red say; Dagster's own error names them, and not what they found."""
    for event in events:
        if event.event_type is not dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            continue
        check = event.asset_check_evaluation_data
        if check.blocking and not check.passed and check.severity is dg.AssetCheckSeverity.ERROR:
            yield f"{check.check_name}: {check.description}"


def _list_error_messages(events: Iterable[dg.DagsterEvent]) -> Iterator[str]:
    """Errors of steps, then what Dagster says of the run."""
    for event in events:
        if event.is_step_failure and event.step_failure_data.error:
            yield event.step_failure_data.error.message.strip()
    yield from (event.message or "" for event in events if event.is_run_failure)


def _build_opener() -> urllib.request.OpenerDirector:
    """Return urllib's opener without its redirects, which it would follow with a GET, and without the alert."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _post_json(url: str, payload: dict[str, object]) -> None:
    """Post it; raises SettingsError unless the answer is a 2xx, without the URL: who knows that may post."""
    if not url.startswith(("https://", "http://")):
        raise SettingsError("[dagster] alert_webhook: it is not like https://hooks.example.com/...")
    if has_user_part(url):
        raise SettingsError("[dagster] alert_webhook: it holds a user or a password", fix="take it out of the URL")
    try:
        request = urllib.request.Request(  # noqa: S310  the scheme was looked at
            url, json.dumps(payload).encode(), {"Content-Type": "application/json"}, method="POST"
        )
        with _build_opener().open(request, timeout=POST_TIMEOUT_S):
            pass
    except urllib.error.HTTPError as error:
        error.close()
        raise SettingsError(f"[dagster] alert_webhook: it answered {error.code}", fix="correct its URL") from None
    except (OSError, HTTPException, ValueError) as error:  # whose messages quote parts of the address
        raise SettingsError(f"[dagster] alert_webhook: it could not be reached: {type(error).__name__}") from None
