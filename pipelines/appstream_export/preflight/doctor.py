"""`doctor`: what would stop a run, each with its fix: warehouse, labels, discovery, and one page of every scope."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Event
from typing import Any

from appstream_export.contracts import Contract
from appstream_export.errors import ExportError, Interrupted, NothingSeen, SetupError
from appstream_export.extract import Account, Plan, Probed, plan, probe
from appstream_export.extract.aws.clock import REFUSED_FROM_S
from appstream_export.inputs.account_labels import read_labels
from appstream_export.inputs.prices import read_prices
from appstream_export.lake.snapshots.task_transitions import is_by_design
from appstream_export.model import Outcome, Status, Task, Watch
from appstream_export.preflight.current_state import Head, look
from appstream_export.preflight.findings import Finding, Verdict
from appstream_export.preflight.fixes import Remedies, leave_out
from appstream_export.preflight.warehouse_check import footing, problem
from appstream_export.run import Request, limit
from appstream_export.settings import Settings

CLOCK_WARNS_FROM_S = 60
_KEYS = frozenset({"NoCredentials", "InvalidClientTokenId", "UnrecognizedClientException", "AuthFailure"})
_CLOCK = frozenset({"SignatureDoesNotMatch", "RequestExpired", "RequestTimeTooSkewed", "InvalidSignatureException"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """Everything that was looked at; `scopes` were to be asked."""

    findings: Sequence[Finding]
    scopes: int = 0
    accounts: int = 0

    def of(self, *verdicts: Verdict) -> list[Finding]:
        """The findings with one of these verdicts."""
        return [f for f in self.findings if f.verdict in verdicts]

    @property
    def exit_code(self) -> int:
        """1: something would stop a run, or make scopes fail."""
        return 1 if self.of(Verdict.PROBLEM) else 0


def examine(
    settings: Settings,
    contracts: Sequence[Contract],
    request: Request,
    *,
    watch: Watch = Watch(),
    stop: Event | None = None,
) -> Checkup:
    """Look at everything that a run would need, as far as it can be reached; commits nothing.

    Raises BadSettings for an account or a region of `request` that the settings do not cover, Interrupted.
    """
    stop = stop or Event()
    head, found = _looked_at(settings, contracts)
    settings, labels = _labels(settings)
    found += [*labels, *_prices(settings)]
    watch.stage("discovery")
    try:
        planned = plan(settings, contracts, head.known, force=request.force, run_id="doctor", stop=stop)
    except Interrupted:
        raise
    except (SetupError, NothingSeen) as error:
        return Checkup(findings=[*found, _unplanned(error, settings)])
    chosen = limit(planned.tasks, request)
    asked = [t for t in chosen if t not in planned.skipped]
    everyone = {a.id: a for a in planned.accounts}
    remedies = Remedies(settings, {c.name: c for c in contracts}, everyone, planned.tasks)
    found += [*_of_plan(planned, remedies), *_skipped(planned, chosen, everyone)]
    watch.planned(len(asked))
    try:
        probed = probe(asked, remedies.contracts, everyone, settings, watch=watch, stop=stop)
    except SetupError as error:
        found.append(_refused(error))
    else:
        found += [*_clock(probed), *_outcomes(probed.outcomes, head, remedies), *_blind(probed.outcomes, head)]
    everywhere = [replace(f, scopes=f.scopes or (0 if f.account_id else len(asked))) for f in found]
    return Checkup(findings=everywhere, scopes=len(asked), accounts=len({t.scope.account_id for t in asked}))


def _looked_at(settings: Settings, contracts: Sequence[Contract]) -> tuple[Head, list[Finding]]:
    """The newest snapshot, and what the warehouse is like; an unreadable one is as good as none from here on."""
    try:
        head = look(settings, contracts)
    except (ExportError, OSError) as error:
        worse = [f for f in footing(settings, None) if f.verdict is Verdict.PROBLEM]
        return Head(), worse or [problem("warehouse", error)]
    newest = f"snapshot {head.manifest.seq} is readable" if head.manifest else "no snapshot yet"
    return head, [Finding(area="warehouse", reason=newest), *footing(settings, head)]


def _labels(settings: Settings) -> tuple[Settings, list[Finding]]:
    """Read accounts_file; settings without it where it is not readable, so that the rest is looked at all the same."""
    from msgspec.structs import replace as without

    if settings.accounts_file is None:
        return settings, []
    try:
        labels = read_labels(settings.accounts_file)
    except SetupError as error:
        return without(settings, accounts_file=None), [problem("labels", error)]
    return settings, [Finding(area="labels", reason=f"{settings.accounts_file} labels {len(labels)} accounts")]


def _prices(settings: Settings) -> list[Finding]:
    """Read the price list as a run does first of all."""
    file = settings.feeds.prices
    if file is None:
        return []
    try:
        return [Finding(area="prices", reason=f"{file} has {len(read_prices(file))} prices")]
    except SetupError as error:
        return [problem("prices", error)]


def _unplanned(error: ExportError, settings: Settings) -> Finding:
    """Nobody can be asked: why."""
    text = str(error)
    if isinstance(error, NothingSeen):
        fix = Remedies(settings, {}, {}, ()).of_discovery(text)
        return Finding(area="discovery", verdict=Verdict.PROBLEM, reason=text, fix=fix)
    return _refused(error)


def _refused(error: ExportError) -> Finding:
    """What the user must change before anything is asked."""
    is_about_keys = any(words in str(error) for words in ("no AWS credentials", "AWS config or credentials files"))
    return problem("credentials" if is_about_keys else "settings", error)


def _of_plan(planned: Plan, remedies: Remedies) -> Iterator[Finding]:
    who = f"{len(planned.accounts)} accounts ({planned.discovery})"
    if planned.discovery_problem:
        fix = remedies.of_discovery(planned.discovery_problem)
        yield Finding(area="discovery", verdict=Verdict.PROBLEM, reason=planned.discovery_problem, fix=fix)
    else:
        yield Finding(area="discovery", reason=who)
    where = len({t.scope.region for t in planned.tasks})
    if planned.regions_problem:
        listed = f"or list them: regions = {sorted({t.scope.region for t in planned.tasks})}".replace("'", '"')
        fix = f"{remedies.of_discovery(planned.regions_problem)}; {listed}"
        yield Finding(area="regions", verdict=Verdict.WARNING, reason=planned.regions_problem, fix=fix)
    else:
        yield Finding(area="regions", reason=f"{where} regions ({planned.regions_source})")


def _skipped(planned: Plan, chosen: Iterable[Task], accounts: Mapping[str, Account]) -> Iterator[Finding]:
    by_account: dict[str, list[Task]] = {}
    for task in chosen:
        if task in planned.skipped:
            by_account.setdefault(task.scope.account_id, []).append(task)
    for account_id, tasks in by_account.items():
        yield Finding(
            area="account",
            verdict=Verdict.EXPECTED,
            scopes=len(tasks),
            account_id=account_id,
            account_name=accounts[account_id].name,
            status=Status.SKIPPED,
            reason=planned.skipped[tasks[0]],
            fix=leave_out(accounts[account_id]),
        )


def _clock(probed: Probed) -> Iterator[Finding]:
    if probed.behind_s is None:
        return
    off = abs(probed.behind_s)
    told = f"this machine's clock is {off:.0f} s {'behind' if probed.behind_s > 0 else 'ahead of'} AWS's"
    if off < CLOCK_WARNS_FROM_S:
        yield Finding(area="clock", reason=told)
        return
    verdict = Verdict.PROBLEM if off >= REFUSED_FROM_S else Verdict.WARNING
    fix = f"set the clock (timedatectl set-ntp true): AWS refuses signatures {REFUSED_FROM_S} s apart"
    yield Finding(area="clock", verdict=verdict, reason=told, fix=fix)


def _outcomes(outcomes: Mapping[Task, Outcome], head: Head, remedies: Remedies) -> Iterator[Finding]:
    """A finding per account that opened or did not, and one per scope that was asked."""
    closed = {t for t, o in outcomes.items() if is_by_design(o) and not head.items.get(t)}
    remedies = replace(remedies, closed=closed)
    by_account: dict[str, list[Outcome]] = {}
    for task in (t for t in remedies.planned if t in outcomes):
        by_account.setdefault(task.scope.account_id, []).append(outcomes[task])
    for account_id, own in by_account.items():
        account = remedies.accounts[account_id]
        shut = [o for o in own if _is_shut_out(o)]
        yield _door(account, shut[0] if shut else None, len(own) if not shut else len(shut), remedies)
        for outcome in own:
            if outcome not in shut:
                yield _scope(outcome, account, remedies)


def _blind(outcomes: Mapping[Task, Outcome], head: Head) -> Iterator[Finding]:
    """Each is closed by design, and yet a first run that sees nothing has nothing to commit."""
    if head.manifest is None and all(map(is_by_design, outcomes.values())):
        reason = "no scope answers, and there is no snapshot yet: a run would end with 4"
        fix = "name accounts and regions in which image builders may be listed"
        yield Finding(area="settings", verdict=Verdict.PROBLEM, reason=reason, fix=fix)


def _is_shut_out(outcome: Outcome) -> bool:
    """The session was never opened: no call of the task itself was made."""
    return not outcome.status.is_answer and not outcome.api_calls


def _door(account: Account, shut: Outcome | None, scopes: int, remedies: Remedies) -> Finding:
    kind = "role" if account.role_arn else "credentials"
    if shut is None:
        how = f"role {account.role_arn} is assumed" if account.role_arn else "credentials are of this account"
        return Finding(area=kind, scopes=scopes, account_id=account.id, account_name=account.name, reason=how)
    code = shut.error_code or ""
    if code in _KEYS or shut.status is Status.EXPIRED:
        kind = "credentials"
    area = "clock" if code in _CLOCK else kind
    found = _about(shut, account, area=area, fix=remedies.of_role(shut))
    return replace(found, scopes=scopes, region=None, resource=None)


def _scope(outcome: Outcome, account: Account, remedies: Remedies) -> Finding:
    if outcome.status.is_answer:
        return _about(outcome, account, area="call", status=Status.OK.value, reason="answered")
    area = "region" if outcome.status in (Status.DISABLED, Status.UNAVAILABLE) else "call"
    area = "clock" if outcome.error_code in _CLOCK else area
    verdict = Verdict.EXPECTED if outcome.task in remedies.closed else Verdict.PROBLEM
    return _about(outcome, account, area=area, verdict=verdict, fix=remedies.of_call(outcome))


def _about(outcome: Outcome, account: Account, **more: Any) -> Finding:
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
