"""`doctor`: check the warehouse, labels, discovery and one page of every scope, and suggest a fix per problem."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

from appstream_export.contracts import Contract, check_contracts
from appstream_export.error_rules import is_clock_problem
from appstream_export.errors import ConfigurationError, ExportError, Interrupted, NothingExtracted
from appstream_export.extract import (
    CLOCK_SKEW_MAX_S,
    Account,
    Plan,
    ProbeResult,
    map_accounts,
    plan_extraction,
    probe_tasks,
)
from appstream_export.inputs import read_labels, read_platform_support, read_prices
from appstream_export.lake.catalog import find_user_sql_problems
from appstream_export.lake.snapshots import is_expected_outcome
from appstream_export.model import Outcome, RunListener, Task
from appstream_export.preflight.current_state import CurrentState, load_current_state
from appstream_export.preflight.findings import Finding, Verdict
from appstream_export.preflight.fixes import FixAdvisor, suggest_account_removal
from appstream_export.preflight.warehouse_check import build_problem_finding, check_warehouse
from appstream_export.run import (
    Request,
    filter_tasks,
    format_endpoints,
    list_foreign_endpoints,
    load_known_contracts,
)
from appstream_export.settings import Settings
from appstream_export.status import Status

CLOCK_WARNS_FROM_S = 60
_CREDENTIAL_ERROR_CODES = frozenset(
    {"NoCredentials", "AwsFiles", "CredentialProcess", "MfaRequired", "MissingDependency"}
    | {"InvalidClientTokenId", "InvalidAccessKeyId", "UnrecognizedClientException", "AuthFailure"}
    | {"SignatureDoesNotMatch", "InvalidSignatureException"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """The result of all checks; `scopes` is the number of scopes that a run would request."""

    findings: Sequence[Finding]
    scopes: int = 0
    accounts: int = 0

    def filter_findings(self, *verdicts: Verdict) -> list[Finding]:
        """Return the findings with one of these verdicts."""
        return [f for f in self.findings if f.verdict in verdicts]

    @property
    def exit_code(self) -> int:
        """The exit code: 1 if a problem would stop a run or make scopes fail, else 0."""
        return 1 if self.filter_findings(Verdict.PROBLEM) else 0


def check_readiness(
    settings: Settings,
    contracts: Sequence[Contract],
    request: Request,
    *,
    listener: RunListener = RunListener(),
    stop: Event | None = None,
) -> Checkup:
    """Check everything that a run needs, as far as it can be reached; commit nothing.

    Raises SettingsError for an account or a region of `request` that the settings do not cover, or Interrupted.
    """
    stop = stop or Event()
    head, found = _check_current_state(settings, contracts)
    settings, labels = _check_labels(settings)
    found += [*labels, *_check_lists(settings), *_check_contracts(settings, contracts)]
    if any(finding.area in ("contracts", "sql") and finding.verdict is Verdict.PROBLEM for finding in found):
        return Checkup(findings=found)
    listener.on_stage("discovery")
    try:
        plan = plan_extraction(
            settings, contracts, head.previous_snapshot, accept_drop=request.accept_drop, run_id="doctor", stop=stop
        )
    except Interrupted:
        raise
    except (ConfigurationError, NothingExtracted) as error:
        return Checkup(findings=[*found, _build_plan_problem(error, settings)])
    chosen = filter_tasks(plan.tasks, request)
    requested = [t for t in chosen if t not in plan.skipped]
    advisor = FixAdvisor(settings, {c.name: c for c in contracts}, map_accounts(plan.accounts), plan.tasks)
    found += _check_endpoints(settings, plan)
    found += [*_check_discovery(plan, advisor), *_list_skipped_accounts(plan, chosen, advisor.accounts)]
    listener.on_plan(len(requested))
    found += _probe_scopes(requested, plan.unlisted, head, advisor, listener, stop)
    # A finding without an account is about the whole run, so all scopes depend on it.
    complete = [replace(f, scopes=f.scopes or (0 if f.account_id else len(requested))) for f in found]
    readers = {advisor.accounts[t.scope.account_id].id for t in requested}
    return Checkup(findings=complete, scopes=len(requested), accounts=len(readers))


def _probe_scopes(
    tasks: Sequence[Task],
    unlisted: Collection[Task],
    head: CurrentState,
    advisor: FixAdvisor,
    listener: RunListener,
    stop: Event,
) -> list[Finding]:
    """Request one page of each scope; return findings on the clock, on accounts and on scopes."""
    settings, accounts = advisor.settings, advisor.accounts
    try:
        probed = probe_tasks(
            tasks, advisor.contracts, accounts, settings, listener=listener, stop=stop, unlisted=unlisted
        )
    except ConfigurationError as error:
        return [_build_configuration_problem(error)]
    return [
        *_check_clock(probed),
        *_check_head_time(probed, head),
        *_check_outcomes(probed.outcomes, head, advisor),
        *_check_any_answer(probed.outcomes, head),
    ]


def _check_current_state(settings: Settings, contracts: Sequence[Contract]) -> tuple[CurrentState, list[Finding]]:
    """Return the newest snapshot, and findings on the warehouse; an unreadable snapshot counts as none."""
    try:
        head = load_current_state(settings, contracts)
    except (ExportError, OSError) as error:
        worse = [f for f in check_warehouse(settings, None) if f.verdict is Verdict.PROBLEM]
        return CurrentState(), worse or [build_problem_finding("warehouse", error)]
    newest = f"snapshot {head.manifest.seq} is readable" if head.manifest else "no snapshot yet"
    return head, [Finding(area="warehouse", reason=newest), *check_warehouse(settings, head)]


def _check_labels(settings: Settings) -> tuple[Settings, list[Finding]]:
    """Read account_labels_file; if it is not readable, return settings without it, so that the rest is checked."""
    from msgspec.structs import replace as without

    if settings.account_labels_file is None:
        return settings, []
    try:
        labels = read_labels(settings.account_labels_file)
    except ConfigurationError as error:
        return without(settings, account_labels_file=None), [build_problem_finding("labels", error)]
    return settings, [Finding(area="labels", reason=f"{settings.account_labels_file} labels {len(labels)} accounts")]


def _check_lists(settings: Settings) -> Iterator[Finding]:
    """Yield findings on the user's lists, which a run reads first."""
    feeds = settings.feeds
    for area, file, read in (
        ("prices", feeds.prices, read_prices),
        ("platform_support", feeds.platform_support, read_platform_support),
    ):
        if file is None:
            continue
        try:
            yield Finding(area=area, reason=f"{file} has {len(read(file))} {area.partition('_')[0].rstrip('s')}s")
        except ConfigurationError as error:
            yield build_problem_finding(area, error)


