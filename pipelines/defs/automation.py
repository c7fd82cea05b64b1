"""What runs without anybody: the schedules, how fresh assets should be, and who hears of red runs."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from http.client import HTTPException

import dagster as dg

from pipelines.defs.resources import loaded
from pipelines.errors import BadSettings
from pipelines.settings import Settings

HOURLY, WEEKLY, DAILY = "0 * * * *", "30 3 * * 0", "45 3 * * *"
POST_TIMEOUT_S = 10


def schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """Those that the settings give a time are on from the start; the others are there, and off."""
    own = settings.dagster
    return [
        _schedule("snapshot", own.cron_job, own.cron, HOURLY, own.timezone),
        _schedule("maintenance", "maintenance", own.maintenance_cron, WEEKLY, own.timezone),
        _schedule("prune_runs", "prune_runs", None, DAILY, own.timezone),
    ]


def freshness(settings: Settings) -> dg.FreshnessPolicy:
    """A snapshot is due each `expected_every` (a day, if unset): a missed one warns, two fail."""
    every = settings.lake.interval or timedelta(days=1)
    return dg.FreshnessPolicy.time_window(warn_window=every * 1.5, fail_window=every * 2.5)


def alert(settings: Settings) -> dg.SensorDefinition:
    """Posts each red run to `alert_webhook`; off unless the settings name one."""
    is_on = settings.dagster.alert_webhook is not None
    status = dg.DefaultSensorStatus.RUNNING if is_on else dg.DefaultSensorStatus.STOPPED

    @dg.run_failure_sensor(
        name="alert_on_red",
        description="Posts every red run of this code location to [dagster] alert_webhook, as JSON.",
        default_status=status,
        minimum_interval_seconds=30,
    )
    def alert_on_red(context: dg.RunFailureSensorContext) -> dg.SkipReason | None:
        webhook = loaded().dagster.alert_webhook
        if webhook is None:
            return dg.SkipReason("[dagster] alert_webhook is not set: nobody is told")
        _post(webhook.reveal(key="[dagster] alert_webhook"), _told(context))
        return None

    return alert_on_red


def _schedule(name: str, job: str, cron: str | None, otherwise: str, timezone: str) -> dg.ScheduleDefinition:
    status = dg.DefaultScheduleStatus.RUNNING if cron else dg.DefaultScheduleStatus.STOPPED

    @dg.schedule(
        name=f"{name}_schedule",
        job_name=job,
        cron_schedule=cron or otherwise,
        execution_timezone=timezone,
        default_status=status,
        description=f"Runs {job}; a time that was asked for already is not asked for twice.",
    )
    def due(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        return dg.RunRequest(run_key=context.scheduled_execution_time.isoformat())

    return due


def _told(context: dg.RunFailureSensorContext) -> dict[str, object]:
    """What the webhook gets: `text` is what chats show, the rest is for programs."""
    run = context.dagster_run
    errors = [event.step_failure_data.error for event in context.get_step_failure_events()]
    failed = next((error.message.strip() for error in errors if error), context.failure_event.message or "")
    why = " ".join(_red_checks(context)) or failed
    return {
        "text": f"{run.job_name} is red: {why}",
        "job": run.job_name,
        "run_id": run.run_id,
        "root_run_id": run.root_run_id or run.run_id,
        "why": why,
    }


def _red_checks(context: dg.RunFailureSensorContext) -> Iterator[str]:
    """What the checks that turned the run red say; Dagster's own error names them, and not what they found."""
    entries = context.instance.all_logs(context.dagster_run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    for entry in entries:
        check = entry.asset_check_evaluation
        if check and check.blocking and not check.passed and check.severity is dg.AssetCheckSeverity.ERROR:
            yield f"{check.check_name}: {check.description}"


def _post(url: str, told: dict[str, object]) -> None:
    """Raises BadSettings without the URL in it, for whoever knows that may post."""
    if not url.startswith(("https://", "http://")):
        raise BadSettings("[dagster] alert_webhook: it is not like https://hooks.example.com/...")
    try:
        request = urllib.request.Request(  # noqa: S310  the scheme was looked at
            url, json.dumps(told).encode(), {"Content-Type": "application/json"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=POST_TIMEOUT_S):  # noqa: S310
            pass
    except urllib.error.HTTPError as error:
        error.close()
        raise BadSettings(f"[dagster] alert_webhook: it answered {error.code}; correct its URL") from None
    except (OSError, HTTPException, ValueError) as error:  # whose messages quote parts of the address
        raise BadSettings(f"[dagster] alert_webhook: it could not be reached: {type(error).__name__}") from None
