"""verify, expire, gc, erase, catalog and --as-of as a shell sees them, on a warehouse in a folder and in a bucket."""

import json
import re
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import duckdb
import pytest

from appstream_export.emulator import Emulator
from tests.cli.conftest import Finished
from tests.factories import image_builder
from tests.pages import read_texts

Told = Callable[..., tuple[int, str, str]]
A, B = "111122223333", "444455556666"
ACCOUNT = '[[accounts]]\nid = "{id}"\nrole_arn = "arn:aws:iam::{id}:role/reader"\n'
NAMES = ("sql", "--format", "csv", "select name from image_builders order by 1")


def configure(folder: Path, aws: Emulator, warehouse: str, *accounts: str) -> None:
    """Settings that keep the newest snapshot alone."""
    text = (
        f'warehouse = "{warehouse}"\nregions = ["eu-west-1"]\naws.endpoint_url = "{aws.endpoint_url}"\n'
        "lake.retention = { hourly_days = 0, daily_days = 0, monthly_months = 0 }\n"
    )
    (folder / "appstream-export.toml").write_text(text + "".join(ACCOUNT.format(id=a) for a in accounts))


@pytest.fixture(
    params=[
        pytest.param("warehouse", id="folder"),
        pytest.param("s3://lake/exports", id="bucket", marks=pytest.mark.slow),
    ]
)
def warehouse(request: pytest.FixtureRequest, aws: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the configuration of the current folder keeps two accounts with a builder each."""
    for account in (A, B):
        aws.put(f"{account}/eu-west-1", image_builder(f"of-{account[0]}"))
    keys = {"aws_access_key_id": "AKIATEST", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=aws.endpoint_url, **keys).create_bucket(Bucket="lake")
    configure(tmp_path, aws, request.param, A, B)
    monkeypatch.chdir(tmp_path)
    return request.param


def asked(told: Told, *words: str) -> Any:
    """A command's object; it must end well."""
    code, out, err = told(*words, "--json")
    assert code == 0, (out, err)
    return json.loads(out)


@pytest.mark.slow
def test_the_life_of_a_warehouse(warehouse: str, aws: Emulator, told: Told, tmp_path: Path) -> None:
    code, _, err = told("verify")
    assert (code, err.count("\n")) == (2, 1)
    assert told("run", "--no-publish")[0] == 0
    first = asked(told, "sql", "select committed_at from snapshots")[0]["committed_at"]
    aws.put(f"{A}/eu-west-1", image_builder("new"))
    assert told("run", "--no-publish")[0] == 0

    # as of a moment
    assert told(*NAMES)[1].split() == ["name", "new", "of-1", "of-4"]
    assert told(*NAMES, "--as-of", first)[1].split() == ["name", "of-1", "of-4"]
    code, out, err = told(*NAMES, "--as-of", "2020-01-01")
    assert (code, out, err.count("\n")) == (2, "", 1)

    # verify
    code, out, err = told("verify")
    assert (code, err) == (0, "")
    assert "every byte is as it was committed in " in out
    assert ": 2 snapshots, " in out

    # expire, gc
    looked, done = asked(told, "expire", "--dry-run"), asked(told, "expire")
    assert (looked["dropped"], looked["retained"], looked["seq"], looked["dry_run"]) == ([1], 1, None, True)
    assert (done["dropped"], done["rows_kept"], done["seq"]) == ([1], looked["rows_kept"], 3)
    assert done["retention"] == {"hourly_days": 0, "daily_days": 0, "monthly_months": 0}
    assert told("expire")[1].startswith("nothing to expire: the only snapshot is retained\n")
    looked, done = asked(told, "gc"), asked(told, "gc", "--grace", "0")
    assert (looked["files"], looked["waiting"] > 9, done["files"]) == (0, True, looked["waiting"])
    changes = "select name, change from image_builder_changes_history order by 1, 2"
    assert told("sql", "--format", "csv", changes)[1].split() == [
        "name,change", "new,created", "of-1,first_seen", "of-4,first_seen"
    ]  # fmt: skip

    # erase
    code, out, err = told("erase", "--account", B)
    assert (code, out) == (2, "")
    assert f'the next run would bring it back; remove [[accounts]] id = "{B}" from the settings, then erase it' in err
    looked = asked(told, "erase", "--account", B, "--dry-run")
    assert (looked["is_gone"], looked["snapshots"], looked["first"][:4]) == (False, 1, "remo")
    configure(tmp_path, aws, warehouse, A)
    done = asked(told, "erase", "--account", B)
    assert (done["is_gone"], done["rows"], done["remaining"], done["problems"]) == (True, looked["rows"], [], [])
    assert told(*NAMES)[1].split() == ["name", "new", "of-1"]
    assert asked(told, "status")["seq"] == 2, "of the newest sweep: upkeep makes nothing fresher"
    verified = asked(told, "verify")
    assert (verified["ok"], verified["snapshots"], verified["seq"], verified["problems"]) == (True, 1, 4, [])


@pytest.mark.slow
@pytest.mark.parametrize("warehouse", ["warehouse"], indirect=True, ids=["folder"])
def test_an_erase_publishes_feeds_and_report_anew(warehouse: str, aws: Emulator, told: Told, tmp_path: Path) -> None:
    told("run")
    told("run")
    assert B in read_texts(tmp_path / warehouse / "report.html")
    configure(tmp_path, aws, warehouse, A)
    done = asked(told, "erase", "--account", B)

    assert (done["is_gone"], done["problems"]) == (True, [])
    assert not [p for p in (tmp_path / warehouse).rglob("*") if p.is_file() and B.encode() in p.read_bytes()]
    assert B not in read_texts(tmp_path / warehouse / "report.html")
    assert len(list((tmp_path / warehouse / "feeds/v1/generations").iterdir())) == 1, "older ones hold the account"
    assert told("feeds", "verify")[0] == 0
    with duckdb.connect(str(tmp_path / warehouse / "feeds/v1/bi.duckdb"), read_only=True) as con:
        assert con.sql("select account_id from image_builders").fetchall() == [(A,)]


@pytest.mark.slow
@pytest.mark.parametrize("warehouse", ["s3://lake/exports"], indirect=True, ids=["bucket"])
@pytest.mark.usefixtures("warehouse")
def test_a_buckets_catalog_is_lines_for_a_duckdb_of_ones_own(told: Told, tmp_path: Path) -> None:
    told("run", "--no-publish")
    code, lines, _ = told("catalog")
    file = tmp_path / "mine.duckdb"
    short = told("catalog", "-o", str(file))[1]

    assert code == 0
    access, views = lines.split("set TimeZone = 'UTC';\n")
    assert "install httpfs;\nload httpfs;\n" in access
    assert "scope 's3://lake/exports'" in access
    assert f"-- wrote {file}; run these lines before you attach it\n{access}" in short
    assert 'create view "image_builders" as' in views
    assert told("catalog", "--root", "/data", "-o", str(file))[0] == 2
    with duckdb.connect(str(file), read_only=True) as con:
        sql = "select sql from duckdb_views() where sql like '%image_builders/%'"
        assert "'s3://lake/exports/tables/image_builders/" in str(con.sql(sql).fetchall())


@pytest.fixture
def copied(demo: tuple[Path, Finished], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the demo's folder, which is the current one."""
    folder = Path(shutil.copytree(demo[0], tmp_path / "demo", symlinks=True))
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.slow
def test_verify_misses_no_label_of_settings_that_it_does_not_have(copied: Path, told: Told) -> None:
    (copied / "appstream-export.toml").unlink()
    code, out, _ = told("verify", "--warehouse", "warehouse")

    assert (code, "feed_columns" in out) == (0, False)


def test_verify_ends_with_1_and_names_file_table_scopes_and_snapshot(copied: Path, told: Told) -> None:
    file = next((copied / "warehouse/tables/image_builders").rglob("*.parquet"))
    file.chmod(0o600)
    file.write_bytes(b"X" + file.read_bytes()[1:])
    code, out, _ = told("verify")

    assert code == 1
    assert re.search(r"^tables/image_builders/\S+\.parquet: has changed since it was committed; restore it", out)
    assert re.search(r"\(image_builders of \d{12}/.* and \d+ more in snapshot \d\)$", out.splitlines()[0])
    assert "1 problem in " in out
    found = json.loads(told("verify", "--json")[1])
    assert (found["ok"], found["problems"][0]["table"], found["checks"]) == (False, "image_builders", [])


def test_verify_tells_of_many_problems_in_few_lines(copied: Path, told: Told) -> None:
    for file in (copied / "warehouse/tables").rglob("*.parquet"):
        file.unlink()
    code, out, _ = told("verify")

    assert code == 1
    assert len(out.splitlines()) < 60
    assert re.search(r"^\.\.\. and \d+ more; --json lists all$", out, re.M)


def test_a_warehouse_that_is_named_is_kept_as_it_is_configured(copied: Path, told: Told) -> None:
    config = copied / "appstream-export.toml"
    config.write_text(config.read_text() + '[lake]\nfile_mode = "0640"\nretention.monthly_months = 7\n')
    same = ("--warehouse", str(copied / "warehouse"))

    assert asked(told, "expire", "--dry-run", *same)["retention"]["monthly_months"] == 7
    assert told("catalog", *same)[0] == 0
    assert stat.S_IMODE((copied / "warehouse/warehouse.duckdb").stat().st_mode) == 0o440
    other = shutil.copytree(copied / "warehouse", copied / "other", symlinks=True)
    assert asked(told, "expire", "--dry-run", "--warehouse", str(other))["retention"]["monthly_months"] == 24


def test_a_catalog_for_a_container_is_written_anywhere(copied: Path, told: Told) -> None:
    code, out, err = told("catalog", "-o", "there.duckdb", "--root", "/data/warehouse")

    assert (code, out, err) == (0, "there.duckdb\n", "")
    with duckdb.connect(str(copied / "there.duckdb"), read_only=True) as con:
        sql = "select sql from duckdb_views() where sql like '%image_builders/%'"
        assert "'file:///data/warehouse/tables/image_builders/" in str(con.sql(sql).fetchall())


@pytest.mark.usefixtures("copied")
@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("erase --account 1234", '"1234" is not an account id: write 12 digits'),
        ("erase --account 987650123456", "account 987650123456 was not found in "),
        ("erase", "required: --account"),
        ("gc --grace soon", '"soon" is not a duration such as 90m, 24h or 7d'),
        ("catalog --root data", "data: the root must be an absolute path"),
        ("catalog -o .", "exists, and is not a catalog of this program"),
        ("verify --warehouse nowhere", "no warehouse at "),
        ("sql --as-of soon 'select 1'", 'as of "soon": not a time such as 2026-01-31 (its end, UTC)'),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(words: str, says: str, told: Told) -> None:
    code, out, err = told(*words.replace("'select 1'", "x").split())

    assert (code, out, err.count("\n")) == (2, "", 1)
    assert says in err
