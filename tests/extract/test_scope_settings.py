"""Settings that say who is asked where: an organization, its filters, `auto`."""

from pathlib import Path
from typing import Any

import pytest

from appstream_export.errors import SettingsError
from appstream_export.extract import plan_extraction
from appstream_export.settings import RENAMED_KEYS, Settings, parse_settings, read_settings

A, B = "111122223333", "444455556666"
FILE = Path("/somewhere/appstream-export.toml")


def loaded(organization: dict[str, Any] | None = None, **more: Any) -> Settings:
    section = {"organization": {"role_name": "reader"} | organization} if organization is not None else {}
    return parse_settings(section | more, FILE)


def test_an_organization_needs_a_role_alone_and_reads_every_region() -> None:
    settings = loaded({})

    assert settings.organization
    assert (settings.organization.role_name, settings.regions, settings.accounts) == ("reader", "auto", ())


def test_regions_of_the_file_stand_and_its_paths_start_from_it() -> None:
    settings = loaded({}, regions=["eu-*"], account_labels_file="labels/accounts.csv")

    assert (settings.regions, settings.account_labels_file) == (("eu-*",), "/somewhere/labels/accounts.csv")


def test_auto_is_for_listed_accounts_too() -> None:
    assert loaded(regions="auto", accounts=[{"id": A}]).regions == "auto"


@pytest.mark.parametrize(
    ("organization", "more", "complaint"),
    [
        ({"rolename": "x"}, {}, r'\[organization\] unknown key "rolename"; did you mean "role_name"'),
        ({"role_name": f"arn:aws:iam::{A}:role/reader"}, {}, r"role_name .* is not the name of a role"),
        ({"role_name": "/reader"}, {}, r"role_name .* is not the name of a role"),
        ({"admin_role_arn": "lister"}, {}, r'admin_role_arn "lister" is not of the form arn:aws:iam'),
        ({"include_accounts": ["4455667788"]}, {}, r'account "4455667788" is not 12 digits'),
        ({"include_accounts": [A], "exclude_accounts": [A]}, {}, f"{A} is in include_accounts and in exclude_accounts"),
        ({"include_ous": ["Prod"], "exclude_ous": ["Prod"]}, {}, "Prod is in include_ous and in exclude_ous"),
        ({"exclude_accounts": [A]}, {"accounts": [{"id": A}]}, rf"exclude_accounts names {A}, which \[\[accounts\]\]"),
        (None, {}, r"no account to read; add \[\[accounts\]\] .*, or \[organization\]"),
        (
            {},
            {"regions": "us-east-1"},
            '"us-east-1" is not "auto" or a list such as .*; write regions = .',
        ),
        (None, {"regions": ["auto"], "accounts": [{"id": A}]}, '"auto" is not the name of a region'),
        (
            None,
            {"accounts": [{"id": A, "regions": "auto"}]},
            r'number 1 regions: "auto" is not a list such as',
        ),
    ],
)
def test_a_section_that_makes_no_sense_is_refused_in_one_line(
    organization: dict[str, Any] | None, more: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(SettingsError, match=complaint) as refused:
        loaded(organization, **more)
    assert "\n" not in str(refused.value)


# Each key of version 0.3.0, where it stood, and the one line that follows.
RENAMED: dict[str, tuple[dict[str, Any], str]] = {
    "accounts_file": (
        {"accounts_file": "accounts.csv"},
        '"accounts_file" is now called "account_labels_file"; rename it',
    ),
    "aws.session_s": (
        {"aws": {"session_s": 3600}},
        '[aws] "session_s" is now called "session_duration_s"; rename it',
    ),
    "extract.compatible": (
        {"extract": {"compatible": True}},
        '[extract] "compatible" is now called "use_documented_client_api"; rename it',
    ),
    "lake.guard_percent": (
        {"lake": {"guard_percent": 50}},
        '[lake] "guard_percent" is now called "max_drop_percent"; rename it',
    ),
    "lake.expected_every": (
        {"lake": {"expected_every": "24h"}},
        '[lake] "expected_every" is now called "freshness_interval"; rename it',
    ),
}


@pytest.mark.parametrize("key", RENAMED_KEYS)
def test_a_key_of_an_earlier_version_is_answered_with_its_name_of_today(key: str) -> None:
    section, message = RENAMED[key]

    with pytest.raises(SettingsError) as refused:
        loaded({}, **section)

    assert str(refused.value) == f"{FILE}: {message}"


def test_each_key_that_was_renamed_is_one_of_today() -> None:
    today = {
        "account_labels_file": "accounts.csv",
        "aws": {"session_duration_s": 3600},
        "extract": {"use_documented_client_api": True},
        "lake": {"max_drop_percent": 50, "freshness_interval": "24h"},
    }

    settings = loaded({}, **today)

    assert settings.account_labels_file == "/somewhere/accounts.csv"
    assert (settings.aws.session_duration_s, settings.extract.use_documented_client_api) == (3600, True)
    assert (settings.lake.max_drop_percent, settings.lake.freshness_interval) == (50, "24h")


def test_a_refusal_has_its_fix_apart_from_its_text() -> None:
    with pytest.raises(SettingsError) as refused:
        loaded({}, lake={"max_drop_precent": 3})

    assert (refused.value.message, refused.value.fix) == (
        f'{FILE}: [lake] unknown key "max_drop_precent"',
        'did you mean "max_drop_percent"?',
    )


def test_an_external_id_shows_nowhere(tmp_path: Path) -> None:
    file = tmp_path / "appstream-export.toml"
    file.write_text('[organization]\nrole_name = "reader"\nexternal_id = "hush"\n')

    assert "hush" not in repr(read_settings(file)) + str(read_settings(file))


def test_an_external_id_whose_variable_is_not_set_is_refused_before_anything_is_asked() -> None:
    settings = loaded({"external_id": "env:NO_SUCH_VARIABLE"}, aws={"endpoint_url": "http://127.0.0.1:9"})

    with pytest.raises(SettingsError, match="the environment variable NO_SUCH_VARIABLE is not set"):
        plan_extraction(settings, [])


def test_two_partitions_in_one_run_are_refused() -> None:
    admin = f"arn:aws-us-gov:iam::{A}:role/lister"
    settings = loaded({"admin_role_arn": admin}, regions=["us-east-1"], aws={"endpoint_url": "http://127.0.0.1:9"})

    with pytest.raises(SettingsError, match="are in different partitions of AWS; write one configuration for each"):
        plan_extraction(settings, [])
