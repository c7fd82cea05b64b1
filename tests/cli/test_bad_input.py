"""Wrong settings, flags and SQL: one line with place and fix, exit 2, nothing written, no AWS call."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appstream_export import connect
from appstream_export.emulator import Emulator
from appstream_export.errors import ConfigurationError
from tests.lake.lakes import A, Lake, builder, ok

Told = Callable[..., tuple[int, str, str]]
ACCOUNT = "111122223333"
GOOD = f'regions = ["us-east-1"]\n[[accounts]]\nid = "{ACCOUNT}"\nrole_arn = "arn:aws:iam::{ACCOUNT}:role/reader"\n'

SETTINGS = {
    "unknown key": ("workerz = 1\n" + GOOD, 'unknown key "workerz"'),
    "unknown key, nearly right": ('warehuose = "w"\n' + GOOD, 'did you mean "warehouse"?'),
    "unknown key in a section": (GOOD + "[extract]\nworker = 1\n", '[extract] unknown key "worker"; did you mean'),
    "malformed TOML": ("regions = [\n" + GOOD, "not readable as TOML"),
    "account id not 12 digits": (GOOD.replace(f'id = "{ACCOUNT}"', 'id = "1111"'), 'id "1111" is not 12 digits'),
    "duplicate account": (GOOD + f'[[accounts]]\nid = "{ACCOUNT}"\n', f"account {ACCOUNT} is listed twice; keep one"),
    "region nearly right": (GOOD.replace("us-east-1", "eu-cetral-1"), 'did you mean "eu-central-1"?'),
    "region not a region": (GOOD.replace("us-east-1", "useast"), '"useast" is not the name of a region'),
    "role of another account": (GOOD.replace(f"::{ACCOUNT}:", "::999999999999:"), "belongs to account 999999999999"),
    "no account": ('regions = ["us-east-1"]\n', "no account to read; add [[accounts]]"),
    "warehouse is a file": ('warehouse = "appstream-export.toml"\n' + GOOD, "is a file, not a folder"),
    "warehouse not writable": ('warehouse = "/proc/w"\n' + GOOD, "warehouse /proc/w: "),
}  # fmt: skip

FLAGS = {
    "account that the settings lack": (["--accounts", "999999999999"], "--accounts 999999999999: "),
    "region that the settings lack": (["--regions", "us-east-2"], 'did you mean "us-east-1"?'),
    "retry before the first run": (["--retry-failed"], "--retry-failed: there is no snapshot yet"),
    "configuration that is not there": (["--config", "none.toml"], "none.toml: no such file; create one with"),
    "warehouse that cannot be": (["--warehouse", "/proc/w"], "warehouse /proc/w: "),
}


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Emulator]:
    """An AWS that nobody should ask."""
    with Emulator() as aws:
        yield aws


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One with a catalog and a builder."""
    lake = Lake(tmp_path_factory.mktemp("lake") / "warehouse")
    lake.commit(ok(A, builder("a")))
    return lake.publish().parent


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: Emulator) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", elsewhere.endpoint_url)
    return tmp_path


def configure(folder: Path, text: str) -> None:
    (folder / "appstream-export.toml").write_text(text)


@pytest.mark.parametrize("case", SETTINGS)
def test_wrong_settings_end_before_anything_happens(case: str, folder: Path, elsewhere: Emulator, told: Told) -> None:
    text, expected = SETTINGS[case]
    if "[aws]" not in text:
        text += f'[aws]\nendpoint_url = "{elsewhere.endpoint_url}"\n'
    configure(folder, text)
    refused(told("run"), expected)

    assert names(folder) == ["appstream-export.toml"]
    assert elsewhere.calls == []


def test_everything_that_is_wrong_in_a_file_comes_at_once_a_line_each(
    folder: Path, elsewhere: Emulator, told: Told
) -> None:
    configure(folder, "workers = 1\n" + GOOD.replace("us-east-1", "useast") + "[extract]\nworkers = 0\n")
    code, out, err = told("run")

    assert (code, out) == (2, "")
    assert err.splitlines() == [
        'appstream-export: appstream-export.toml line 1: unknown key "workers"; it belongs in [extract]',
        'appstream-export: appstream-export.toml line 2: regions: "useast" is not the name of a region, such as '
        'us-east-1 or eu-*; did you mean "us-east-1"?',
        "appstream-export: appstream-export.toml line 7: [extract] workers: 0 is not a whole number from 1 to 256",
    ]
    assert names(folder) == ["appstream-export.toml"]
    assert elsewhere.calls == []


