"""Where settings come from: the file that is found, the environment, and the schema for editors."""

import json
import os
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from msgspec import inspect, structs

from appstream_export import scaffold, settings_file
from appstream_export.errors import SettingsError
from appstream_export.model import KNOWN_REGIONS, NEW_REGION
from appstream_export.settings import PATH_SETTINGS, Settings, read_settings
from appstream_export.settings_environment import format_variable, read_overrides
from appstream_export.settings_file import DEFAULT_FILE, find_settings_file
from appstream_export.settings_problems import list_branches
from appstream_export.settings_schema import SCHEMA_FILE
from appstream_export.settings_sources import read_effective_settings

ACCOUNT = 'regions = ["us-east-1"]\n[[accounts]]\nid = "111122223333"\n'


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, with an empty folder of the machine."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(settings_file, "MACHINE_FOLDER", tmp_path / "etc")
    return enter(tmp_path / "home", monkeypatch)


def enter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(folder)
    return folder


def write(folder: Path, text: str = ACCOUNT) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DEFAULT_FILE).write_text(text)
    return folder / DEFAULT_FILE


def test_the_first_file_of_the_places_is_found(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    current = enter(home / "work" / "deep", monkeypatch)
    places = [current, current.parent, home, home / ".config" / "appstream-export", tmp_path / "etc"]
    found = []
    for folder in reversed(places):
        file = write(folder)
        found.append((find_settings_file(None, {}) or Path()).absolute() == file)

    assert found == [True] * len(places)
    write(tmp_path / "xdg" / "appstream-export")
    for folder in places[:3]:
        (folder / DEFAULT_FILE).unlink()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert find_settings_file(None, os.environ) == tmp_path / "xdg" / "appstream-export" / DEFAULT_FILE


def test_the_search_ends_at_the_root_of_a_repository(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home)
    (home / "repository" / ".git").mkdir(parents=True)
    enter(home / "repository" / "deep", monkeypatch)

    assert find_settings_file(None, {}) is None
    file = write(home / "repository")
    assert find_settings_file(None, {}) == file


@pytest.mark.usefixtures("home")
def test_outside_of_home_and_repositories_no_folder_above_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path)
    enter(tmp_path / "elsewhere", monkeypatch)

    assert find_settings_file(None, {}) is None


def test_a_file_that_others_can_change_is_refused_unless_it_is_named(home: Path) -> None:
    file = write(home)
    file.chmod(0o646)
    with pytest.raises(SettingsError) as refused:
        find_settings_file(None, {})

    assert str(refused.value) == (
        f"{DEFAULT_FILE}: every user can change it, and it was not named; chmod o-w {DEFAULT_FILE}; "
        f"or to use it all the same: --config {DEFAULT_FILE}"
    )
    assert find_settings_file(file, {}) == find_settings_file(None, {"APPSTREAM_EXPORT_CONFIG": str(file)}) == file


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to another user")
def test_a_file_of_another_user_is_refused_unless_it_is_named(home: Path) -> None:
    file = write(home)
    os.chown(file, 12345, 12345)
    with pytest.raises(SettingsError, match=f"^{DEFAULT_FILE}: it belongs to another user, and was not named; to use"):
        find_settings_file(None, {})

    assert find_settings_file(file, {}) == file


def list_leaves(info: Any = None, path: tuple[str, ...] = (), kind: type = object) -> list[tuple[str, ...]]:
    """Return the path of each setting, or only of those that may be of a kind."""
    found = []
    for field in (info or inspect.type_info(Settings)).fields:
        branches = list_branches(field.type)
        section = next((b for b in branches if isinstance(b, inspect.StructType)), None)
        here = [(*path, field.name)] if any(isinstance(b, kind) for b in branches) else []
        found += list_leaves(section, (*path, field.name), kind) if section else here
    return found


# A variable, and the value that its setting then has.
VARIABLES = {
    "EXTRACT__WORKERS=8": 8,
    "EXTRACT__MAX_FAILED_RATIO=0.5": 0.5,
    "EXTRACT__TASK_TIMEOUT_S=60": 60.0,
    "EXTRACT__USE_DOCUMENTED_CLIENT_API=true": True,
    "EXTRACT__NAMES=a, b": ("a", "b"),
    'EXTRACT__NAMES=["a,b"]': ("a,b",),
    "REGIONS=auto": "auto",
    "REGIONS=eu-west-1,us-*": ("eu-west-1", "us-*"),
    "LAKE__FILE_MODE=0640": "0640",
    "LAKE__RETENTION__MONTHLY_MONTHS=7": 7,
    "LAKE__FRESHNESS_INTERVAL=24h": "24h",
    "DAGSTER__DASHBOARD_URL=https://x.example/?a=1": "https://x.example/?a=1",
    'CONTRACTS__CADENCE={ image_builders = "1h" }': {"image_builders": "1h"},
    "AWS__SESSION_POLICY=": False,
}


