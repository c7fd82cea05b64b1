"""Schedules, freshness policies, and alerts for failed runs."""

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Self

import dagster as dg
import msgspec

from appstream_export.defs.binding import MAINTENANCE, PRUNE, SNAPSHOT, ExportAssets, ExportBinding
from appstream_export.defs.checks import COMPLETE
from appstream_export.errors import SettingsError
from appstream_export.run import post_to_url
from appstream_export.settings import Settings, compute_freshness_windows

HOURLY, WEEKLY, DAILY = "0 * * * *", "30 3 * * 0", "45 3 * * *"
POST_TIMEOUT_S = 10
POST_ALL_TIMEOUT_S = 30  # Dagster ends a sensor tick after a minute
ALERT_FOR = timedelta(days=1)
"""A failed post of a red run is repeated with each tick for this long."""
FAILED_RUNS_MAX = 500
OVERHEAD_S = 3600  # for everything but the sweep: discovery, commit, feeds


WAREHOUSE_TAG = "appstream_export/warehouse"
"""Tag of a job's runs, which distinguishes jobs of the same name in several code locations."""
_UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING,
]  # fmt: skip


def build_schedules(binding: ExportBinding, settings: Settings) -> list[dg.ScheduleDefinition]:
    """Return the schedules of all jobs; those with a cron expression in the settings are on, the others off."""
    own = settings.dagster
    return [
        _build_schedule(binding, settings, SNAPSHOT, own.cron_job, own.cron or HOURLY, is_on=bool(own.cron)),
        _build_schedule(
            binding,
            settings,
            MAINTENANCE,
            MAINTENANCE,
            own.maintenance_cron or WEEKLY,
            is_on=bool(own.maintenance_cron),
        ),
        _build_schedule(binding, settings, PRUNE, PRUNE, DAILY, is_on=False),
    ]


def build_freshness_policy(settings: Settings) -> dg.FreshnessPolicy:
    """Return the freshness policy: a snapshot is due each `freshness_interval`, or each day if it is unset."""
    warn, fail = compute_freshness_windows(settings.lake.freshness_timedelta or timedelta(days=1))
    return dg.FreshnessPolicy.time_window(warn_window=warn, fail_window=fail)


def build_max_runtime_tag(settings: Settings, sweeps: int = 1, extra_s: float = 0.0) -> dict[str, str]:
    """Return the tag with the time after which run monitoring ends a run: enough for its sweeps, one after another."""
    due_s = sweeps * (settings.extract.run_timeout_s + extra_s) + OVERHEAD_S
    return {dg.MAX_RUNTIME_SECONDS_TAG: f"{due_s:.0f}"}


def build_job_tags(settings: Settings, sweeps: int = 1, extra_s: float = 0.0) -> dict[str, str]:
    """Return the tags of the runs of a job: their maximum time, and the warehouse."""
    return {**build_max_runtime_tag(settings, sweeps, extra_s), WAREHOUSE_TAG: settings.warehouse}


def is_own_run(run: dg.DagsterRun, binding: ExportBinding, assets: ExportAssets) -> bool:
    """Return whether a run is of a job of the export, or of a selection of its assets and no others."""
    selected = run.asset_selection or frozenset()
    return run.job_name in binding.job_names or (bool(selected) and selected <= assets.keys)


@dataclass(frozen=True, kw_only=True)
class OwnRuns:
    """Membership of runs whose failure is posted: those that make assets of the export, also in jobs of the host."""

    instance: dg.DagsterInstance
    binding: ExportBinding
    assets: ExportAssets
    _known: dict[str, bool] = field(default_factory=dict, init=False)
    """By plan: all runs of a job that has not changed share one, and it is read from Dagster's storage."""

    def __contains__(self, run: dg.DagsterRun) -> bool:
        return run.job_name in self.binding.job_names or self._has_own_assets(run)

    def _has_own_assets(self, run: dg.DagsterRun) -> bool:
        if run.asset_selection:
            return not run.asset_selection.isdisjoint(self.assets.keys)
        plan_id = run.execution_plan_snapshot_id
        if plan_id is None or not self.instance.run_storage.has_execution_plan_snapshot(plan_id):
            return False
        if plan_id not in self._known:
            planned = self.instance.get_execution_plan_snapshot(plan_id).asset_selection
            self._known[plan_id] = not planned.isdisjoint(self.assets.keys)
        return self._known[plan_id]