def _check_contracts(settings: Settings, contracts: Sequence[Contract]) -> list[Finding]:
    """Return findings on contracts that differ from the installed botocore."""
    try:
        notes = check_contracts(contracts, any_protocol=settings.extract.use_documented_client_api)
        mistakes = find_user_sql_problems(contracts, load_known_contracts(settings))
    except ConfigurationError as error:
        return [build_problem_finding("contracts", error)]
    if mistakes:
        fix = "correct the file, or move it out of the folder of [sql]"
        return [Finding(area="sql", verdict=Verdict.PROBLEM, reason=mistake, fix=fix) for mistake in mistakes]
    fix = "correct the contract, or install the botocore that it was written for (appstream-export contracts lint)"
    return [Finding(area="contracts", verdict=Verdict.WARNING, reason=note, fix=fix) for note in notes]


def _build_plan_problem(error: ExportError, settings: Settings) -> Finding:
    """Return a finding with the reason why no scope can be requested."""
    text = str(error)
    if isinstance(error, NothingExtracted):
        fix = FixAdvisor(settings, {}, {}, ()).suggest_discovery_fix(text)
        return Finding(area="discovery", verdict=Verdict.PROBLEM, reason=text, fix=fix)
    return _build_configuration_problem(error)


def _build_configuration_problem(error: ExportError) -> Finding:
    """Return a finding on what the user must change before any request."""
    is_about_keys = any(words in str(error) for words in ("no AWS credentials", "AWS config or credentials files"))
    return build_problem_finding("credentials" if is_about_keys else "settings", error)


