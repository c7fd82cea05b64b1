"""The demo's organization over time: 14 accounts in 4 regions at four moments, reproducible from a seed.

Moment 0 is the start; the others follow after 6, 12 and 72 hours. At each of them states change, builders are created,
deleted, and created again under the same name, errors appear, and a scope that answered before fails, so that its rows
become stale; one such scope recovers.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from appstream_export.model import Scope

from .emulator import Emulator
from .estate_resources import put_resources
from .faults import Fault
from .items import Item, encode_timestamp, get_error_message, make_image_builder

ACCOUNTS: Mapping[str, str] = {
    "123456789012": "management",  # the account of keys that moto does not know, so that any key may list accounts
    "004815162342": "shared-services",
    "210987654321": "finance-prod",
    "318273645546": "finance-dev",
    "427819350264": "research-prod",
    "530918274655": "research-dev",
    "612340987123": "engineering-cad",
    "619283746501": "engineering-gis",
    "705518293746": "support-emea",
    "718293640517": "support-apac",
    "804736251908": "training",
    "839201746582": "media-rendering",
    "917364528190": "security-audit",
    "982736451029": "sandbox",
}
REGIONS = ("us-east-1", "us-west-2", "eu-west-1", "ap-southeast-5")
OPENING = datetime(2026, 1, 9, 8, tzinfo=UTC)  # a Friday: a weekend lies between the last two moments
MOMENTS = tuple(timedelta(hours=hours) for hours in (0, 6, 12, 72))
PURPOSES = ("cad-workstation", "office-image", "gpu-test", "gis-desktop", "data-lab", "browser-kiosk", "rdp-jump")

# Scopes whose answers fail or change in form; nothing happens to their builders, so that each moment's events show.
DISABLED_SCOPE = Scope("982736451029", "ap-southeast-5")
SCP_DENIED_SCOPE = Scope("917364528190", "ap-southeast-5")
DENIED_SCOPE = Scope("210987654321", "eu-west-1")
BROKEN_SCOPE = Scope("318273645546", "us-west-2")
DAMAGED_SCOPE = Scope("530918274655", "us-west-2")
NEWER_API_SCOPE = Scope("804736251908", "eu-west-1")
CROWDED_SCOPE = Scope("612340987123", "us-east-1")  # more than a page
# The first builder here shows every field that AWS knows, so that no column of the demo stays empty.
COMPLETE_SCOPES = (CROWDED_SCOPE, Scope("210987654321", "us-east-1"), Scope("839201746582", "ap-southeast-5"))

# Per moment: faults that begin, and scopes that heal.
NEW_FAULTS: tuple[tuple[tuple[Scope, str], ...], ...] = (
    ((SCP_DENIED_SCOPE, "deny_scp"),),
    ((DENIED_SCOPE, "deny"), (BROKEN_SCOPE, "error500")),
    ((DAMAGED_SCOPE, "truncated"), (NEWER_API_SCOPE, "unknown_field")),
    (),
)
HEALED_SCOPES: tuple[tuple[Scope, ...], ...] = ((), (), (BROKEN_SCOPE,), ())

NEXT_STATES: Mapping[str, tuple[str, ...]] = {
    "STOPPED": ("RUNNING", "PENDING"),
    "RUNNING": ("STOPPED", "STOPPING", "SNAPSHOTTING"),
    "PENDING": ("RUNNING",),
}
DEFAULT_NEXT_STATES = ("STOPPED",)
FAILURE_FIELDS = ("StateChangeReason", "ImageBuilderErrors")
# How often each thing happens at a moment.
EVENT_COUNTS: tuple[tuple[str, int], ...] = (
    ("state", 14),
    ("error", 3),
    ("deleted", 4),
    ("recreated", 2),
    ("created", 5),
)

# Harmless here, and a test of what shows it: a page that does not escape, a spreadsheet that reads formulas.
HOSTILE_FIELDS: Item = {
    "Description": "=cmd()|' /C calc'!A0 <script>alert(1)</script>",
    "DisplayName": '"><img src=x onerror=alert(1)>',
}
HOSTILE_NAME, HOSTILE_SCOPE = "penetration-test-01", Scope("982736451029", "us-east-1")

World = dict[Scope, dict[str, Item]]


@dataclass(frozen=True, slots=True, order=True)
class EstateEvent:
    """An event of one builder at a moment: state, error, deleted, recreated or created."""

    kind: str
    scope: Scope
    name: str


class Estate:
    """The demo's AWS over time."""

    accounts = ACCOUNTS
    regions = REGIONS
    moments = len(NEW_FAULTS)

    def __init__(self, seed: int = 7, opening: datetime = OPENING) -> None:
        self.seed, self.opening = seed, opening
        worlds, events = [_build_opening_world(seed, opening)], [list[EstateEvent]()]
        for moment in range(1, self.moments):
            world, happened = _build_next_world(
                worlds[-1], moment, seed, self.get_moment_time(moment), self.get_moment_time(moment - 1)
            )
            worlds.append(world)
            events.append(happened)
        self._worlds, self._events = worlds, events

    def get_moment_time(self, moment: int) -> datetime:
        """Return the time of a moment; everything that AWS has dated by then is older."""
        return self.opening + MOMENTS[moment]

    def list_events(self, moment: int) -> list[EstateEvent]:
        """Return the events between the previous moment and this one, sorted; empty at the start."""
        return list(self._events[moment])

    def list_items(self, moment: int, scope: Scope) -> list[Item]:
        """Return the items of a scope, reachable or not, in AWS's order."""
        return deepcopy(list(self._worlds[moment].get(scope, {}).values()))

    def populate_emulator(self, aws: Emulator, moment: int = 0) -> None:
        """Fill an empty AWS and advance it to a moment."""
        aws.create_organization(self.accounts)
        aws.disable_region(DISABLED_SCOPE.account_id, DISABLED_SCOPE.region)
        for scope, items in self._worlds[0].items():
            aws.put(scope, *items.values())
            team = self.accounts[scope.account_id].partition("-")[0]
            put_resources(aws, scope, team, list(items.values()), self.opening)
        _change_faults(aws, 0)
        for later in range(1, moment + 1):
            self.advance_emulator(aws, later)

    def advance_emulator(self, aws: Emulator, moment: int) -> None:
        """Advance an AWS from the previous moment to this one, from 1 to `moments` - 1."""
        if not 1 <= moment < self.moments:
            raise ValueError(f"moment {moment} is none of 1 to {self.moments - 1}")
        for event in self._events[moment]:
            if event.kind in ("deleted", "recreated"):
                aws.remove(event.scope, event.name)
            if event.kind != "deleted":
                aws.put(event.scope, self._worlds[moment][event.scope][event.name])
        _change_faults(aws, moment)


