"""Where accounts are read."""

import pytest

from appstream_export.errors import SettingsError
from appstream_export.extract import Account
from appstream_export.extract.aws.regions import build_scopes, expand_region_patterns, list_botocore_regions
from appstream_export.settings import Settings

OFFERED = ["eu-central-1", "eu-west-1", "us-east-1", "us-west-2"]


def test_a_wildcard_chooses_among_the_offered_and_none_comes_twice() -> None:
    assert expand_region_patterns(["us-east-1", "eu-*", "*-west-*"], OFFERED) == [
        "us-east-1",
        "eu-central-1",
        "eu-west-1",
        "us-west-2",
    ]


def test_a_region_that_botocore_does_not_offer_yet_stands() -> None:
    assert expand_region_patterns(["eu-north-1", "mx-central-2"], OFFERED) == ["eu-north-1", "mx-central-2"]


@pytest.mark.parametrize(
    ("typo", "meant"), [("us-esat-1", "us-east-1"), ("eu-wst-1", "eu-west-1"), ("ue-east-1", "us-east-1")]
)
def test_a_typo_is_refused_with_what_was_meant(typo: str, meant: str) -> None:
    with pytest.raises(SettingsError, match=f'"{typo}" is not the name of a region; did you mean "{meant}"'):
        expand_region_patterns([typo], OFFERED)


def test_a_wildcard_without_a_match_is_refused_with_what_there_is() -> None:
    with pytest.raises(SettingsError, match=r'"af-\*" matches none of eu-central-1, eu-west-1'):
        expand_region_patterns(["af-*"], OFFERED)


def test_partitions_are_never_mixed() -> None:
    mix = r"us-east-1 \(aws\) and us-gov-west-1 \(aws-us-gov\) are different partitions"
    with pytest.raises(SettingsError, match=mix):
        expand_region_patterns(["us-east-1", "us-gov-west-1"], OFFERED)


def test_what_a_service_offers_comes_from_botocore_alone() -> None:
    assert {"us-east-1", "eu-west-1"} <= set(list_botocore_regions("appstream"))
    assert list_botocore_regions("appstream", "aws-us-gov") == ["us-gov-east-1", "us-gov-west-1"]


def account(account_id: str, *, role_arn: str | None = None, regions: tuple[str, ...] | None = None) -> Account:
    return Account(id=account_id, role_arn=role_arn, regions=regions)


def test_scopes_go_account_by_account_and_an_account_may_have_regions_of_its_own() -> None:
    settings = Settings(regions=("us-east-1", "eu-west-1"))
    accounts = [account("111122223333"), account("444455556666", regions=("eu-central-*",))]

    assert [str(s) for s in build_scopes(settings, accounts, "appstream")] == [
        "111122223333/us-east-1",
        "111122223333/eu-west-1",
        "444455556666/eu-central-1",
        "444455556666/eu-central-2",
    ]


def test_wildcards_choose_from_the_partition_of_the_roles() -> None:
    role = "arn:aws-us-gov:iam::111122223333:role/reader"
    found = build_scopes(Settings(regions=("us-*",)), [account("111122223333", role_arn=role)], "appstream")

    assert [s.region for s in found] == ["us-gov-east-1", "us-gov-west-1"]


def test_a_wildcard_that_only_another_partition_has_chooses_there() -> None:
    found = build_scopes(Settings(regions=("us-gov-*",)), [account("111122223333")], "appstream")

    assert [s.region for s in found] == ["us-gov-east-1", "us-gov-west-1"]


def test_a_role_of_another_partition_than_the_regions_is_refused() -> None:
    role = "arn:aws-cn:iam::111122223333:role/reader"

    with pytest.raises(SettingsError, match="different partitions"):
        build_scopes(Settings(regions=("us-east-1",)), [account("111122223333", role_arn=role)], "appstream")


def test_accounts_of_two_partitions_are_refused() -> None:
    accounts = [account("111122223333", regions=("us-east-1",)), account("444455556666", regions=("us-gov-west-1",))]

    with pytest.raises(SettingsError, match="different partitions"):
        build_scopes(Settings(), accounts, "appstream")