def _check_endpoints(settings: Settings, plan: Plan) -> Iterator[Finding]:
    """Yield a warning where AWS or the bucket is reached elsewhere, unless the settings name one emulator of both."""
    endpoints = list_foreign_endpoints(settings, plan)
    if not endpoints:
        return
    fix = "if AWS itself is meant: unset AWS_ENDPOINT_URL*, and take endpoint_url out of settings and AWS config file"
    reason = f"used instead of AWS: {format_endpoints(endpoints)}"
    yield Finding(area="endpoints", verdict=Verdict.WARNING, reason=reason, fix=fix)


def _check_discovery(plan: Plan, advisor: FixAdvisor) -> Iterator[Finding]:
    accounts = f"{len(plan.accounts)} accounts ({plan.discovery})"
    if plan.discovery_problem:
        fix = advisor.suggest_discovery_fix(plan.discovery_problem)
        yield Finding(area="discovery", verdict=Verdict.PROBLEM, reason=plan.discovery_problem, fix=fix)
    else:
        yield Finding(area="discovery", reason=accounts)
    region_count = len({t.scope.region for t in plan.tasks})
    if plan.regions_problem:
        listed = f"or list them: regions = {sorted({t.scope.region for t in plan.tasks})}".replace("'", '"')
        fix = f"{advisor.suggest_discovery_fix(plan.regions_problem)}; {listed}"
        yield Finding(area="regions", verdict=Verdict.WARNING, reason=plan.regions_problem, fix=fix)
    else:
        yield Finding(area="regions", reason=f"{region_count} regions ({plan.regions_source})")


def _list_skipped_accounts(plan: Plan, chosen: Iterable[Task], accounts: Mapping[str, Account]) -> Iterator[Finding]:
    by_account: dict[str, list[Task]] = {}
    for task in chosen:
        if task in plan.skipped:
            by_account.setdefault(task.scope.account_id, []).append(task)
    for account_id, tasks in by_account.items():
        yield Finding(
            area="account",
            verdict=Verdict.EXPECTED,
            scopes=len(tasks),
            account_id=account_id,
            account_name=accounts[account_id].name,
            status=Status.SKIPPED,
            reason=plan.skipped[tasks[0]],
            fix=suggest_account_removal(accounts[account_id]),
        )


def _check_clock(probed: ProbeResult) -> Iterator[Finding]:
    if probed.clock_skew_s is None:
        return
    off = abs(probed.clock_skew_s)
    reason = f"this machine's clock is {off:.0f} s {'behind' if probed.clock_skew_s > 0 else 'ahead of'} AWS's"
    if off < CLOCK_WARNS_FROM_S:
        yield Finding(area="clock", reason=reason)
        return
    verdict = Verdict.PROBLEM if off >= CLOCK_SKEW_MAX_S else Verdict.WARNING
    fix = f"set the clock (timedatectl set-ntp true): AWS refuses signatures that are {CLOCK_SKEW_MAX_S} s off"
    yield Finding(area="clock", verdict=verdict, reason=reason, fix=fix)


def _check_head_time(probed: ProbeResult, head: CurrentState) -> Iterator[Finding]:
    """Yield a warning if the commit time of the newest snapshot is in the future by AWS's clock."""
    if probed.clock_skew_s is None or head.manifest is None:
        return
    aws_now = datetime.now(UTC) + timedelta(seconds=probed.clock_skew_s)
    ahead_s = (head.manifest.committed_at - aws_now).total_seconds()
    if ahead_s > CLOCK_WARNS_FROM_S:
        reason = f"the commit time of snapshot {head.manifest.seq} is {ahead_s:.0f} s in the future by AWS's clock"
        fix = "set the clock of the machine that committed it: until that time, answers of a run may be discarded"
        yield Finding(area="clock", verdict=Verdict.WARNING, reason=reason, fix=fix)


