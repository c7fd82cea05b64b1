"""What verify, thin, gc and erase say: lines for people, one object for programs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from appstream_export.cli import console
from appstream_export.lake.catalog import CheckResult
from appstream_export.lake.maintenance import EraseResult, ExpireResult, VacuumResult, VerifyResult
from appstream_export.lake.words import format_count
from appstream_export.settings import RetentionSettings, Settings

LINES_MAX = 50
"""More problems than that are counted; --json tells all of them."""
_PATHS_MAX = 10


def render_verify_lines(found: VerifyResult, checks: Sequence[CheckResult], where: str) -> Iterator[str]:
    """What is wrong, worst first, and what all of it came to."""
    told = sorted(found.problems, key=lambda problem: problem.is_note)
    for problem in told[:LINES_MAX]:
        yield f"{'note: ' if problem.is_note else ''}{problem}"
    if len(told) > LINES_MAX:
        yield f"... and {len(told) - LINES_MAX:,} more; all of them: --json"
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
    """For --json."""
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
    """Whether no byte has changed and no check of severity error found rows."""
    return found.is_sound and not any(check.is_error for check in checks)


def render_expire_lines(done: ExpireResult, policy: RetentionSettings, target_flags: Sequence[str]) -> Iterator[str]:
    """What was let go, by which rule, and what frees its space."""
    yield str(done)
    yield (
        f"retention: the last snapshot of each hour for {format_count(policy.hourly_days, 'day')}, of each day for"
        f" {format_count(policy.daily_days, 'day')}, of each month for {format_count(policy.monthly_months, 'month')}"
    )
    if done.seq:
        command = console.format_command("gc", *target_flags)
        yield f"snapshot {done.seq} tells the history as it is now; free the space: {command}"


def render_vacuum_lines(done: VacuumResult) -> Iterator[str]:
    """What was deleted."""
    yield str(done)


def render_erase_lines(done: EraseResult) -> Iterator[str]:
    """What went, and where the account is still named."""
    yield str(done)
    yield from _render_paths("still there", done.remaining)
    yield from _render_paths("named by rows of others", done.mentions)
    if done.seq:
        yield f"snapshot {done.seq} tells the history without it; backups and copies elsewhere are not known here"


def _render_paths(what: str, paths: Sequence[str]) -> Iterator[str]:
    for path in paths[:_PATHS_MAX]:
        yield f"  {what}: {path}"
    if len(paths) > _PATHS_MAX:
        yield f"  {what}: {len(paths) - _PATHS_MAX:,} more"


def build_erase_object(done: EraseResult) -> dict[str, Any]:
    """For --json."""
    return asdict(done) | {"is_gone": done.is_gone}


def suggest_account_exclusion(settings: Settings, accounts: Sequence[Mapping[str, Any]], account_id: str) -> str | None:
    """The change of settings without which the next run would ask an account again; `accounts` are the head's."""
    if any(account.id == account_id for account in settings.accounts):
        return f'take [[accounts]] id = "{account_id}" out of the settings'
    organization = settings.organization
    found = {row["account_id"] for row in accounts if row["source"] == "organization"}
    if organization and account_id in found and account_id not in organization.exclude_accounts:
        return f'add "{account_id}" to exclude_accounts under [organization]'
    return None
