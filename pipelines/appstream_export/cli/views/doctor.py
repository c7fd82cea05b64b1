"""What `doctor` prints: what is wrong, grouped by reason, each with its fix; everything for programs."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from appstream_export.cli import console
from appstream_export.cli.pluralize import format_count
from appstream_export.preflight import Checkup, Finding, Verdict

LINES_MAX = 20
_TITLES = {
    Verdict.PROBLEM: ("To mend", "31"),
    Verdict.WARNING: ("Worth a look", "33"),
    Verdict.EXPECTED: ("Expected, which is no failure", "1"),
}
_MARGIN = 8
# What differs from scope to scope in a reason that is the same.
_VARIABLE_PARTS = (
    (re.compile(r"arn:[^\s,]+"), "ARN"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b\d+\b"), "N"),
    (re.compile(r"\b[a-z]{2,4}(-[a-z]+)+-N\b"), "REGION"),
)


def build_doctor_objects(checkup: Checkup) -> list[dict[str, Any]]:
    """Build one object for --json per thing that was looked at, fine ones included."""
    return [asdict(finding) for finding in checkup.findings]


def render_doctor_lines(checkup: Checkup) -> Iterator[str]:
    """Yield lines for people: at most LINES_MAX lines, what most scopes depend on first, and last what is fine."""
    wrong = {verdict: groups for verdict in _TITLES if (groups := group_findings(checkup.filter_findings(verdict)))}
    has_several_resources = len({finding.resource for finding in checkup.findings if finding.resource}) > 1
    room = LINES_MAX - 1 - 2 * len(wrong)  # without the last line, titles, and what is said of groups without room
    for verdict, groups in wrong.items():
        title, style = _TITLES[verdict]
        visible = groups[: room // 2]
        room -= 2 * len(visible)
        if visible:
            yield console.style(f"{title}:", style)
        for group in visible:
            lines = _render_group(group, has_several_resources=has_several_resources)
            yield from map(console.strip_control_characters, lines)
        if rest := len(groups) - len(visible):
            yield f"{rest} more: {title.lower()}; all of it with --json"
    yield console.strip_control_characters(_format_ok_line(checkup))


def group_findings(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Group findings by resource and by what is wrong, wherever; first those on which most scopes depend."""
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for finding in findings:
        kind = (finding.area, finding.status or "", finding.resource or "", _normalize_reason(finding.reason))
        groups.setdefault(kind, []).append(finding)
    return sorted(groups.values(), key=lambda group: -sum(f.scopes for f in group))


def _render_group(group: Sequence[Finding], *, has_several_resources: bool) -> Iterator[str]:
    first, scopes = group[0], sum(f.scopes for f in group)
    what = f"{first.area}, {first.status}" if first.status else first.area
    count = f"{format_count(scopes, 'scope')}, " if scopes else ""
    place = f"{first.resource}@{first.place}" if first.resource and has_several_resources else first.place
    such_as = f"such as {place}" if len(group) > 1 else place
    reason = first.reason if first.account_id else first.reason.removeprefix(f"{first.area} ")
    yield f"  {count}{what}: {such_as}{': ' if such_as else ''}{reason}"
    others = len({f.fix for f in group}) - 1
    more = f"  (and {format_count(others, 'more such fix')}: --json)" if others else ""
    yield f"    {'fix:':<{_MARGIN - 4}} {first.fix}{more}"


def _format_ok_line(checkup: Checkup) -> str:
    """Return such as `Fine: warehouse, role (14), 52 of 56 calls`."""
    wrong = {f.area for f in checkup.filter_findings(Verdict.PROBLEM) if not f.account_id}
    counts = Counter(f.area for f in checkup.filter_findings(Verdict.OK) if f.area not in wrong)
    calls = f"{counts.pop('call', 0):,} of {checkup.scopes:,} calls"
    words = [f"{area} ({n:,})" if area in ("role", "credentials") else area for area, n in counts.items()]
    words += [calls] if checkup.scopes else []
    return f"Fine: {', '.join(words) or 'nothing'}."


def _normalize_reason(reason: str) -> str:
    for found, word in _VARIABLE_PARTS:
        reason = found.sub(word, reason)
    return reason