def _check_outcomes(outcomes: Mapping[Task, Outcome], head: CurrentState, advisor: FixAdvisor) -> Iterator[Finding]:
    """Yield one finding per account, on its session, and one per requested scope."""
    # A scope that has items is never expected to fail: its items would become stale.
    expected = {t for t, o in outcomes.items() if is_expected_outcome(o) and not head.items.get(t)}
    advisor = replace(advisor, expected_failures=expected)
    by_account: dict[str, list[Outcome]] = {}
    for task in (t for t in advisor.tasks if t in outcomes):
        # What is shared is requested with the session of an account that has scopes of its own.
        by_account.setdefault(advisor.accounts[task.scope.account_id].id, []).append(outcomes[task])
    for account_id, own in by_account.items():
        account = advisor.accounts[account_id]
        refused = [o for o in own if _has_no_session(o)]
        yield _build_account_finding(account, refused[0] if refused else None, len(refused or own), advisor)
        for outcome in own:
            if outcome not in refused:
                yield _build_scope_finding(outcome, account, advisor)


def _check_any_answer(outcomes: Mapping[Task, Outcome], head: CurrentState) -> Iterator[Finding]:
    """Yield a problem if every scope fails as expected, so that a first run would have nothing to commit."""
    if head.manifest is None and all(map(is_expected_outcome, outcomes.values())):
        reason = "no scope answers, and there is no snapshot yet: a run would exit with code 4"
        fix = "name accounts and regions in which image builders may be listed"
        yield Finding(area="settings", verdict=Verdict.PROBLEM, reason=reason, fix=fix)


def _has_no_session(outcome: Outcome) -> bool:
    """Return whether the session failed to open, so that no call of the task was made."""
    return not outcome.status.is_answer and not outcome.api_calls and not outcome.parent_calls


def _build_account_finding(
    account: Account, refused_outcome: Outcome | None, scopes: int, advisor: FixAdvisor
) -> Finding:
    kind = "role" if account.role_arn else "credentials"
    if refused_outcome is None:
        how = f"role {account.role_arn} is assumed" if account.role_arn else "credentials are of this account"
        return Finding(area=kind, scopes=scopes, account_id=account.id, account_name=account.name, reason=how)
    code = refused_outcome.error_code or ""
    if code in _CREDENTIAL_ERROR_CODES or refused_outcome.status is Status.EXPIRED:
        kind = "credentials"
    area = "clock" if is_clock_problem(code, refused_outcome.reason) else kind
    found = _build_finding(refused_outcome, account, area=area, fix=advisor.suggest_role_fix(refused_outcome))
    return replace(found, scopes=scopes, region=None, resource=None)


def _build_scope_finding(outcome: Outcome, account: Account, advisor: FixAdvisor) -> Finding:
    if outcome.status.is_answer:
        return _build_finding(outcome, account, area="call", status=Status.OK.value, reason="answered")
    area = "region" if outcome.status in (Status.DISABLED, Status.UNAVAILABLE) else "call"
    area = "clock" if is_clock_problem(outcome.error_code, outcome.reason) else area
    is_expected = outcome.task in advisor.expected_failures
    is_absent = outcome.status is Status.UNAVAILABLE  # most often a misspelled region
    verdict = Verdict.PROBLEM if not is_expected else Verdict.WARNING if is_absent else Verdict.EXPECTED
    return _build_finding(outcome, account, area=area, verdict=verdict, fix=advisor.suggest_call_fix(outcome))


def _build_finding(outcome: Outcome, account: Account, **more: Any) -> Finding:
    task = outcome.task
    about: dict[str, Any] = {
        "verdict": Verdict.PROBLEM if more.get("fix") else Verdict.OK,
        "reason": outcome.reason or "",
        "scopes": 1,
        "account_id": account.id,
        "account_name": account.name,
        "region": task.scope.region,
        "resource": task.resource,
        "status": outcome.status.value,
        "error_code": outcome.error_code,
        "request_id": outcome.request_id,
    }
    return Finding(**about | more)