def _change_faults(aws: Emulator, moment: int) -> None:
    for scope in HEALED_SCOPES[moment]:
        aws.heal(scope)
    for scope, kind in NEW_FAULTS[moment]:
        aws.fail(scope, Fault(kind))


def _build_opening_world(seed: int, at: datetime) -> World:
    """Fill every scope except those that never answer; a tenth stay empty."""
    world: World = {}
    for account_id, account_name in ACCOUNTS.items():
        for region in REGIONS:
            scope = Scope(account_id, region)
            if scope not in (DISABLED_SCOPE, SCP_DENIED_SCOPE):
                world[scope] = _generate_image_builders(scope, account_name, seed, at)
    world[HOSTILE_SCOPE][HOSTILE_NAME] = make_image_builder(
        HOSTILE_NAME, scope=HOSTILE_SCOPE, seed=seed, at=at, **HOSTILE_FIELDS
    )
    return world


def _generate_image_builders(scope: Scope, account_name: str, seed: int, at: datetime) -> dict[str, Item]:
    rng = Random(f"{seed}/{scope}")  # noqa: S311 - a demo, no secret
    # These must not be empty.
    is_special = scope in (DENIED_SCOPE, BROKEN_SCOPE, DAMAGED_SCOPE, NEWER_API_SCOPE, *COMPLETE_SCOPES)
    if scope == CROWDED_SCOPE:
        count = 63
    else:
        count = rng.randint(3, 6) if is_special else rng.choice((0, 1, 2, 3, 3, 4, 5, 6, 7, 9))
    team = account_name.partition("-")[0]
    names = [f"{team}-{rng.choice(PURPOSES)}-{number:02d}" for number in range(1, count + 1)]
    builders = {name: make_image_builder(name, scope=scope, seed=seed, at=at) for name in names}
    if scope in COMPLETE_SCOPES:
        name = names[0]
        builders[name] = make_image_builder(name, scope=scope, seed=seed, at=at, complete=True, State="FAILED")
    return builders


