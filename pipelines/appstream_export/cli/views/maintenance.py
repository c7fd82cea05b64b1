"""Output of verify, repair, expire, gc and erase: lines for people, one object for programs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from msgspec import structs

from appstream_export.cli import console
from appstream_export.cli.pluralize import format_count
from appstream_export.lake.catalog import CheckResult
from appstream_export.lake.maintenance import EraseResult, ExpireResult, RepairResult, VacuumResult, VerifyResult
from appstream_export.settings import RetentionSettings, Settings

LINES_MAX = 50
"""Maximum number of problems that are listed; the others are counted, and --json lists all."""
_PATHS_MAX = 10


def render_verify_lines(found: VerifyResult, checks: Sequence[CheckResult], where: str) -> Iterator[str]:
    """Yield problems, errors before notes, then failed checks and the counts of what was read."""
    problems = sorted(found.problems, key=lambda problem: problem.is_note)
    for problem in problems[:LINES_MAX]:
        yield f"{'note: ' if problem.is_note else ''}{problem}"
    if len(problems) > LINES_MAX:
        yield f"... and {len(problems) - LINES_MAX:,} more; --json lists all"
    for check in checks:
        if not check.is_passed:
            kind = "" if check.is_error else "note: "
            yield f"{kind}check {check.name}: {format_count(check.rows, 'row')}; {check.doc}"
    counts = {"snapshot": found.snapshots, "file": found.files, "byte": found.bytes}
    read = ", ".join(format_count(count, unit) for unit, count in counts.items())
    serious = [problem for problem in found.problems if not problem.is_note]
    if serious:
        yield f"{format_count(len(serious), 'problem')} in {where}: {read}"
    else:
        yield f"every byte is as it was committed in {where}: {read}"
    if found.head:
        yield f"the newest manifest is {found.head.seq}, its digest {found.head.digest}"


def build_verify_object(found: VerifyResult, checks: Sequence[CheckResult], where: str) -> dict[str, Any]:
    """Build one object for --json."""
    head = found.head
    return {
        "ok": has_passed(found, checks),
        "warehouse": where,
        "snapshots": found.snapshots,
        "files": found.files,
        "bytes": found.bytes,
        "seq": head.seq if head else None,
        "snapshot_id": head.snapshot_id if head else None,
        "digest": head.digest if head else None,
        "problems": [asdict(problem) for problem in found.problems],
        "checks": [asdict(check) | {"ok": not check.is_error} for check in checks],
    }


def has_passed(found: VerifyResult, checks: Sequence[CheckResult]) -> bool:
    """Return whether no byte has changed and no check of severity error found rows."""
    return found.is_sound and not any(check.is_error for check in checks)


def render_repair_lines(result: RepairResult) -> Iterator[str]:
    """Yield what is lost, what was done or would be, and what only a person can do."""
    yield from (f"lost: {loss}" for loss in result.losses[:LINES_MAX])
    if len(result.losses) > LINES_MAX:
        yield f"... and {len(result.losses) - LINES_MAX:,} more; --json lists all"
    yield from (f"{'would' if result.dry_run else 'did'}: {action}" for action in result.actions)
    yield from (f"for a person: {task}" for task in result.remaining)
    if result.dry_run and result.actions and result.losses:
        yield "a backup of a lost file, put in its place before the repair, is better than the repair"
    if result.seq:
        yield f"snapshot {result.seq} holds the history as it is now"
    if not result.actions and not result.remaining:
        yield "nothing to repair"


def render_expire_lines(result: ExpireResult, policy: RetentionSettings, target_flags: Sequence[str]) -> Iterator[str]:
    """Yield the number of expired snapshots, the retention rule, and the command that frees their space."""
    yield _format_expired(result)
    yield (
        f"retention: the last snapshot of each hour for {format_count(policy.hourly_days, 'day')}, of each day for"
        f" {format_count(policy.daily_days, 'day')}, of each month for {format_count(policy.monthly_months, 'month')}"
    )
    if result.seq:
        command = console.format_command("gc", *target_flags)
        yield f"snapshot {result.seq} has the shortened history; free the space: {command}"


def build_expire_object(result: ExpireResult, policy: RetentionSettings) -> dict[str, Any]:
    """Build one object for --json."""
    return asdict(result) | {"retention": structs.asdict(policy)}


def _format_expired(result: ExpireResult) -> str:
    if not result.dropped:
        all_ = (
            "the only snapshot is retained" if result.retained == 1 else f"all {result.retained} snapshots are retained"
        )
        return f"nothing to expire: {all_ if result.retained else 'there is no snapshot'}"
    does = "would drop" if result.dry_run else "dropped"
    snapshots = format_count(len(result.dropped) + result.retained, "snapshot")
    rows = f"retaining {format_count(result.rows_kept, 'row')} of their changes and coverage"
    then = "would then free" if result.dry_run else "can free"
    return (
        f"{does} {len(result.dropped):,} of {snapshots}, {rows}; gc {then} {format_count(result.bytes_freed, 'byte')}"
    )


def render_vacuum_lines(result: VacuumResult) -> Iterator[str]:
    """Yield the files that were deleted, and those still within the grace period."""
    does = "would delete" if result.dry_run else "deleted"
    what = f"{does} {format_count(result.files, 'file')}, {format_count(result.bytes, 'byte')}"
    waiting = f"{format_count(result.waiting, 'file')}, {format_count(result.waiting_bytes, 'byte')}"
    held = f"; {waiting}, still within the grace period" if result.waiting else ""
    yield f"{what if result.files else 'nothing to delete'}{held}"


def render_erase_lines(result: EraseResult, fix: str | None = None) -> Iterator[str]:
    """Yield what was erased, files that still name the account, and the `fix` that must come first."""
    yield _format_erased(result)
    yield from _render_paths("still there", result.remaining)
    yield from _render_paths("named in rows of other accounts", result.mentions)
    if not result.has_values and not result.dry_run:
        yield "only its id was searched for: there is no list of the values that an earlier erase removed"
    if result.seq:
        yield f"snapshot {result.seq} has the history without the account; backups and other copies are not erased"
    if fix:
        yield f"first {fix}: otherwise the next run brings the account back"


def _format_erased(result: EraseResult) -> str:
    does = "would erase" if result.dry_run else "erased"
    where = f"{format_count(result.snapshots, 'snapshot')}, {format_count(result.files, 'file')}"
    what = f"{does} {format_count(result.rows, 'row')} of account {result.account_id} in {where}"
    if result.dry_run:
        return what
    left = f"still in {format_count(len(result.remaining), 'file')}, such as {next(iter(result.remaining), '')}"
    mentions = format_count(len(result.mentions), "file")
    named = f"; rows of other accounts name it in {mentions}" if result.mentions else ""
    clean = "no byte of it is left" if result.has_values else "its id is left nowhere"
    proof = left if result.remaining else clean
    return f"{what}; {format_count(result.bytes_deleted, 'byte')} deleted; {proof}{named}"


def _render_paths(what: str, paths: Sequence[str]) -> Iterator[str]:
    for path in paths[:_PATHS_MAX]:
        yield f"  {what}: {path}"
    if len(paths) > _PATHS_MAX:
        yield f"  {what}: {len(paths) - _PATHS_MAX:,} more"


def build_erase_object(result: EraseResult) -> dict[str, Any]:
    """Build one object for --json."""
    return asdict(result) | {"is_gone": result.is_gone}


def suggest_account_exclusion(settings: Settings, accounts: Sequence[Mapping[str, Any]], account_id: str) -> str | None:
    """Return the change of settings that stops runs from exporting an account again; None if none is needed."""
    if any(account.id == account_id for account in settings.accounts):
        return f'remove [[accounts]] id = "{account_id}" from the settings'
    organization = settings.organization
    found = {row["account_id"] for row in accounts if row["source"] == "organization"}
    if organization and account_id in found and account_id not in organization.exclude_accounts:
        return f'add "{account_id}" to exclude_accounts under [organization]'
    return None
