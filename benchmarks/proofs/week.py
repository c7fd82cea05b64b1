"""A week of an unattended warehouse: each fault is reported at once by every channel, and nothing else raises an alarm.

A run is due every four hours. The days are simulated: runs follow each other at once, as processes of the command.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from appstream_export.emulator import Emulator, make_image_builder
from benchmarks.children import clean_environment
from benchmarks.findings import Findings
from benchmarks.releases import OLD, find_command
from tests.pings import Pings, serve_pings

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
HOURS = 4
PER_DAY = 24 // HOURS
ACCOUNTS, REGIONS = ("111122223333", "444455556666"), ("eu-west-1", "us-east-1")
BUILDERS = 12
"""Of each scope: enough that the guard judges a drop."""
_DISK_MB = 64
_TEXT_MAX = 88
_END_S = 240
_MISSING = "missing"
SETTINGS = """
warehouse = "disk/warehouse"
regions = ["eu-west-1", "us-east-1"]
accounts = [{accounts}]
[aws]
endpoint_url = "{url}"
[extract]
max_attempts = 2
"""
MONITORED = """
[feeds]
report = {has_outputs}
publish = {has_outputs}
[metrics]
file = "metrics/appstream.prom"
[heartbeat]
url = "{heartbeat}"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many days are simulated, with outputs or without them, and with an older version at first."""

    days: int = 7
    has_outputs: bool = True
    upgrades: bool = True


FULL, QUICK = Size(), Size(days=1, has_outputs=False, upgrades=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What an operator got from one run, by channel."""

    code: int
    log: str
    heartbeat: str
    alerts: tuple[str, ...]
    status: str

    @property
    def is_alarm(self) -> bool:
        """Whether any channel says that something is wrong."""
        return bool(self.code or self.heartbeat != "ok" or self.alerts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A fault or an act of the operator before a run, and how that run has to report it."""

    day: str
    hour: int
    what: str
    act: Callable[["Week"], object]
    code: int = 0
    says: str = ""
    alerts: tuple[str, ...] = ()
    heartbeat: str = "ok"

    @property
    def slot(self) -> int:
        """The number of the run that follows it."""
        return DAYS.index(self.day) * PER_DAY + self.hour // HOURS


@dataclass(kw_only=True)
class Week:
    """The warehouse, its AWS and what watches over it."""

    folder: Path
    aws: Emulator
    pings: Pings
    size: Size
    old: Path | None = None
    has_disk: bool = False
    program: Sequence[str] = ()
    kills: bool = False
    fills: bool = False
    truth: set[tuple[str, str]] = field(default_factory=set)

    def configure(self, more: str = "") -> None:
        """Write the settings of the version that runs now."""
        accounts = ", ".join(f'{{ id = "{a}", role_arn = "arn:aws:iam::{a}:role/reader" }}' for a in ACCOUNTS)
        text = SETTINGS.format(accounts=accounts, url=self.aws.endpoint_url)
        if not self.is_old:
            has_outputs = str(self.size.has_outputs).lower()
            text += MONITORED.format(has_outputs=has_outputs, heartbeat=self.pings.url)
        (self.folder / "appstream-export.toml").write_text(text + more)

    @property
    def is_old(self) -> bool:
        """Whether the older version runs."""
        return self.program == [str(self.old)]

    def change_version(self, *, to_old: bool) -> None:
        """Install a version, with the settings that it knows."""
        self.program = [str(self.old)] if to_old else [sys.executable, "-m", "appstream_export.cli.main"]
        self.configure()

    def add_builder(self, scope: str, name: str) -> None:
        """Create a builder at AWS."""
        self.aws.put(scope, make_image_builder(name, scope=scope))
        self.truth.add((scope, name))

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        process = self.start(*words)
        out, err = process.communicate(timeout=_END_S)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command; where the disk is full and no real one, files cannot grow."""
        limit = ["prlimit", "--fsize=2000"] if self.fills and not self.has_disk else []
        root = {} if self.is_old else {"PYTHONPATH": str(Path(__file__).parents[2])}
        return subprocess.Popen(  # noqa: S603  ourselves
            [*limit, *self.program, *words], cwd=self.folder, env=clean_environment() | root, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def fill_disk(self) -> None:
        """Leave no byte."""
        self.fills = True
        if self.has_disk:
            with (self.folder / "disk" / "ballast").open("wb") as file:
                free = os.statvfs(self.folder / "disk")
                file.write(b"\0" * (free.f_bavail * free.f_bsize))

    def empty_disk(self) -> None:
        """Make room again."""
        self.fills = False
        (self.folder / "disk" / "ballast").unlink(missing_ok=True)

    def damage_file(self) -> None:
        """Flip a bit of a file that the next run carries on."""
        tables = self.folder / "disk" / "warehouse" / "tables" / "image_builders"
        newest = max(tables.glob("*/*.parquet"), key=lambda file: file.parent.name)
        newest.chmod(0o600)
        content = bytearray(newest.read_bytes())
        content[len(content) // 2] ^= 1
        newest.write_bytes(content)

    def remove_builders(self) -> None:
        """Let all scopes but one answer as if most of them were gone."""
        for scope, name in sorted(self.truth):
            if scope != _ONE and name.startswith("b-"):
                self.aws.remove(scope, name)


def _break(scope: str, fault: str, **fields: Any) -> Callable[[Week], object]:
    return lambda week: week.aws.fail(scope, fault, **fields)


def _heal(week: Week) -> None:
    week.aws.heal()


_ONE = f"{ACCOUNTS[0]}/us-east-1"
_FAILED, _STALE, _NO_RUN = "run failed", "scopes are stale", "no run came"
EVENTS = (
    Event(day="Mon", hour=4, what="a policy denies one scope", act=_break(_ONE, "deny"), code=3,
          says="denied", alerts=(_FAILED, _STALE), heartbeat="fail"),
    Event(day="Mon", hour=8, what="the policy is corrected", act=_heal),
    Event(day="Mon", hour=12, what="the run is killed (kill -9)", act=lambda week: setattr(week, "kills", True),
          code=-signal.SIGKILL, alerts=(_NO_RUN,), heartbeat=_MISSING),
    Event(day="Mon", hour=16, what="a typo in the settings", act=lambda week: week.configure("[extrakt]\n"), code=2,
          says="extrakt", alerts=(_FAILED,), heartbeat="fail"),
    Event(day="Mon", hour=20, what="the typo is corrected", act=lambda week: week.configure()),
    Event(day="Tue", hour=8, what="AWS throttles every call", act=_break("*", "throttle"), code=3,
          says="throttled", alerts=(_FAILED, _STALE), heartbeat="fail"),
    Event(day="Tue", hour=12, what="AWS is calm again", act=_heal),
    Event(day="Tue", hour=20, what="an answer is cut off on its way, once", act=_break(_ONE, "truncated", times=1)),
    Event(day="Wed", hour=4, what="the disk is full", act=Week.fill_disk, code=2, says="No space left|File too large",
          alerts=(_FAILED,), heartbeat="fail"),
    Event(day="Wed", hour=8, what="there is room again", act=Week.empty_disk),
    Event(day="Thu", hour=0, what="the keys have expired", act=_break("*", "expired", operation="AssumeRole"), code=3,
          says="expired", alerts=(_FAILED, _STALE), heartbeat="fail"),
    Event(day="Thu", hour=8, what="new keys", act=_heal),
    Event(day="Fri", hour=8, what=f"back to version {OLD} for a run", act=lambda week: week.change_version(to_old=True),
          alerts=(_NO_RUN,), heartbeat=_MISSING),
    Event(day="Fri", hour=12, what="this version again", act=lambda week: week.change_version(to_old=False)),
    Event(day="Sat", hour=4, what="a bit of a committed file flips, and one scope is denied",
          act=lambda week: (week.damage_file(), week.aws.fail(_ONE, "deny")), code=3, says="denied|lost",
          alerts=(_FAILED, _STALE), heartbeat="fail"),
    Event(day="Sat", hour=8, what="the scope answers; repair", act=lambda week: (_heal(week), week.call("repair"))),
    Event(day="Sun", hour=0, what="expire, gc, verify", act=lambda week: [
        week.call(*words.split()).check_returncode() for words in ("expire", "gc", "verify")]),
    Event(day="Sun", hour=8, what="most builders are missing from the answers", act=Week.remove_builders,
          code=3, says="guarded|drop", alerts=(_FAILED, _STALE), heartbeat="fail"),
)  # fmt: skip


def prove(size: Size, folder: Path) -> Findings:
    """Run the week, and judge what each channel said of every run."""
    found = Findings(f"A week unattended: {size.days} days, a run every {HOURS} hours")
    with Emulator() as aws, serve_pings() as pings, _mount_disk(folder / "disk") as has_disk:
        old = find_command(folder / "old") if size.upgrades else None
        week = Week(folder=folder, aws=aws, pings=pings, size=size, old=old, has_disk=has_disk)
        for scope in _list_scopes():
            for number in range(BUILDERS):
                week.add_builder(scope, f"b-{number}")
        week.change_version(to_old=old is not None)
        events = {event.slot: event for event in EVENTS if old or OLD not in event.what}
        reports = [_play_slot(week, slot, events) for slot in range(size.days * PER_DAY)]
        found.table(
            ["when", "what happens", "exit code", "log", "heartbeat", "metrics", "status"],
            [*_list_rows(reports, events, has_old=old is not None)],
        )
        found.table(["promise", "kept in", "of", ""], _judge(found, week, reports, events))
    return found


def _list_scopes() -> list[str]:
    return [f"{account}/{region}" for account in ACCOUNTS for region in REGIONS]


@contextmanager
def _mount_disk(place: Path) -> Generator[bool]:
    """Make the folder a small disk of its own, if this user may mount; else it is a folder like any other."""
    place.mkdir(parents=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_MB}m,mode=0755", "tmpfs", str(place)]
    has_disk = os.geteuid() == 0 and subprocess.run(words, check=False, capture_output=True).returncode == 0  # noqa: S603
    try:
        yield has_disk
    finally:
        if has_disk:
            subprocess.run(["umount", str(place)], check=True)  # noqa: S603, S607


def _play_slot(week: Week, slot: int, events: Mapping[int, Event]) -> Report:
    """Let the event happen, make the run that is due, and collect what its channels say."""
    if slot == 2 and week.is_old:
        week.change_version(to_old=False)
    if slot % PER_DAY == PER_DAY - 1:
        week.add_builder(_list_scopes()[slot % len(_list_scopes())], f"new-{slot}")
    if event := events.get(slot):
        event.act(week)
    week.pings.received.clear()
    began = time.time()
    done = _run_export(week)
    was_killed, week.kills = week.kills, False
    if week.is_old:
        return Report(code=done.returncode, log=f"version {OLD}", heartbeat=_MISSING, alerts=(_NO_RUN,), status="-")
    return Report(
        code=done.returncode,
        log="" if was_killed else _find_reason(done),
        heartbeat=_find_heartbeat(week.pings),
        alerts=tuple(_list_alerts(week.folder / "metrics" / "appstream.prom", began)),
        status=_describe_status(week) if slot in events else "-",
    )


def _run_export(week: Week) -> subprocess.CompletedProcess[str]:
    if not week.kills:
        return week.call("run", *([] if week.is_old else ["--log-format", "json"]))
    week.aws.fail("*", "slow", delay_s=30.0)
    week.aws.reset_calls()
    process = week.start("run", "--log-format", "json")
    while not any(call.operation == "DescribeImageBuilders" for call in week.aws.calls):
        time.sleep(0.02)
    process.kill()
    process.communicate()
    week.aws.heal()
    return subprocess.CompletedProcess((), process.returncode, "", "")


def _find_reason(done: subprocess.CompletedProcess[str]) -> str:
    """Return why a run did not end with 0, from its last record."""
    last = json.loads(done.stderr.splitlines()[-1])
    if not last.get("exit_code"):
        return ""
    failures = last.get("failures", ())
    such_as = f": {len(failures)} scopes, such as {failures[0]['status']}: {failures[0]['reason']}" if failures else ""
    return f"{last['message']}{such_as}"


def _find_heartbeat(pings: Pings) -> str:
    ends = [one for one in pings.signals if one != "start"]
    return ends[-1] if ends else _MISSING


def _list_alerts(file: Path, began: float) -> Iterator[str]:
    """Yield the alerts of docs/operations.md that a server would raise after this run."""
    values: dict[str, float] = {}
    if file.exists():
        samples = [s for family in text_string_to_metric_families(file.read_text()) for s in family.samples]
        for sample in samples:
            name = sample.name.removeprefix("appstream_export_")
            values[name] = max(values.get(name, sample.value), sample.value)
    if values.get("run_ended_timestamp_seconds", 0) < began:
        yield _NO_RUN
        return
    if values["run_exit_code"]:
        yield _FAILED
    if values.get("stale_scopes"):
        yield _STALE
    if values.get("output_snapshots_behind"):
        yield "an output is behind"
    if values.get("warehouse_readable") != 1:
        yield "the warehouse is unreadable"


def _describe_status(week: Week) -> str:
    done = week.call("status", "--json")
    if done.returncode not in (0, 1):
        return f"ends with {done.returncode}"
    found = json.loads(done.stdout)
    stale = sum(group["stale"] or 0 for group in found["coverage"])
    return f"ends with {done.returncode}: snapshot {found['seq']}" + (f", {stale} scopes stale" if stale else "")


def _list_rows(reports: Sequence[Report], events: Mapping[int, Event], *, has_old: bool) -> Iterator[list[object]]:
    """Yield a row for each event, each alarm and the first run; quiet runs between them are counted."""
    quiet = 0
    for slot, report in enumerate(reports):
        event = events.get(slot)
        what = event.what if event else ("the first run" if slot == 0 else "still")
        if slot == 2 and has_old:
            what = "upgrade to this version, with metrics and heartbeat"
        elif not event and not report.is_alarm and slot:
            quiet += 1
            continue
        when = f"{DAYS[slot // PER_DAY]} {slot % PER_DAY * HOURS:02}:00"
        before = f"{quiet} good runs, then: " if quiet else ""
        log = report.log if len(report.log) <= _TEXT_MAX else report.log[: _TEXT_MAX - 3] + "..."
        alerts = ", ".join(report.alerts) or "-"
        yield [when, before + what, report.code, log.replace("|", "/") or "-", report.heartbeat, alerts, report.status]
        quiet = 0


def _judge(found: Findings, week: Week, reports: Sequence[Report], events: Mapping[int, Event]) -> list[list[object]]:
    expected = [_find_expected(slot, events, has_old=week.old is not None) for slot in range(len(reports))]
    named = [
        not event.says or any(word in report.log for word in event.says.split("|"))
        for event, report in zip(expected, reports, strict=True)
    ]
    agree = [report.is_alarm == (report.code != 0 or report.heartbeat == _MISSING) for report in reports]
    exact = [
        (report.code, report.heartbeat, set(report.alerts)) == (event.code, event.heartbeat, set(event.alerts))
        for event, report in zip(expected, reports, strict=True)
    ]
    deleted, missing = _compare_with_aws(week)
    return [
        _count(found, "exit code, heartbeat and metrics say what happened, and no more", exact),
        _count(found, "they agree", agree),
        _count(found, "the log names the reason", named),
        _count(found, "no builder counts as deleted while AWS had it", [not deleted]),
        _count(found, "at the end every builder is there, and verify finds nothing", [not missing]),
    ]


def _count(found: Findings, promise: str, kept: Sequence[bool]) -> list[object]:
    wrong = [f"{DAYS[slot // PER_DAY]} run {slot}" for slot, is_kept in enumerate(kept) if not is_kept]
    return [promise, sum(kept), len(kept), found.promise(all(kept), f"{promise}: not in {', '.join(wrong)}")]


def _find_expected(slot: int, events: Mapping[int, Event], *, has_old: bool) -> Event:
    """Return the event whose effect lasts: a fault stays until the next event."""
    if has_old and slot < 2:
        code = events[slot].code if slot in events else 0
        return Event(day="Mon", hour=0, what="", act=_heal, code=code, alerts=(_NO_RUN,), heartbeat=_MISSING)
    before = [events[earlier] for earlier in range(slot + 1) if earlier in events]
    quiet = Event(day="Mon", hour=0, what="", act=_heal)
    return before[-1] if before else quiet


def _compare_with_aws(week: Week) -> tuple[list[object], list[object]]:
    """Return false deletions, and what is missing; answers that the guard retains are not deletions."""
    sql = "select account_id || '/' || region as scope, name from image_builders"
    shown = {(row["scope"], row["name"]) for row in json.loads(week.call("sql", sql, "--json").stdout)}
    deleted = "select name from image_builder_changes_history where change = 'deleted'"
    verified = week.call("verify")
    problems = [verified.stdout] if verified.returncode else []
    return json.loads(week.call("sql", deleted, "--json").stdout), [*sorted(week.truth - shown), *problems]