@pytest.mark.parametrize("assignment", VARIABLES)
def test_a_variable_replaces_the_value_of_the_file(assignment: str, tmp_path: Path) -> None:
    name, _, text = assignment.partition("=")
    file = write(tmp_path, ACCOUNT.replace("[[", "extract.max_attempts = 3\nextract.workers = 1\n[["))
    loaded: Any = read_settings(file, {f"APPSTREAM_EXPORT_{name}": text})
    value = loaded
    for step in name.lower().split("__"):
        value = getattr(value, step)

    assert value == VARIABLES[assignment]
    assert loaded.extract.max_attempts == 3


def test_accounts_and_an_organization_may_come_from_the_environment_alone(tmp_path: Path) -> None:
    file = write(tmp_path, "")
    accounts = {"APPSTREAM_EXPORT_ACCOUNTS": '[{ id = "111122223333", regions = ["eu-west-1"] }]'}
    organization = {
        "APPSTREAM_EXPORT_ORGANIZATION__ROLE_NAME": "reader",
        "APPSTREAM_EXPORT_ORGANIZATION__EXTERNAL_ID": "env:SECRET",
    }
    found = read_settings(file, organization).organization

    assert [account.id for account in read_settings(file, accounts).accounts] == ["111122223333"]
    assert found is not None
    assert found.external_id is not None
    assert (found.role_name, found.external_id.reveal({"SECRET": "x"})) == ("reader", "x")


MISTAKES = {
    "EXTRACT__WORKERS=eight": '[extract] workers: "eight" is not a whole number from 1 to 256',
    "EXTRACT__WORKERS=0": "[extract] workers: 0 is not a whole number from 1 to 256",
    "EXTRACT__WORKERS=8\nx = 1": '[extract] workers: "8\\nx = 1" is not a whole number from 1 to 256',
    "LAKE__FILE_MODE=640": '[lake] file_mode: "640" is not one of "0600", "0640", "0644", "0660", "0664"; '
    'did you mean "0640"?',
    "REGIONS=useast": 'regions: "useast" is not the name of a region, such as us-east-1 or eu-*; '
    'did you mean "us-east-1"?',
    "EXTRACT__WORKER=8": 'there is no such setting; did you mean "APPSTREAM_EXPORT_EXTRACT__WORKERS"?',
    'ACCOUNTS=[{ id = "1" }]': '[[accounts]] number 1: id "1" is not 12 digits; '
    "write it as text, with its leading zeros",
}


@pytest.mark.parametrize("assignment", MISTAKES)
def test_a_wrong_value_names_its_variable(assignment: str, tmp_path: Path) -> None:
    name, _, text = assignment.partition("=")
    with pytest.raises(SettingsError) as refused:
        read_settings(write(tmp_path), {f"APPSTREAM_EXPORT_{name}": text})

    assert refused.value.lines[0].startswith(f"APPSTREAM_EXPORT_{name}: {MISTAKES[assignment]}")


def test_a_secret_of_the_environment_is_not_repeated(tmp_path: Path) -> None:
    file = write(tmp_path, f'warehouse = "s3://bucket/prefix"\n{ACCOUNT}')
    with pytest.raises(SettingsError) as refused:
        read_settings(file, {"APPSTREAM_EXPORT_LAKE__S3__ACCESS_KEY_ID": "hunter2"})

    assert "APPSTREAM_EXPORT_LAKE__S3__ACCESS_KEY_ID: [lake.s3] access_key_id: it must be" in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_every_setting_has_a_variable_and_no_two_share_one() -> None:
    leaves = list_leaves()
    overrides = read_overrides(Settings, {format_variable(path): "x" for path in leaves}, frozenset())

    assert {*overrides.values} == {*leaves} - {("warehouse",)}
    assert len({*overrides.variables.values()}) == len(leaves) - 1 > 60


def test_relative_paths_of_the_environment_are_of_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "settings", f'warehouse = "s3://bucket/prefix"\n{ACCOUNT}')
    current = enter(tmp_path / "current", monkeypatch)
    loaded: Any = read_settings(file, {format_variable(path): "x/y" for path in PATH_SETTINGS})
    resolved = set()
    for path in list_leaves():
        value = loaded
        for step in path:
            value = getattr(value, step, None)
        if value == str(current / "x" / "y"):
            resolved.add(path)

    assert resolved == PATH_SETTINGS