def build_alert_sensor(binding: ExportBinding, assets: ExportAssets, settings: Settings) -> dg.SensorDefinition:
    """Build the sensor that posts each red run to `alert_webhook`; it is off if the settings name none.

    It is not Dagster's run_failure_sensor, because that sensor never repeats a failed post.
    """
    is_on = settings.dagster.alert_webhook is not None
    status = dg.DefaultSensorStatus.RUNNING if is_on else dg.DefaultSensorStatus.STOPPED

    @dg.sensor(
        name=binding.format_name("alert_on_red"),
        description="Posts every red run of this export to [dagster] alert_webhook, as JSON.",
        default_status=status,
        minimum_interval_seconds=30,
    )
    def alert_on_red(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        own = binding.load_settings(needs_accounts=False).dagster
        if (webhook := own.alert_webhook) is None:
            return dg.SkipReason("[dagster] alert_webhook is not set: no alert is posted")
        known = AlertCursor.decode_json(context.cursor)
        own_runs = OwnRuns(instance=context.instance, binding=binding, assets=assets)
        failed = [run for run in _list_failed_runs(context, known.since) if run in own_runs]
        alerts = [
            (run.run_id, _build_alert_payload(context.instance, run, own.ui_url))
            for run in reversed(failed)  # Dagster lists runs newest first
            if run.run_id not in known.runs
        ]
        posted, problem = _post_alerts(webhook.reveal(key="[dagster] alert_webhook"), alerts)
        if problem and not posted:
            raise problem  # the tick fails and retains its cursor, so that the next one posts all
        runs = {run.run_id for run in failed} & {*known.runs, *posted}
        cursor = AlertCursor(since=known.since, runs=tuple(sorted(runs))).encode_json()
        return dg.SensorResult(cursor=cursor, skip_reason=_format_skip_reason(len(alerts), len(posted), problem))

    return alert_on_red


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertCursor:
    """The sensor's cursor: the start of its search as a Unix timestamp, and the ids of posted runs in its window."""

    since: float
    runs: tuple[str, ...] = ()

    @classmethod
    def decode_json(cls, cursor: str | None) -> Self:
        """Return the cursor. If the text is not a cursor of this sensor, start now and post no earlier run."""
        try:
            return msgspec.json.decode(cursor or "", type=cls)
        except msgspec.DecodeError:
            return cls(since=datetime.now(UTC).timestamp())

    def encode_json(self) -> str:
        """Return the cursor as text, which Dagster stores."""
        return msgspec.json.encode(self).decode()


def _list_failed_runs(context: dg.SensorEvaluationContext, since: float) -> Iterator[dg.DagsterRun]:
    """Yield runs of this code location that failed after `since` and within ALERT_FOR, the newest first."""
    start = max(since, (datetime.now(UTC) - ALERT_FOR).timestamp())
    newer = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=datetime.fromtimestamp(start, UTC))
    here = context.code_location_origin
    for record in context.instance.get_run_records(newer, limit=FAILED_RUNS_MAX):
        origin = record.dagster_run.remote_job_origin
        is_ours = (origin.location_name if origin else None) == (here.location_name if here else None)
        if is_ours and (record.end_time or 0.0) >= start:  # a later tag updates a run, and is no new failure
            yield record.dagster_run


def _post_alerts(url: str, alerts: Sequence[tuple[str, dict[str, object]]]) -> tuple[list[str], SettingsError | None]:
    """Post the alert of each run id, in order; return the ids of posted runs and the first error, or None."""
    posted, problem, began = list[str](), None, time.monotonic()
    for run_id, payload in alerts:
        if time.monotonic() - began > POST_ALL_TIMEOUT_S:
            break
        try:
            _post_json(url, payload)
        except SettingsError as error:
            problem = problem or error
        else:
            posted.append(run_id)
    return posted, problem


def _format_skip_reason(pending: int, posted: int, problem: SettingsError | None) -> str:
    """Return the tick's message for Dagster."""
    if not pending:
        return "no new red runs"
    later = f"; the others follow at the next tick: {problem or 'out of time'}" if posted < pending else ""
    return f"{posted} of {pending} red runs posted{later}"