def _build_next_world(
    previous: World, moment: int, seed: int, at: datetime, previous_time: datetime
) -> tuple[World, list[EstateEvent]]:
    """Apply the moment's events, each to a different builder, in scopes that do not fail."""
    rng = Random(f"{seed}/moment {moment}")  # noqa: S311
    troubled = {scope for faults in NEW_FAULTS for scope, _ in faults}
    quiet = [(scope, name) for scope, items in previous.items() if scope not in troubled for name in items]
    kinds = [kind for kind, count in EVENT_COUNTS for _ in range(count)]
    chosen = rng.sample([place for place in quiet if place[1] != HOSTILE_NAME], len(kinds))
    world, events = deepcopy(previous), list[EstateEvent]()
    for kind, (scope, name) in zip(kinds, chosen, strict=True):
        # A new builder appears beside the chosen one, under a number that is not in use.
        event_name = f"{name.rpartition('-')[0]}-{100 + moment * 10 + len(events) % 10}" if kind == "created" else name
        event_dice = Random(f"{seed}/{moment}/{scope}/{name}")  # noqa: S311
        _apply_event(kind, world[scope], event_name, scope, event_dice, at, previous_time)
        events.append(EstateEvent(kind, scope, event_name))
    return world, sorted(events)


def _apply_event(
    kind: str, items: dict[str, Item], name: str, scope: Scope, rng: Random, at: datetime, previous_time: datetime
) -> None:
    """Change one builder between `previous_time`, the previous moment, and the moment `at`."""
    if kind == "state":
        state = rng.choice(NEXT_STATES.get(items[name]["State"], DEFAULT_NEXT_STATES))
        items[name] = {k: v for k, v in items[name].items() if k not in FAILURE_FIELDS} | {"State": state}
    elif kind == "error":
        items[name] = items[name] | _generate_failure(rng, at)
    else:
        items.pop(name, None)
    if kind in ("created", "recreated"):
        created_at = at - timedelta(seconds=rng.uniform(60, (at - previous_time).total_seconds()))
        items[name] = make_image_builder(
            name,
            scope=scope,
            seed=f"{rng.random()}",
            at=at,
            CreatedTime=round(encode_timestamp(created_at), 6),
            State="RUNNING",
        )


def _generate_failure(rng: Random, at: datetime) -> dict[str, Any]:
    code = rng.choice(("SUBNET_HAS_INSUFFICIENT_IP_ADDRESSES", "IAM_SERVICE_ROLE_IS_MISSING", "IMAGE_NOT_FOUND"))
    when = round(encode_timestamp(at - timedelta(seconds=rng.uniform(60, 3600))), 6)
    return {
        "State": "FAILED",
        "StateChangeReason": {"Code": "INTERNAL_ERROR", "Message": get_error_message("INTERNAL_ERROR")},
        "ImageBuilderErrors": [{"ErrorCode": code, "ErrorMessage": get_error_message(code), "ErrorTimestamp": when}],
    }