def test_the_settings_that_hold_a_path_are_those_that_the_file_resolves(tmp_path: Path) -> None:
    resolved = set()
    for path in list_leaves(kind=inspect.StrType):
        section, key = ".".join(path[:-1]), path[-1]
        text = f"[{section}]\n{key} = 'x/y'\n" if section else f"{key} = 'x/y'\n"
        bucket = 'warehouse = "s3://bucket/prefix"\n' if path != ("warehouse",) else ""
        try:
            loaded: Any = read_settings(write(tmp_path, bucket + text), {}, needs_accounts=False)
        except SettingsError:  # a value of another kind
            continue
        for step in path:
            loaded = getattr(loaded, step)
        resolved |= {path} if loaded == str(tmp_path / "x" / "y") else set()

    assert resolved == PATH_SETTINGS | {("warehouse",)}


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = json.loads(scaffold.render_settings_schema())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_settings_of_init_name_their_schema_and_are_valid(
    validator: jsonschema.Draft202012Validator, tmp_path: Path
) -> None:
    files = dict(scaffold.write_scaffold_files(tmp_path))
    example = (tmp_path / DEFAULT_FILE).read_text()

    assert files[str(tmp_path / SCHEMA_FILE)]
    assert example.splitlines()[0] == f"#:schema ./{SCHEMA_FILE}"
    assert json.loads((tmp_path / SCHEMA_FILE).read_text()) == validator.schema
    validator.validate(tomllib.loads(example))
    validator.validate(tomllib.loads(re.sub(r"(?m)^# (?=(\w+ = |\[))", "", example)))


BAD = {
    "workers = 8": "Additional properties are not allowed ('workers' was unexpected)",
    "[extract]\nworkers = 0": "0 is less than the minimum of 1",
    '[extract]\nworkers = "8"': "'8' is not of type 'integer'",
    '[lake]\nfile_mode = "0777"': "'0777' is not one of ['0600', '0640', '0644', '0660', '0664']",
    '[lake]\nfreshness_interval = "1 day"': "'1 day' does not match",
    '[[accounts]]\nid = "1"': "'1' does not match '^\\\\d{12}$'",
    '[[accounts]]\nname = "x"': "'id' is a required property",
    "[organization]\ninclude_ous = []": "'role_name' is a required property",
    'regions = "us-east-1"': "'us-east-1' is not valid under any of the given schemas",
}


@pytest.mark.parametrize("text", BAD)
def test_the_schema_rejects_what_the_export_rejects(
    text: str, validator: jsonschema.Draft202012Validator, tmp_path: Path
) -> None:
    (error,) = validator.iter_errors(tomllib.loads(text))

    assert error.message.startswith(BAD[text])
    with pytest.raises(SettingsError):
        read_settings(write(tmp_path, text), {}, needs_accounts=False)


def test_editors_show_what_the_comments_of_the_example_say(validator: jsonschema.Draft202012Validator) -> None:
    kinds = validator.schema["$defs"].values()
    described = {name: prop.get("description") for kind in kinds for name, prop in kind["properties"].items()}

    assert described["workers"] == "scopes that are read concurrently"
    assert described["kms_key_id"] == "encrypt every object with this key"
    assert sum(text is not None for text in described.values()) > 50


