"""The files that `init` writes: complete, valid once filled in, and never written over."""

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipelines import settings, starter
from pipelines.errors import BadSettings

Told = Callable[..., tuple[int, str, str]]


def test_it_writes_settings_and_policies_once(tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = told("init", "--dir", "new")
    (tmp_path / "new" / "appstream-export.toml").write_text("mine")
    (tmp_path / "new" / "iam" / "reader-trust.json").unlink()
    second = told("init", "--dir", "new")

    assert first[0] == second[0] == 0
    assert re.findall(r"^wrote +(.*)$", first[1], re.M) == [
        "new/appstream-export.toml", "new/iam/reader-policy.json", "new/iam/reader-trust.json",
    ]  # fmt: skip
    assert re.findall(r"^skipped +(.*): it is there already$", second[1], re.M) == [
        "new/appstream-export.toml", "new/iam/reader-policy.json",
    ]  # fmt: skip
    assert (tmp_path / "new" / "appstream-export.toml").read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_one_line(told: Told) -> None:
    code, out, err = told("init", "--dir", "/proc/nowhere")

    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "/proc/nowhere/appstream-export.toml: " in err


def test_the_settings_load_as_soon_as_one_account_is_filled_in(tmp_path: Path) -> None:
    file = tmp_path / "appstream-export.toml"
    file.write_text(starter.CONFIG)
    with pytest.raises(BadSettings, match=r"no account to read; add \[\[accounts\]\]"):
        settings.load(file, {})
    file.write_text(
        starter.CONFIG.replace('# [[accounts]]\n# id = "111122223333"', '[[accounts]]\nid = "111122223333"')
    )

    assert [a.id for a in settings.load(file, {}).accounts] == ["111122223333"]


def test_every_line_that_shows_a_key_is_accepted_with_its_comment_taken_away(tmp_path: Path) -> None:
    file = tmp_path / "appstream-export.toml"
    in_a_folder = starter.CONFIG.partition("# [lake.s3]")[0]  # settings of a bucket are refused there
    file.write_text(re.sub(r"(?m)^# (?=(\w+ = |\[))", "", in_a_folder))
    loaded = settings.load(file, {"EXTERNAL_ID": "x"})

    assert loaded.accounts[0].role_arn == "arn:aws:iam::111122223333:role/AppStreamExportReader"


def test_every_key_is_there_with_its_default() -> None:
    shown = tomllib.loads(re.sub(r"(?m)^# (?=(\w+ = |\[))", "", starter.CONFIG))

    compare("", settings.Settings, shown)
    compare("accounts", settings.AccountSettings, shown["accounts"][0])
    compare("organization", settings.OrganizationSettings, shown["organization"])


def compare(section: str, kind: type[msgspec.Struct], shown: dict[str, Any]) -> None:
    """The section shows each key of its settings, with the default where there is one, and so do those below."""
    fields = {field.name: field.default for field in msgspec.structs.fields(kind)}
    assert set(shown) == set(fields), f"[{section}]"
    for key, default in fields.items():
        if isinstance(default, msgspec.Struct):
            compare(key, type(default), shown[key])
        elif section and default not in (None, (), msgspec.NODEFAULT):
            assert shown[key] == default, f"[{section}] {key}"


def test_the_policy_allows_what_the_contracts_ask_and_nothing_else() -> None:
    policy, trust = (json.loads(starter.files()[name]) for name in (starter.POLICY, starter.TRUST))

    assert [s["Action"] for s in policy["Statement"]] == [["appstream:DescribeImageBuilders"]]
    assert [s["Action"] for s in trust["Statement"]] == ["sts:AssumeRole"]
