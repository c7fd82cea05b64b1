"""With several resources each message, check, question and tile names its resource, and one harms no other."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appstream_export.cli.views import build_run_object, load_status, print_status, render_run_lines, summarize_run
from appstream_export.contracts import list_view_files, load_contract, load_contracts
from appstream_export.contracts.generated_checks import render_generated_checks
from appstream_export.emulator import Emulator
from appstream_export.feeds.report import render_report
from appstream_export.lake.catalog import connect_warehouse, get_named_query, run_named_query
from appstream_export.lake.catalog.query import run_query
from appstream_export.lake.storage.factory import open_store
from appstream_export.run import RunResult
from tests.export import Export
from tests.factories import image_builder
from tests.pages import read_rows

A, B = "111122223333/eu-west-1", "444455556666/eu-west-1"
FLEETS = """
doc = "AppStream fleets."
service = "appstream"
operation = "DescribeFleets"
items = "Fleets"
item_name = "fleet"
[fleets]
doc = "One row per fleet."
key = ["name"]
name = { from = "Name", type = "string", doc = "Name." }
"""
DESKTOPS = FLEETS.replace("[fleets]", "[desktops]")  # of a user: the packaged contract has the other name


def with_fleets(aws: Emulator, folder: Path) -> Export:
    """An export of two resources from two scopes; fleets are denied in the second."""
    (folder / "fleets.toml").write_text(FLEETS)
    export = Export(aws, folder)
    export.contracts = [*load_contracts(), load_contract(folder / "fleets.toml")]
    export.regions = ("eu-west-1",)
    for scope in (A, B):
        aws.put(scope, image_builder("a"), image_builder("b"))
        aws.put(scope, {"Name": "f"}, {"Name": "g"}, operation="DescribeFleets")
    aws.fail(B, "deny", operation="DescribeFleets")
    return export


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Export, RunResult]]:
    """An export of two resources, and its first run, which is cut at one item per scope."""
    with Emulator() as aws:
        export = with_fleets(aws, tmp_path_factory.mktemp("several"))
        export.extract = {**export.extract, "max_failed_ratio": 0.4}
        yield export, export.run(max_items=1)


def lines(export: Export, result: RunResult) -> list[str]:
    """What `run` prints."""
    return [line.strip() for line in render_run_lines(summarize_run(result, export.contracts, export.warehouse))]


@pytest.mark.slow
def test_lines_of_a_run_name_the_resource_of_failures_cut_scopes_and_changes(mixed: tuple[Export, RunResult]) -> None:
    export, result = mixed
    text = lines(export, result)

    assert {"fleets: 1 ok, 1 failed", "image_builders: 2 ok"} < set(text)
    assert "too few scopes answered of fleets" in text
    assert [line.partition(": ")[0] for line in text if "denied" in line] == [f"denied      fleets@{B}"]
    assert [line.partition(";")[0] for line in text if line.startswith("stopped at the item limit")] == [
        f"stopped at the item limit in {task}" for task in (f"fleets@{A}", f"image_builders@{A}", f"image_builders@{B}")
    ]


def test_a_resource_of_which_too_much_failed_ends_the_run_with_3_though_another_is_whole(
    mixed: tuple[Export, RunResult],
) -> None:
    export, result = mixed
    about = build_run_object(summarize_run(result, export.contracts, export.warehouse))

    assert (result.exit_code, result.failed_ratios) == (3, {"fleets": 0.5, "image_builders": 0.0})
    assert result.insufficient_resources == ["fleets"]
    assert {name: (r["failed"], r["is_sufficient"]) for name, r in about["resources"].items()} == {
        "fleets": (1, False),
        "image_builders": (0, True),
    }


def test_status_counts_scopes_of_each_resource(
    mixed: tuple[Export, RunResult], capsys: pytest.CaptureFixture[str]
) -> None:
    export, _ = mixed
    from appstream_export.lake.storage import open_store

    print_status(load_status(open_store(export.warehouse), export.settings))
    text = capsys.readouterr().out

    assert "scopes     fleets: 1 denied, 1 filtered\n" in text
    assert "scopes     image_builders: 2 filtered\n" in text
    assert "stale      1 scopes of fleets, which have never answered\n" in text


def test_questions_name_the_resource(mixed: tuple[Export, RunResult]) -> None:
    con = connect_warehouse(mixed[0].warehouse)
    rows = run_named_query(con, get_named_query("not_seen"), {}).to_pylist()
    odd = run_named_query(con, get_named_query("odd_values"), {}).to_pylist()

    assert [(row["resource"], row["account"], row["builders"]) for row in rows] == [("fleets", B[:12], None)]
    assert {row["resource"] for row in odd} <= {"fleets", "image_builders"}


@pytest.mark.slow
def test_the_report_counts_the_scopes_of_all_resources(mixed: tuple[Export, RunResult], tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(render_report(open_store(str(mixed[0].warehouse)), mixed[0].contracts))
    scopes = read_rows(page, "scopes")

    assert (len(scopes), len(read_rows(page, "builders"))) == (4, 2)
    assert [(row["account_id"], row["resource"]) for row in scopes if row["status"] not in ("ok", "filtered")] == [
        (B[:12], "fleets")
    ]


def test_generated_checks_look_at_each_resource_and_name_it(mixed: tuple[Export, RunResult]) -> None:
    export, _ = mixed
    con = connect_warehouse(export.warehouse)
    checks = render_generated_checks(export.contracts, list_view_files(export.contracts))
    sound = {name: run_query(con, text).num_rows for name, text in checks.items()}
    unknown = checks["unknown_scopes.sql"].replace("anti join scope_runs", "anti join (from scope_runs limit 0)")

    assert sound == dict.fromkeys(checks, 0)
    assert sorted({(row["resource"], row["items"]) for row in run_query(con, unknown).to_pylist()}) == [
        ("fleets", 1),
        ("image_builders", 1),
    ]


@pytest.mark.slow
def test_options_that_one_resource_does_not_take_end_no_run_that_asks_that_one_alone(
    mixed: tuple[Export, RunResult], tmp_path: Path
) -> None:
    aws = mixed[0].aws
    export = with_fleets(aws, tmp_path)
    export.extract = {**export.extract, "page_size": 5}
    export.run()
    aws.heal()
    aws.reset_calls()
    again = export.run(retry_failed=True)

    assert {str(task): str(o.status) for task, o in again.outcomes.items()} == {f"fleets@{B}": "ok"}
    assert again.exit_code == 0
    assert export.sql(f"select count(*) from fleets where account_id = '{B[:12]}'") == [2]