@pytest.mark.parametrize("case", FLAGS)
def test_wrong_flags_end_before_anything_is_written(case: str, folder: Path, elsewhere: Emulator, told: Told) -> None:
    words, expected = FLAGS[case]
    configure(folder, f'{GOOD}[aws]\nendpoint_url = "{elsewhere.endpoint_url}"\n')
    refused(told("run", *words), expected)

    assert list(folder.rglob("*.parquet")) == list(folder.rglob("*.json")) == []
    assert elsewhere.calls == []


LOCATIONS = {
    "gs://b/x": "warehouse gs://b/x: gs:// is not supported; name a folder, or a bucket as s3://bucket/prefix",
    "https://b.s3.amazonaws.com/x": "https:// is not supported",
    "abfss://c@a.dfs.core.windows.net/x": "abfss:// is not supported",
    "hdfs:/x": "hdfs:/ is not supported",
    "S3://b/x": 'did you mean "s3://b/x"?',
    "s3:/b/x": 'did you mean "s3://b/x"?',
    "s3:b/x": 'did you mean "s3://b/x"?',
    "s3a://b/x": 'did you mean "s3://b/x"?',
    "file:///data/x": 'did you mean "/data/x"?',
    "C:/x": "C:/ is not supported",
    "$HOME/x": "variables are not replaced by their values here; write the path in full",
    "/data/${NAME}/x": "variables are not replaced",
    "a\\b": "a backslash in a path cannot be read by DuckDB; write / between folders",
    "~nobody-of-this-name/x": "there is no such home folder",
    "": 'warehouse "": empty',
    " s3://b/x": "blanks around it",
}