def _build_schedule(
    binding: ExportBinding, settings: Settings, name: str, job: str, cron: str, *, is_on: bool
) -> dg.ScheduleDefinition:
    job_name = binding.format_name(job)

    @dg.schedule(
        name=binding.format_name(f"{name}_schedule"),
        job_name=job_name,
        cron_schedule=cron,
        execution_timezone=settings.dagster.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING if is_on else dg.DefaultScheduleStatus.STOPPED,
        description=f"Runs {job_name}, once for each scheduled time, and not while a run of it is under way.",
    )
    def request_run(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if run := _find_run_under_way(context.instance, job_name, settings.warehouse):
            return dg.SkipReason(f"run {run.run_id} of {job_name} is {run.status.value.lower()}")
        # Dagster ignores a run key that it already knows, so a restarted daemon does not repeat a run.
        return dg.RunRequest(run_key=context.scheduled_execution_time.isoformat())

    return request_run


def _find_run_under_way(instance: dg.DagsterInstance, job_name: str, warehouse: str) -> dg.DagsterRun | None:
    """Return a run of the job that is queued, starting or running.

    A run that changed nothing for longer than it may take was killed, and nothing else may have noticed.
    """
    wanted = dg.RunsFilter(job_name=job_name, statuses=_UNDER_WAY, tags={WAREHOUSE_TAG: warehouse})
    for record in instance.get_run_records(wanted, limit=FAILED_RUNS_MAX):
        run, now = record.dagster_run, datetime.now(UTC)
        longest = timedelta(seconds=float(run.tags.get(dg.MAX_RUNTIME_SECONDS_TAG, OVERHEAD_S)))
        if run.status is dg.DagsterRunStatus.QUEUED or now - record.update_timestamp < longest:
            return run
    return None


def _build_alert_payload(instance: dg.DagsterInstance, run: dg.DagsterRun, ui_url: str | None) -> dict[str, object]:
    """Return the payload for the webhook: `text` for chats, the other keys for programs; a link if the UI is known."""
    why = _describe_failure(instance, run)
    name = "a run of assets" if run.job_name.startswith("__") else run.job_name
    link = f"{ui_url.rstrip('/')}/runs/{run.run_id}" if ui_url else None
    return {
        "text": f"{name} is red: {why}" + (f" {link}" if link else ""),
        "job": run.job_name,
        "run_id": run.run_id,
        "root_run_id": run.root_run_id or run.run_id,
        "why": why,
        **({"url": link} if link else {}),
    }


def _describe_failure(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """Return why the run is red, according to its event log."""
    try:
        entries = instance.all_logs(run.run_id, of_type=_FAILURE_EVENT_TYPES)
    except Exception as error:  # noqa: BLE001  one unreadable log must not block the alerts of other runs
        return f"its log cannot be read ({type(error).__name__})"
    events = [entry.dagster_event for entry in entries if entry.dagster_event]
    return " ".join(_list_failed_checks(events)) or next(_list_error_messages(events), "")


_FAILURE_EVENT_TYPES = {
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.RUN_FAILURE,
}


def _list_failed_checks(events: Iterable[dg.DagsterEvent]) -> Iterator[str]:
    """Yield the results of the checks that turned the run red; Dagster's own error only names these checks.

    Without `complete`, which repeats the scopes of `coverage` for each table.
    """
    for event in events:
        if event.event_type is not dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            continue
        check = event.asset_check_evaluation_data
        is_error = not check.passed and check.severity is dg.AssetCheckSeverity.ERROR
        if is_error and check.check_name != COMPLETE:
            yield f"{check.check_name}: {check.description}"


def _list_error_messages(events: Iterable[dg.DagsterEvent]) -> Iterator[str]:
    """Yield the errors of steps, then Dagster's messages about the run."""
    for event in events:
        if event.is_step_failure and event.step_failure_data.error:
            yield event.step_failure_data.error.message.strip()
    yield from (event.message or "" for event in events if event.is_run_failure)


def _post_json(url: str, payload: dict[str, object]) -> None:
    """Post JSON to the webhook; raises SettingsError unless the answer is a 2xx."""
    body, key = json.dumps(payload).encode(), "[dagster] alert_webhook"
    post_to_url(url, body, key=key, content_type="application/json", timeout_s=POST_TIMEOUT_S)
