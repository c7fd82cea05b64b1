"""What verify, thin, gc and erase say: lines for people, one object for programs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from appstream_export.cli import console
from appstream_export.lake.catalog.checks import CheckResult
from appstream_export.lake.maintenance.erase import Erased
from appstream_export.lake.maintenance.expire import Thinned
from appstream_export.lake.maintenance.vacuum import Collected
from appstream_export.lake.maintenance.verify import Verified
from appstream_export.lake.words import counted
from appstream_export.settings import RetentionSettings, Settings

LINES_MAX = 50
"""More problems than that are counted; --json tells all of them."""
_PLACES_MAX = 10


def verified(found: Verified, checks: Sequence[CheckResult], where: str) -> Iterator[str]:
    """What is wrong, worst first, and what all of it came to."""
    told = sorted(found.problems, key=lambda problem: problem.is_note)
    for problem in told[:LINES_MAX]:
        yield f"{'note: ' if problem.is_note else ''}{problem}"
    if len(told) > LINES_MAX:
        yield f"... and {len(told) - LINES_MAX:,} more; all of them: --json"
    for check in checks:
        if not check.is_passed:
            yield f"{'' if check.is_error else 'note: '}check {check.name}: {counted(check.rows, 'row')}; {check.doc}"
    read = f"{counted(found.snapshots, 'snapshot')}, {counted(found.files, 'file')}, {counted(found.bytes, 'byte')}"
    serious = [problem for problem in found.problems if not problem.is_note]
    if serious:
        yield f"{counted(len(serious), 'problem')} in {where}: {read}"
    else:
        yield f"every byte is as it was committed in {where}: {read}"
    if found.head:
        yield f"the newest manifest is {found.head.seq}, its digest {found.head.digest}"


def verified_object(found: Verified, checks: Sequence[CheckResult], where: str) -> dict[str, Any]:
    """For --json."""
    head = found.head
    return {
        "ok": is_fine(found, checks),
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


def is_fine(found: Verified, checks: Sequence[CheckResult]) -> bool:
    """Whether no byte has changed and no check of severity error found rows."""
    return found.is_sound and not any(check.is_error for check in checks)


def thinned(done: Thinned, policy: RetentionSettings, more: Sequence[str]) -> Iterator[str]:
    """What was let go, by which rule, and what frees its space."""
    yield str(done)
    yield (
        f"retention: the last snapshot of each hour for {counted(policy.hourly_days, 'day')}, of each day for"
        f" {counted(policy.daily_days, 'day')}, of each month for {counted(policy.monthly_months, 'month')}"
    )
    if done.seq:
        yield f"snapshot {done.seq} tells the history as it is now; free the space: {console.command('gc', *more)}"


def collected(done: Collected) -> Iterator[str]:
    """What was deleted."""
    yield str(done)


def erased(done: Erased) -> Iterator[str]:
    """What went, and where the account is still named."""
    yield str(done)
    yield from _places("still there", done.remaining)
    yield from _places("named by rows of others", done.mentions)
    if done.seq:
        yield f"snapshot {done.seq} tells the history without it; backups and copies elsewhere are not known here"


def _places(what: str, paths: Sequence[str]) -> Iterator[str]:
    for path in paths[:_PLACES_MAX]:
        yield f"  {what}: {path}"
    if len(paths) > _PLACES_MAX:
        yield f"  {what}: {len(paths) - _PLACES_MAX:,} more"


def erased_object(done: Erased) -> dict[str, Any]:
    """For --json."""
    return asdict(done) | {"is_gone": done.is_gone}


def comes_back(settings: Settings, accounts: Sequence[Mapping[str, Any]], account_id: str) -> str | None:
    """The change of settings without which the next run would ask an account again; `accounts` are the head's."""
    if any(account.id == account_id for account in settings.accounts):
        return f'take [[accounts]] id = "{account_id}" out of the settings'
    organization = settings.organization
    found = {row["account_id"] for row in accounts if row["source"] == "organization"}
    if organization and account_id in found and account_id not in organization.exclude_accounts:
        return f'add "{account_id}" to exclude_accounts under [organization]'
    return None
