"""A damaged warehouse as a shell sees it: runs go on and name what is lost, repair does the rest."""

from collections.abc import Callable
from pathlib import Path

import pytest

from appstream_export.emulator import Emulator
from appstream_export.lake.snapshots import load_head
from appstream_export.lake.storage import open_store
from tests.cli.test_maintenance import A, B, configure
from tests.factories import image_builder

Told = Callable[..., tuple[int, str, str]]


@pytest.fixture
def head(aws: Emulator, told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Two accounts with a builder each, in one snapshot; gives the path of a table's first file with rows."""
    for account in (A, B):
        aws.put(f"{account}/eu-west-1", image_builder(f"of-{account[0]}"))
    configure(tmp_path, aws, "warehouse", A, B)
    monkeypatch.chdir(tmp_path)
    assert told("run", "--no-publish")[0] == 0
    newest = load_head(open_store("warehouse"))
    assert newest
    return lambda table: tmp_path / "warehouse" / next(f.path for f in newest.tables[table].files if f.rows)


def test_a_run_after_a_loss_names_what_aws_did_not_answer_and_repair_makes_the_warehouse_sound(
    head: Callable[[str], Path], told: Told
) -> None:
    head("image_builders").unlink()
    code, out, err = told("run", "--no-publish", "--accounts", A)
    assert (code, B in out + err, "its previous rows are lost" in out + err) == (3, True, True), (out, err)
    assert told("sql", "--format", "csv", "select name from image_builders")[1].split() == ["name", "of-1"]
    assert told("verify")[0] == 1

    code, out, _ = told("repair", "--dry-run")
    assert (code, "is missing: 2 rows of image_builders in snapshot 1" in out) == (0, True), out
    assert told("verify")[0] == 1
    code, out, err = told("repair")
    assert (code, "snapshot 3 holds the history as it is now" in out) == (0, True), (out, err)
    assert told("verify")[0] == 0
    assert told("repair")[1] == "nothing to repair\n"
    assert told("run", "--no-publish", "--retry-failed")[0] == 0
    assert told("sql", "--format", "csv", "select change from image_builder_changes")[1].split() == ["change"]


@pytest.mark.slow
@pytest.mark.usefixtures("head")
@pytest.mark.parametrize("table", ["scope_runs", pytest.param("accounts", marks=pytest.mark.slow)])
def test_a_run_plans_without_the_tables_that_a_plan_reads(told: Told, table: str) -> None:
    assert told("run", "--no-publish")[0] == 0
    newest = load_head(open_store("warehouse"))
    assert newest
    open_store("warehouse").remove(newest.tables[table].files[0].path)

    assert told("run", "--no-publish")[0] == 0
    assert told("sql", "--format", "csv", "select count(*) from image_builder_changes")[1].split()[1] == "0"


def test_a_folder_in_which_no_commit_can_be_made_is_refused_before_aws_is_asked(
    aws: Emulator, told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(tmp_path, aws, "/proc/warehouse", A)
    monkeypatch.chdir(tmp_path)
    aws.reset_calls()
    code, _, err = told("run")

    assert aws.calls == []
    assert (code, err.count("\n"), "no commit can be made here" in err) == (2, 1, True), err
