"""The demo's AWS: plausible, complete, and the same for the same seed in every process."""

import json
import re
import subprocess
import sys
from functools import cache
from typing import Any

import pytest

from appstream_export.emulator import Emulator, Estate, make_image_builder
from appstream_export.emulator.estate import BROKEN_SCOPE, DAMAGED_SCOPE, DENIED_SCOPE, DISABLED_SCOPE, SCP_DENIED_SCOPE
from appstream_export.emulator.items import encode_timestamp, list_scalar_paths, load_item_shape
from appstream_export.model import Scope
from tests.emulator.wire import ONE, post


@cache
def estate() -> Estate:
    """The demo's AWS, generated once."""
    return Estate(seed=7)


def everything(estate: Estate, moment: int) -> dict[str, list[dict[str, Any]]]:
    scopes = [Scope(account, region) for account in estate.accounts for region in estate.regions]
    return {str(scope): estate.list_items(moment, scope) for scope in scopes}


def paths(value: Any, path: str = "") -> set[str]:
    """The leaves of an item, written as `leaves` writes those of the shape."""
    if isinstance(value, dict):
        return {leaf for key, part in value.items() for leaf in paths(part, f"{path}.{key}".lstrip("."))}
    if isinstance(value, list):
        return {leaf for part in value for leaf in paths(part, f"{path}[]")}
    return {path}


@pytest.mark.slow
def test_it_is_an_organization_worth_a_demo() -> None:
    items = everything(estate(), 0)

    assert len(estate().accounts) == 14
    assert len(estate().regions) == 4
    assert estate().moments >= 4
    assert sum(map(len, items.values())) >= 170
    assert max(map(len, items.values())) > 50
    assert any(account.startswith("0") for account in estate().accounts)


@pytest.mark.parametrize("seed", [1, 7, 2026])
def test_every_leaf_of_botocores_shape_occurs(seed: int) -> None:
    estate = Estate(seed)
    seen = {leaf for items in everything(estate, estate.moments - 1).values() for leaf in paths(items)}

    assert {leaf.removeprefix("[].") for leaf in seen} == set(list_scalar_paths(load_item_shape()))


def test_fields_are_absent_now_and_then_and_errors_are_rare() -> None:
    items = [item for held in everything(estate(), 0).values() for item in held]
    shares = {name: sum(name in item for item in items) / len(items) for name in load_item_shape().members}

    assert {name for name, share in shares.items() if share == 1} == {
        "Name", "Arn", "State", "Platform", "InstanceType", "CreatedTime",
    }  # fmt: skip
    assert 0 < shares["ImageBuilderErrors"] < 0.2