@pytest.mark.parametrize("location", LOCATIONS)
def test_what_only_resembles_a_location_is_refused_before_aws_is_asked_and_makes_no_folder(
    location: str, folder: Path, elsewhere: Emulator, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = f'{GOOD}[aws]\nendpoint_url = "{elsewhere.endpoint_url}"\n'
    configure(folder, good)
    refused(told("run", "--warehouse", location), LOCATIONS[location])
    refused(told("sql", "select 1", "--warehouse", location), LOCATIONS[location])
    if location:  # an empty variable is none
        monkeypatch.setenv("APPSTREAM_EXPORT_WAREHOUSE", location)
        refused(told("run"), LOCATIONS[location])
        monkeypatch.delenv("APPSTREAM_EXPORT_WAREHOUSE")
    configure(folder, f"warehouse = '{location}'\n{good}")
    refused(told("run"), LOCATIONS[location])
    refused(told("status"), LOCATIONS[location])

    assert names(folder) == ["appstream-export.toml"]
    assert elsewhere.calls == []


def test_a_warehouse_below_a_folder_that_duckdb_cannot_read_is_refused(
    folder: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = folder / "a\\b"
    below.mkdir()
    monkeypatch.chdir(below)
    configure(below, GOOD)
    refused(told("run"), "a backslash in its path cannot be read by DuckDB; rename it")

    assert names(below) == ["appstream-export.toml"]


def test_from_python_a_location_of_another_kind_is_refused_too() -> None:
    with pytest.raises(ConfigurationError, match="gs:// is not supported"):
        connect("gs://b/x")


ANALYST = """
warehouse = "{warehouse}"
lake.retention.monthly_months = 7
"""
READING = [
    "status", "sql|select 1", "query|running_over", "tables", "describe|image_builders", "catalog|-o|c.duckdb",
    "report|-o|r.html", "verify", "expire|--dry-run", "gc|--dry-run", "feeds|diff", "dashboard|superset",
    "dashboard|streamlit",
]  # fmt: skip


@pytest.mark.parametrize("words", READING)
def test_a_configuration_without_accounts_is_enough_to_read(
    words: str, warehouse: Path, folder: Path, elsewhere: Emulator, told: Told
) -> None:
    configure(folder, ANALYST.format(warehouse=warehouse))
    code, _, err = told(*words.split("|"))

    assert code == 0 or (words == "feeds|diff" and "no feeds yet" in err), err
    assert elsewhere.calls == []


@pytest.mark.parametrize("command", ["run", "doctor", "plan"])
def test_a_configuration_without_accounts_is_not_enough_to_ask(
    command: str, warehouse: Path, folder: Path, told: Told
) -> None:
    configure(folder, ANALYST.format(warehouse=warehouse))
    refused(told(command), "no account to read; add [[accounts]]")


def test_without_credentials_the_fix_comes_at_once(folder: Path, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    configure(folder, GOOD)
    code, out, err = told("run")

    assert (code, out, names(folder / "warehouse")) == (2, "", [])
    assert err.splitlines()[0].endswith(" INFO requesting 1 scope")
    assert err.splitlines()[1].startswith("appstream-export: no AWS credentials: ")
    assert len(err.splitlines()) == 2


def test_without_settings_or_warehouse_each_command_says_what_it_needs(folder: Path, told: Told) -> None:
    refused(told("run"), "no configuration: there is no ./appstream-export.toml; create one with")
    refused(told("status"), "no warehouse: name one with --warehouse PATH")
    refused(told("sql", "select 1", "--warehouse", "none"), f"no warehouse at {folder / 'none'}; make one with")
    (folder / "empty").mkdir()
    refused(told("status", "--warehouse", "empty"), "no snapshot in")

    assert names(folder) == ["empty"]


HOSTILE_SQL = (
    "create table t (a int)",
    "insert into image_builders values (1)",
    "delete from image_builders",
    "drop view image_builders",
    "copy (select 1) to 'stolen.csv'",
    "copy image_builders to 'x.parquet' (format parquet)",
    "attach 'other.duckdb' as other",
    "install httpfs",
    "load httpfs",
    "pragma database_list",
    "set enable_external_access = true",
    "call pragma_version()",
    "select 1; select 2",
    "select * from read_csv('/etc/passwd')",
    "select * from read_text('/etc/passwd')",
    "from '/etc/passwd'",
    "from glob('/etc/*')",
    "select getenv('HOME')",
    "export database 'x'",
    "explain analyze copy (select 1) to 'x.csv'",
    "with t as (delete from image_builders returning *) select * from t",
    "",
)


@pytest.mark.parametrize("sql", HOSTILE_SQL)
def test_sql_that_writes_or_reaches_out_is_refused(sql: str, warehouse: Path, folder: Path, told: Told) -> None:
    before = {p: p.stat().st_mtime_ns for p in warehouse.rglob("*")}
    refused(told("sql", sql, "--warehouse", str(warehouse)), "")

    assert names(folder) == []
    assert {p: p.stat().st_mtime_ns for p in warehouse.rglob("*")} == before


SQL = {
    "select * from builders": 'there is no table "builders"; did you mean "image_builders"?',
    "selec 1": "syntax error",
    "select nam from image_builders": '"nam" not found',
    "select 1/0 +": "syntax error",
    "select 'x'::int": "Could not convert string",
}


@pytest.mark.parametrize("sql", SQL)
def test_wrong_sql_is_told_in_one_line(sql: str, warehouse: Path, told: Told) -> None:
    refused(told("sql", sql, "--warehouse", str(warehouse)), SQL[sql])


def refused(ended: tuple[int, str, str], expected: str) -> None:
    """Exit 2, nothing on stdout, and one line on stderr that says it."""
    code, out, err = ended
    assert (code, out, err.count("\n")) == (2, "", 1), (code, out, err)
    assert err.startswith("appstream-export: ")
    assert expected in err


def names(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(place.name for place in folder.iterdir())


MISSPELLED = {
    "run --config appstrem-export.toml": 'appstrem-export.toml: no such file; did you mean "appstream-export.toml"?',
    "status --warehouse warehuose": '/warehuose; did you mean "{folder}/warehouse"?',
    "sql -f qury.sql --warehouse warehouse": 'qury.sql: No such file or directory; did you mean "query.sql"?',
    "plan --config labels.toml": "/lables.csv: not readable as CSV: No such file or directory; "
    'did you mean "{folder}/labels.csv"?',
    "contracts lint --config contracts.toml": '/contrcts: no such folder; did you mean "{folder}/contracts"?',
    "tables --config sql.toml": '/contrcts: no such folder; did you mean "{folder}/contracts"?',
    "run --config warehouse": "warehouse: is a folder, not a file; name the settings file in it",
    "contracts lint --config file.toml": "/labels.csv: is a file, not a folder; name a folder",
    "tables --config file_of_sql.toml": "/labels.csv: is a file, not a folder; name a folder",
    "status --warehouse nothing/like/it": "/nothing/like/it; make one with: appstream-export run",
}


@pytest.mark.parametrize("words", MISSPELLED)
def test_a_misspelled_path_is_answered_with_the_one_beside_it(
    words: str, folder: Path, told: Told, elsewhere: Emulator
) -> None:
    configure(folder, GOOD)
    for name in ("warehouse", "contracts"):
        (folder / name).mkdir()
    for name in ("labels.csv", "query.sql"):
        (folder / name).touch()
    (folder / "labels.toml").write_text(f'account_labels_file = "lables.csv"\n{GOOD}')
    (folder / "contracts.toml").write_text(f'contracts.folder = "contrcts"\n{GOOD}')
    (folder / "file.toml").write_text(f'contracts.folder = "labels.csv"\n{GOOD}')
    (folder / "file_of_sql.toml").write_text(f'sql.folder = "labels.csv"\n{GOOD}')
    (folder / "sql.toml").write_text(f'sql.folder = "contrcts"\n{GOOD}')
    code, _, err = told(*words.split())

    assert (code, err.rstrip().endswith(MISSPELLED[words].format(folder=folder))) == (2, True), err
    assert elsewhere.calls == []