def test_the_command_prints_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    from appstream_export.cli.main import main

    assert main(["settings", "schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "Settings of appstream-export"


def test_regions_to_suggest_are_those_of_botocore() -> None:
    from appstream_export.extract.aws.regions import _list_known_regions

    assert sorted(KNOWN_REGIONS) == sorted(_list_known_regions())
    assert [region for region in KNOWN_REGIONS if not NEW_REGION.fullmatch(region)] == []


SECRETS = """
warehouse = "s3://bucket/prefix"
account_labels_file = "labels.csv"
[[accounts]]
id = "111122223333"
role_arn = "arn:aws:iam::111122223333:role/reader"
external_id = "hunter2"
[lake.s3]
access_key_id = "env:KEY"
secret_access_key = "env:SECRET"
[dagster]
alert_webhook = "https://hooks.example/T0/hunter2"
executor_config = { broker = "pyamqp://guest:hunter2@broker//", inner = { "db password" = "hunter2 hunter2" } }
[organization]
role_name = "reader"
include_ous = [
  "a",
]
"""
ENVIRONMENT = {
    "APPSTREAM_EXPORT_EXTRACT__WORKERS": "8",
    "APPSTREAM_EXPORT_FEEDS__TAGS": "owner, team",
    "APPSTREAM_EXPORT_HEARTBEAT__URL": "https://ping.example/hunter2",
}


def test_effective_settings_say_where_each_value_comes_from(tmp_path: Path) -> None:
    found = read_effective_settings(write(tmp_path, SECRETS), ENVIRONMENT)
    sources = {entry.key: (entry.value, entry.source, entry.line, entry.variable) for entry in found.entries}

    assert sources["extract.workers"] == (8, "environment", None, "APPSTREAM_EXPORT_EXTRACT__WORKERS")
    assert sources["feeds.tags"] == (["owner", "team"], "environment", None, "APPSTREAM_EXPORT_FEEDS__TAGS")
    assert sources["extract.max_attempts"] == (8, "default", None, None)
    assert sources["extract.page_size"] == (None, "default", None, None)
    assert sources["regions"] == ("auto", "default", None, None)
    assert sources["account_labels_file"] == (str(tmp_path / "labels.csv"), "file", 3, None)
    assert sources["accounts[0].role_arn"] == ("arn:aws:iam::111122223333:role/reader", "file", 6, None)
    assert sources["organization.include_ous"] == (["a"], "file", 16, None)
    assert {*list_leaves()} - {("accounts",)} <= {entry.path for entry in found.entries}


def test_effective_settings_hold_no_secret(tmp_path: Path) -> None:
    found = read_effective_settings(write(tmp_path, SECRETS), ENVIRONMENT)
    values = {entry.key: entry.value for entry in found.entries}

    assert values["accounts[0].external_id"] == values["dagster.alert_webhook"] == values["heartbeat.url"] == "***"
    assert values["lake.s3.access_key_id"] == "env:KEY"
    assert values["dagster.executor_config"] == {"broker": "pyamqp://***@broker//", "inner": {"db password": "***"}}
    assert "hunter2" not in str(found)


def test_what_settings_show_prints_is_a_file_with_the_same_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from appstream_export.cli.main import main

    text = (
        'extract.names = ["a \\"b\\"", "ü"]\nlake.file_mode = "0640"\ncontracts.cadence = { image_builders = "1h" }\n'
    )
    file = write(tmp_path, f"{text}{ACCOUNT}[[accounts]]\nid = '444455556666'\nname = 'two'\n")
    monkeypatch.setenv("APPSTREAM_EXPORT_LAKE__RETENTION__DAILY_DAYS", "30")
    monkeypatch.setenv("APPSTREAM_EXPORT_WAREHOUSE", str(tmp_path / "other"))
    monkeypatch.chdir(tmp_path)

    assert main(["settings", "show"]) == 0
    shown = capsys.readouterr().out
    monkeypatch.delenv("APPSTREAM_EXPORT_WAREHOUSE")
    expected = structs.replace(read_settings(file), warehouse=str(tmp_path / "other"))
    monkeypatch.delenv("APPSTREAM_EXPORT_LAKE__RETENTION__DAILY_DAYS")
    assert read_settings(write(tmp_path / "again", shown)) == expected
    assert "# APPSTREAM_EXPORT_WAREHOUSE\n" in shown
    assert "# APPSTREAM_EXPORT_LAKE__RETENTION__DAILY_DAYS\n" in shown


def test_settings_show_prints_masked_values_as_comments_and_escapes_all_that_toml_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from appstream_export.cli.main import main

    role = "arn:aws:iam::111122223333:role/reader"
    own = ACCOUNT.replace("[[accounts]]\n", f"[[accounts]]\nexternal_id = 'hunter2'\nrole_arn = '{role}'\n")
    write(tmp_path, f'extract.names = ["a\\u007fb"]\nheartbeat.url = "https://example.com/hunter2"\n{own}')
    monkeypatch.chdir(tmp_path)

    assert main(["settings", "show"]) == 0
    shown = capsys.readouterr().out
    again = read_settings(write(tmp_path / "again", shown))
    assert again.extract.names == ("a\x7fb",)
    assert (again.heartbeat.url, again.accounts[0].external_id) == (None, None)
    assert '# url = "***"' in shown
    assert "hunter2" not in shown


def test_settings_show_prints_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from appstream_export.cli.main import main

    file = write(tmp_path)
    monkeypatch.chdir(tmp_path)

    assert main(["settings", "show", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["file"] == str(file)
    assert {"key": "regions", "value": ["us-east-1"], "source": "file", "line": 1, "variable": None} in shown[
        "settings"
    ]
    file.write_text("regions = 1\n")
    assert main(["settings", "show"]) == 2
