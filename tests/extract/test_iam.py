"""What may be asked is one list: the guard, the policies that are shipped, and the sessions that are narrowed agree."""

import json
from pathlib import Path
from typing import Any

import pytest

from appstream_export import scaffold
from appstream_export.contracts import iam, load_contracts
from appstream_export.errors import SettingsError
from appstream_export.extract.aws import guard
from appstream_export.extract.discovery import control_plane
from appstream_export.extract.scan.operation import ListOperation
from appstream_export.settings import Settings, parse_settings
from tests.extract.asking import A, Asking
from tests.extract.wire import Wire

DESCRIBE = "appstream:DescribeImageBuilders"


def actions(policy: Any) -> list[str]:
    return sorted({action for statement in policy["Statement"] for action in statement["Action"]})


def test_the_shipped_policies_equal_the_list() -> None:
    contracts = load_contracts()
    shipped = {
        name: json.loads(text)
        for name, text in scaffold.render_scaffold_files().items()
        if name.endswith("-policy.json")
    }

    assert iam.list_member_operations(contracts) == [DESCRIBE]
    assert actions(shipped.pop("iam/reader-policy.json")) == [DESCRIBE]
    assert [actions(policy) for policy in shipped.values()] in ([], [iam.list_control_plane_operations()])
    assert actions(iam.build_control_plane_policy("AppStreamExportReader")) == iam.list_control_plane_operations()


def test_the_guard_lets_out_the_list_and_nothing_else() -> None:
    asked = {f"{it.service}:{it.operation}" for it in vars(control_plane).values() if isinstance(it, ListOperation)}

    assert asked == set(iam.DISCOVERY)
    assert {*iam.list_control_plane_operations(), iam.IDENTITY, *iam.REGION_PROOF} == guard.READ_OPERATIONS | asked
    assert not [o for o in asked if not o.partition(":")[2].startswith(("List", "Get", "Describe"))]


def test_a_session_policy_narrows_each_role_to_what_is_asked(wire: Wire, asking: Asking) -> None:
    asking.aws = {"session_policy": True, "session_duration_s": 1800}

    asking.run()

    (assumed,) = wire.asked("AssumeRole")
    assert json.loads(assumed.params["Policy"]) == {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": [DESCRIBE], "Resource": "*"}],
    }
    assert assumed.params["DurationSeconds"] == "1800"


def test_without_the_setting_a_session_may_what_its_role_may(wire: Wire, asking: Asking) -> None:
    asking.run()

    assert "Policy" not in wire.asked("AssumeRole")[0].params


@pytest.mark.parametrize(
    ("session_duration_s", "why"),
    [(900, "900 seconds is too short: sessions are renewed"), (43201, "too long: AWS allows a role at most 43200")],
)
def test_a_session_length_that_cannot_work_is_refused_with_the_reason(session_duration_s: int, why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        settings(aws={"session_duration_s": session_duration_s})


def test_an_external_id_from_the_environment_is_sent_and_never_shown(
    wire: Wire, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking.accounts = [{"id": A, "role_arn": f"arn:aws:iam::{A}:role/reader", "external_id": "env:OUTER"}]
    with pytest.raises(SettingsError, match=r'external_id = "env:OUTER": the environment variable OUTER is not set'):
        asking.run()
    monkeypatch.setenv("OUTER", "hush")

    asking.run()

    assert wire.asked("AssumeRole")[0].params["ExternalId"] == "hush"


def test_a_secret_shows_itself_nowhere() -> None:
    loaded = settings(accounts=[{"id": A, "role_arn": f"arn:aws:iam::{A}:role/reader", "external_id": "hush"}])
    secret = loaded.accounts[0].external_id

    assert secret
    assert secret.reveal() == "hush"
    shown = f"{loaded} {secret} {secret!r} {secret:>9}" + "%s %r" % (secret, secret)  # noqa: UP031  as logging does
    assert "hush" not in shown
    with pytest.raises(TypeError):
        json.dumps({"a": loaded})


def settings(**keys: Any) -> Settings:
    mapping = {"regions": ["eu-west-1"], "accounts": [{"id": A}]} | keys
    return parse_settings(mapping, Path("appstream-export.toml"))
