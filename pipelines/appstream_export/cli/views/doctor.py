"""Output of `doctor`: problems grouped by reason, each with its fix; all findings for programs."""

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
    Verdict.PROBLEM: ("To fix", "31"),
    Verdict.WARNING: ("Warnings", "33"),
    Verdict.EXPECTED: ("Expected, not counted as failures", "1"),
}
_MARGIN = 8
# Parts of a reason that differ between scopes. They are replaced, so that equal reasons form one group. The order
# matters: ARNs contain numbers, and the number in a region is already N when the last pattern applies.
_VARIABLE_PARTS = (
    (re.compile(r"arn:[^\s,]+"), "ARN"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b\d+\b"), "N"),
    (re.compile(r"\b[a-z]{2,4}(-[a-z]+)+-N\b"), "REGION"),
)


def build_doctor_objects(checkup: Checkup) -> list[dict[str, Any]]:
    """Build one object per finding for --json, including checks that passed."""
    return [asdict(finding) for finding in checkup.findings]


def render_doctor_lines(checkup: Checkup) -> Iterator[str]:
    """Yield at most LINES_MAX lines: the findings that affect most scopes first, the checks that passed last."""
    wrong = {verdict: groups for verdict in _TITLES if (groups := group_findings(checkup.filter_findings(verdict)))}
    has_several_resources = len({finding.resource for finding in checkup.findings if finding.resource}) > 1
    room = LINES_MAX - 1 - 2 * len(wrong)  # without the last line, titles, and counts of omitted groups
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
            yield f"{rest} more: {title.lower()}; --json lists all"
    yield console.strip_control_characters(_format_ok_line(checkup))


def group_findings(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Group findings of all scopes by resource and reason; groups that affect most scopes come first."""
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
    more = f"  (and {format_count(others, 'similar fix')}: --json)" if others else ""
    yield f"    {'fix:':<{_MARGIN - 4}} {first.fix}{more}"


def _format_ok_line(checkup: Checkup) -> str:
    """Return the checks that passed, such as `Passed: warehouse, role (14), 52 of 56 calls`."""
    wrong = {f.area for f in checkup.filter_findings(Verdict.PROBLEM) if not f.account_id}
    counts = Counter(f.area for f in checkup.filter_findings(Verdict.OK) if f.area not in wrong)
    calls = f"{counts.pop('call', 0):,} of {checkup.scopes:,} calls"
    words = [f"{area} ({n:,})" if area in ("role", "credentials") else area for area, n in counts.items()]
    words += [calls] if checkup.scopes else []
    return f"Passed: {', '.join(words) or 'nothing'}."


def _normalize_reason(reason: str) -> str:
    for found, word in _VARIABLE_PARTS:
        reason = found.sub(word, reason)
    return reason