@pytest.mark.slow
def test_the_same_seed_gives_the_same_estate_in_another_process() -> None:
    code = (
        "import json; from appstream_export.emulator import Estate; "
        "from appstream_export.model import Scope; e = Estate(7);"
        "scopes = [Scope(a, r) for a in e.accounts for r in e.regions];"
        "print(json.dumps([[e.list_items(m, s) for s in scopes] for m in range(e.moments)]))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert json.loads(printed) == [list(everything(estate(), moment).values()) for moment in range(Estate.moments)]
    assert everything(Estate(8), 0) != everything(estate(), 0)


@pytest.mark.parametrize("moment", range(1, Estate.moments))
def test_a_moment_changes_exactly_what_its_events_say(moment: int) -> None:
    before, after = everything(estate(), moment - 1), everything(estate(), moment)
    changed: set[tuple[str, str]] = set()
    for scope in before:
        old, new = ({item["Name"]: item for item in world[scope]} for world in (before, after))
        changed |= {(scope, name) for name in old.keys() | new.keys() if old.get(name) != new.get(name)}

    assert changed == {(str(event.scope), event.name) for event in estate().list_events(moment)}
    kinds = {event.kind for event in estate().list_events(moment)}
    assert kinds == {"state", "error", "deleted", "recreated", "created"}


def test_a_recreated_builder_has_a_new_creation_time_and_nothing_comes_from_the_future() -> None:
    for moment in range(1, Estate.moments):
        for event in estate().list_events(moment):
            old, new = (
                next((i for i in estate().list_items(m, event.scope) if i["Name"] == event.name), None)
                for m in (moment - 1, moment)
            )
            if event.kind == "recreated":
                assert old is not None
                assert new is not None
                assert old["CreatedTime"] < new["CreatedTime"] < encode_timestamp(estate().get_moment_time(moment))


def test_an_emulator_led_through_the_moments_holds_what_the_estate_says(aws: Emulator) -> None:
    estate().populate_emulator(aws)
    for moment in range(1, Estate.moments):
        estate().advance_emulator(aws, moment)
        for scope, items in everything(estate(), moment).items():
            assert sorted(aws.list_items(scope), key=str) == sorted(items, key=str)


def test_opening_at_a_moment_is_the_same_as_being_led_there(aws: Emulator) -> None:
    estate().populate_emulator(aws, moment=2)

    assert post(aws, BROKEN_SCOPE).status == 200
    assert post(aws, DENIED_SCOPE).json["__type"] == "AccessDeniedException"
    with pytest.raises(ValueError, match="moment 9"):
        estate().advance_emulator(aws, 9)


def test_scopes_fail_after_they_answered_and_one_heals(aws: Emulator) -> None:
    estate().populate_emulator(aws)
    seen: list[list[str]] = []
    for moment in range(Estate.moments):
        if moment:
            estate().advance_emulator(aws, moment)
        seen.append(
            [
                _verdict(aws, scope)
                for scope in (DISABLED_SCOPE, SCP_DENIED_SCOPE, DENIED_SCOPE, BROKEN_SCOPE, DAMAGED_SCOPE)
            ]
        )

    disabled, scp = "UnrecognizedClientException", "AccessDeniedException"
    assert seen == [
        [disabled, scp, "ok", "ok", "ok"],
        [disabled, scp, "AccessDeniedException", "InternalFailure", "ok"],
        [disabled, scp, "AccessDeniedException", "ok", "not JSON"],
        [disabled, scp, "AccessDeniedException", "ok", "not JSON"],
    ]
    assert all(aws.list_items(scope) for scope in (DENIED_SCOPE, BROKEN_SCOPE, DAMAGED_SCOPE))


def _verdict(aws: Emulator, scope: Scope) -> str:
    try:
        return post(aws, scope).json.get("__type", "ok")
    except json.JSONDecodeError:
        return "not JSON"


def test_one_builder_attacks_whoever_shows_it() -> None:
    hostile = [i for items in everything(estate(), 3).values() for i in items if "<script>" in i.get("Description", "")]

    assert len(hostile) == 1
    assert hostile[0]["Description"].startswith("=cmd()")


def test_an_item_says_its_own_account_region_and_partition() -> None:
    item = make_image_builder("a", scope="111122223333/cn-north-1", complete=True)

    assert item["Arn"] == "arn:aws-cn:appstream:cn-north-1:111122223333:image-builder/a"
    assert re.fullmatch(r"subnet-[0-9a-f]{17}", item["VpcConfig"]["SubnetIds"][0])
    assert re.fullmatch(r"vpce-[0-9a-f]{17}", item["AccessEndpoints"][0]["VpceId"])


def test_fields_can_be_named_and_removed() -> None:
    item = make_image_builder("a", scope=ONE, complete=True, State="DELETING", VpcConfig=None)

    assert (item["State"], "VpcConfig" in item) == ("DELETING", False)


def test_values_fit_botocores_own_shape() -> None:
    from botocore.validate import ParamValidator

    for items in everything(estate(), 3).values():
        for item in items:
            timeless = json.loads(json.dumps(item))
            assert ParamValidator().validate(timeless, load_item_shape()).generate_report() == ""
