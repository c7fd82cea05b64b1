"""Users' own contracts and SQL beside the settings, and which resources of a run are on, due and requested."""

import json
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from appstream_export.cli.main import main
from appstream_export.contracts import load_contracts
from appstream_export.emulator import Emulator
from appstream_export.errors import ContractError
from appstream_export.feeds import load_served_outputs
from appstream_export.lake.catalog import connect_unchecked, connect_warehouse, run_query
from appstream_export.lake.storage import open_store
from appstream_export.model import ScanOptions
from appstream_export.run import Request, RunResult, execute_run, load_enabled_contracts, load_run_result
from appstream_export.settings import Settings, read_settings
from tests.factories import image_builder
from tests.run.test_several_resources import DESKTOPS

HERE = "111122223333/eu-west-1"
MOMENT = datetime(2026, 11, 1, 12, tzinfo=UTC)
SQL = {
    "marts/fleet_names.sql": """-- fleet_names: One row per fleet.
-- reads: desktops
-- name varchar: Name of the fleet.
select name from desktops
""",
    "checks/nameless_fleets.sql": """-- nameless_fleets: Fleets without a name.
-- severity: warn
-- reads: fleet_names
select name from fleet_names where name = 'f'
""",
    "queries/which_fleets.sql": """-- which_fleets: Fleets.
-- reads: fleet_names
-- question: Which desktops are there?
-- param like: text = % -- Pattern.
select name from fleet_names where name like $like
""",
    "feeds/fleet_names.sql": """-- fleet_names: One row per fleet.
-- reads: fleet_names, feed_snapshot
-- key: name
-- name varchar: Name of the fleet.
-- as_of_utc timestamp: When.
-- snapshot_id varchar: Which.
select n.name, f.as_of_utc, f.snapshot_id from fleet_names as n cross join feed_snapshot as f
""",
}


class Project:
    """A folder with settings, contracts and SQL of a user's own."""

    def __init__(self, aws: Emulator, folder: Path) -> None:
        self.aws, self.folder = aws, folder
        (folder / "contracts").mkdir(parents=True)
        (folder / "contracts/desktops.toml").write_text(DESKTOPS)
        for name, text in SQL.items():
            (folder / "sql" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "sql" / name).write_text(text)
        self.configure()

    @property
    def config(self) -> Path:
        return self.folder / "appstream-export.toml"

    def configure(self, contracts: str = "", *, feeds: bool = False, report: bool = False) -> Settings:
        self.config.write_text(
            f"""regions = ["eu-west-1"]
[[accounts]]
id = "111122223333"
role_arn = "arn:aws:iam::111122223333:role/reader"
[aws]
endpoint_url = "{self.aws.endpoint_url}"
[extract]
max_attempts = 2
[contracts]
folder = "contracts"
{contracts}
[sql]
folder = "sql"
[feeds]
publish = {str(feeds).lower()}
report = {str(report).lower()}
"""
        )
        return self.settings

    @property
    def settings(self) -> Settings:
        return read_settings(self.config)

    def run(self, moment: datetime = MOMENT, **request: Any) -> RunResult:
        return execute_run(self.settings, load_enabled_contracts(self.settings), Request(**request), moment=moment)

    def calls(self) -> list[str]:
        """List operations that were requested since the last time, sorted."""
        found = sorted({c.operation for c in self.aws.calls if c.operation.startswith("Describe")})
        self.aws.reset_calls()
        return found


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    with Emulator() as emulator:
        emulator.put(HERE, image_builder("a"))
        emulator.put(HERE, {"Name": "f"}, {"Name": "g"}, operation="DescribeFleets")
        yield emulator


@pytest.fixture(scope="module")
def exported(aws: Emulator, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, RunResult]:
    """A project after its first run."""
    project = Project(aws, tmp_path_factory.mktemp("own"))
    project.configure(feeds=True, report=True)
    return project, project.run()


def tables(text: str) -> set[str]:
    return {row["table"] for row in json.loads(text)}


@pytest.mark.slow
def test_files_beside_the_settings_become_tables_views_feeds_checks_and_questions(
    exported: tuple[Project, RunResult], capsys: pytest.CaptureFixture[str]
) -> None:
    project, result = exported
    flags = ["--config", str(project.config)]

    assert (result.exit_code, result.failed_ratios) == (0, {"desktops": 0.0, "image_builders": 0.0})
    assert {check.name: check.rows for check in result.checks}["nameless_fleets"] == 1
    assert result.published_feeds is not None
    assert {"desktops", "fleet_changes", "fleet_names", "image_builders"} <= result.published_feeds.rows.keys()
    assert main([*flags, "query", "which_fleets", "-p", "like=g", "--format", "csv"]) == 0
    assert capsys.readouterr().out.split() == ["name", "g"]
    assert main([*flags, "describe", "fleet_names", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"column": "name", "type": "VARCHAR", "doc": "Name of the fleet."}]
    assert main([*flags, "contracts", "iam"]) == 0
    [statement] = json.loads(capsys.readouterr().out)["Statement"]
    assert statement["Action"] == ["appstream:DescribeFleets", "appstream:DescribeImageBuilders"]
    assert main([*flags, "contracts", "render", "--output", str(project.folder / "docs")]) == 0
    pages = {file.name for file in (project.folder / "docs").iterdir()}
    assert {"desktops.md", "fleet_names.md", "questions.md"} <= pages
    assert "contracts/desktops.toml" in (project.folder / "docs/desktops.md").read_text()
    assert "which_fleets" in (project.folder / "docs/questions.md").read_text()
    assert not (project.folder / "checks").exists()


def test_generated_checks_and_dagster_assets_cover_a_users_own_resource(exported: tuple[Project, RunResult]) -> None:
    from appstream_export.contracts import list_sql_files
    from appstream_export.defs.specs import build_asset_sources

    settings = exported[0].settings
    contracts = load_enabled_contracts(settings)
    sources = {asset.key.to_user_string(): asset for asset in build_asset_sources(contracts, settings)}
    [doubles] = [file for file in list_sql_files(contracts, "checks") if file.name == "duplicate_keys"]

    assert "desktops" in doubles.reads
    assert {"desktops", "fleet_changes", "fleet_names", "feeds/desktops", "feeds/fleet_names"} <= sources.keys()
    assert [file.name for file in sources["fleet_names"].checks] == ["nameless_fleets"]


@pytest.mark.slow
def test_a_reader_with_the_warehouse_alone_sees_the_tables_and_no_sql_of_the_user(
    exported: tuple[Project, RunResult],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    warehouse = str(shutil.copytree(exported[0].settings.warehouse, tmp_path / "copy", symlinks=True))
    (tmp_path / "copy/warehouse.duckdb").unlink()
    monkeypatch.chdir(tmp_path)

    assert run_query(connect_warehouse(warehouse), "select name from desktops").to_pydict() == {"name": ["f", "g"]}
    con = connect_unchecked(warehouse)
    assert con.sql("select count(*) from desktops_history").fetchall() == [(2,)]
    assert con.sql("select count(*) from duckdb_views() where view_name = 'fleet_names'").fetchall() == [(0,)]
    assert main(["tables", "--warehouse", warehouse, "--json"]) == 0
    assert {"desktops", "fleet_changes"} < (found := tables(capsys.readouterr().out))
    assert "fleet_names" not in found
    assert main(["describe", "desktops", "--warehouse", warehouse, "--json"]) == 0
    assert {"column": "name", "type": "VARCHAR", "doc": "Name."} in json.loads(capsys.readouterr().out)
    assert main(["feeds", "publish", "--warehouse", warehouse]) == 0
    assert main(["verify", "--warehouse", warehouse]) == 0


@pytest.mark.slow
def test_only_image_builders_are_on_unless_the_settings_say_more(aws: Emulator, tmp_path: Path) -> None:
    project = Project(aws, tmp_path)
    project.config.write_text(re.sub("folder = .*", "", project.config.read_text()))
    contracts = load_enabled_contracts(project.settings)

    assert [contract.name for contract in contracts] == ["image_builders"]
    assert {contract.name for contract in contracts} <= {contract.name for contract in load_contracts()}
    project.calls()
    result = project.run()
    assert project.calls() == ["DescribeImageBuilders"]
    assert (result.exit_code, "desktops" in result.manifest.tables) == (0, False)
    assert not [check for check in result.checks if "fleet" in check.name]


@pytest.mark.slow
def test_resources_of_the_settings_are_the_only_ones_that_are_requested(aws: Emulator, tmp_path: Path) -> None:
    project = Project(aws, tmp_path)
    project.configure('resources = ["desktops"]', feeds=True, report=True)
    project.calls()
    result = project.run()
    store = open_store(project.settings.warehouse)

    assert project.calls() == ["DescribeFleets"]
    assert (result.exit_code, result.is_reported) == (0, False)
    assert result.published_feeds is not None
    assert {name for name in result.published_feeds.rows if "builder" in name} == set()
    assert "image_builders" not in result.manifest.tables
    assert [output.name for output in load_served_outputs(store) if output.problem] == []
    later = load_run_result(project.settings, load_enabled_contracts(project.settings))  # as Dagster's last step does
    assert (later.exit_code, later.report_problem) == (0, None)


@pytest.mark.slow
def test_a_run_of_named_resources_carries_the_others_as_not_requested(aws: Emulator, tmp_path: Path) -> None:
    project = Project(aws, tmp_path)
    project.run()
    project.calls()
    result = project.run(MOMENT + timedelta(hours=1), resources=("image_builders",))

    assert project.calls() == ["DescribeImageBuilders"]
    assert (result.exit_code, dict(result.unrequested)) == (0, {"desktops": 1})
    con = connect_warehouse(project.settings.warehouse)
    rows = run_query(
        con, "select resource, status, is_stale, attempted_at from scope_runs order by resource"
    ).to_pylist()
    assert [(r["resource"], r["status"], r["is_stale"]) for r in rows] == [
        ("desktops", "ok", False),
        ("image_builders", "ok", False),
    ]
    assert rows[1]["attempted_at"] - rows[0]["attempted_at"] >= timedelta(hours=1)


@pytest.mark.slow
@pytest.mark.usefixtures("without_checks")
def test_a_resource_with_a_cadence_is_requested_when_it_is_due(
    aws: Emulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = Project(aws, tmp_path)
    project.configure('cadence = { desktops = "1d" }')
    found = {}
    for hours in (0, 1, 24):
        project.calls()
        result = project.run(MOMENT + timedelta(hours=hours))
        found[hours] = (project.calls(), result.exit_code, dict(result.unrequested))

    assert found == {
        0: (["DescribeFleets", "DescribeImageBuilders"], 0, {}),
        1: (["DescribeImageBuilders"], 0, {"desktops": 1}),
        24: (["DescribeFleets", "DescribeImageBuilders"], 0, {}),
    }
    flags = ["--config", str(project.config)]
    assert main([*flags, "status", "--json"]) == 1  # the run of a month ago is late by its cadence
    about = json.loads(capsys.readouterr().out)
    assert (about["freshness"], about["cadences"][0]["resource"]) == ("late", "desktops")
    project.run(datetime.now(UTC))
    assert main([*flags, "plan", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["tasks_per_resource"], plan["not_due"]["desktops"]["tasks"]) == ({"image_builders": 1}, 1)
    assert main([*flags, "plan", "--resources", "desktops", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tasks_per_resource"] == {"desktops": 1}
    assert main([*flags, "status"]) == 0
    assert "cadence    desktops: every 1 day, last requested" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(("hours", "word"), [(20, "fresh"), (60, "late")])
def test_a_resource_with_a_cadence_below_the_interval_of_snapshots_is_judged_by_that_interval(
    hours: int, word: str, aws: Emulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = Project(aws, tmp_path)
    project.configure('cadence = { desktops = "1h" }\n[lake]\nfreshness_interval = "1d"')
    project.run(datetime.now(UTC) - timedelta(hours=hours))
    main(["--config", str(project.config), "status", "--json"])
    (cadence,) = json.loads(capsys.readouterr().out)["cadences"]

    assert (cadence["every_seconds"], cadence["freshness"]) == (3600, word)


@pytest.mark.slow
def test_what_shows_image_builders_is_one_line_where_they_are_off(
    aws: Emulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = Project(aws, tmp_path)
    project.configure('resources = ["desktops"]', feeds=True)
    project.run()
    flags = ["--config", str(project.config), "-o"]
    codes = [
        main(["dashboard", "superset", *flags, str(tmp_path / "superset.zip")]),
        main(["report", *flags, "x.html"]),
    ]
    lines = capsys.readouterr().err
    line = "the {} shows image_builders, which are off; add them to [contracts] resources\n"

    assert codes == [2, 2]
    assert line.format("dashboard") in lines
    assert line.format("report") in lines
    assert not (tmp_path / "superset.zip").exists()
    assert main(["dashboard", "dbt", *flags, str(tmp_path / "sources.yml")]) == 0


@pytest.mark.slow
def test_a_request_of_names_does_not_wait_and_does_not_replace_the_full_request(aws: Emulator, tmp_path: Path) -> None:
    project = Project(aws, tmp_path)
    project.configure('resources = ["image_builders"]\ncadence = { image_builders = "1d" }')
    shutil.rmtree(tmp_path / "sql")
    (tmp_path / "sql").mkdir()
    found = {}
    for hours, names in ((0, ()), (22, ("a",)), (24, ()), (25, ())):
        project.calls()
        project.run(MOMENT + timedelta(hours=hours), scan_options=ScanOptions(names=names), stages=())
        found[hours] = project.calls()

    requested = ["DescribeImageBuilders"]
    assert found == {0: requested, 22: requested, 24: requested, 25: []}


@pytest.mark.slow
def test_a_denied_resource_is_red_under_its_own_name_and_is_requested_again_before_it_is_due(
    aws: Emulator, tmp_path: Path
) -> None:
    project = Project(aws, tmp_path)
    project.configure('cadence = { desktops = "1d" }', feeds=True)
    aws.fail(HERE, "deny", operation="DescribeFleets")
    try:
        first = project.run()
    finally:
        aws.heal()
    assert (first.exit_code, first.insufficient_resources) == (3, ["desktops"])
    assert (first.failed_ratios["image_builders"], first.feeds_problem, first.failed_checks) == (0.0, None, [])
    assert first.published_feeds is not None
    assert (first.published_feeds.rows["image_builders"], first.published_feeds.rows["desktops"]) == (1, 0)
    second = project.run(MOMENT + timedelta(hours=1))
    assert (second.exit_code, second.published_feeds and second.published_feeds.rows["desktops"]) == (0, 2)


@pytest.mark.slow
def test_a_resource_that_is_switched_off_ends_without_deletions_and_goes_on_later(
    aws: Emulator, tmp_path: Path
) -> None:
    project = Project(aws, tmp_path)
    project.run()
    project.configure('resources = ["image_builders"]')
    off = project.run(MOMENT + timedelta(hours=1))
    con = connect_warehouse(project.settings.warehouse)

    assert (off.exit_code, "desktops" in off.manifest.tables, "desktops" in off.manifest.contracts) == (0, False, False)
    assert run_query(con, "select count(*) as n from desktops_history").to_pylist() == [{"n": 2}]
    assert run_query(con, "select distinct change from fleet_changes_history").to_pylist() == [{"change": "first_seen"}]
    past = connect_warehouse(project.settings.warehouse, as_of="2026-11-01T12:30Z")
    assert run_query(past, "select count(*) as n from desktops").to_pylist() == [{"n": 2}]
    project.configure()
    project.run(MOMENT + timedelta(hours=2))
    con = connect_warehouse(project.settings.warehouse)
    assert run_query(con, "select count(*) as n from desktops_history").to_pylist() == [{"n": 4}]
    assert run_query(con, "select distinct change from fleet_changes_history").to_pylist() == [{"change": "first_seen"}]


MISTAKES = {
    "contracts/image_builders.toml": (DESKTOPS, "the export has a contract of its own for image_builders"),
    "contracts/coverage.toml": (DESKTOPS.replace("[desktops]", "[coverage]"), "views of the catalog have such names"),
    "contracts/other.toml": (
        DESKTOPS.replace("[desktops]", "[other]"), r"other.toml: table \[fleet_changes\] exists in desktops.toml"
    ),
    "sql/marts/exposure.sql": (SQL["marts/fleet_names.sql"], "exposure"),
    "sql/marts/desktops.sql": (
        SQL["marts/fleet_names.sql"].replace("-- fleet_names:", "-- desktops:"),
        "desktops.toml has",
    ),
    "sql/report/tiles.sql": ("-- tiles: x\nselect 1", "only files in .* are read"),
    "sql/loose.sql": ("-- loose: x\nselect 1", "only files in .* are read"),
    "sql/views/a_history.sql": ("-- a_history: x\n-- n bigint: N.\nselect 1 as n", "cannot be its name"),
    "sql/queries/not_seen.sql": ("-- not_seen: x\nselect 1", "sql/queries/not_seen.sql has this name already"),
    "sql/views/bare.sql": ("-- bare: x\nselect 1 as n", "describes no column"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_name_that_exists_or_a_misplaced_file_is_one_clear_error(name: str, aws: Emulator, tmp_path: Path) -> None:
    project, (text, complaint) = Project(aws, tmp_path), MISTAKES[name]
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text.replace("-- fleet_names:", f"-- {Path(name).stem}:"))

    with pytest.raises(ContractError, match=complaint) as refused:
        load_enabled_contracts(project.settings)
    assert "\n" not in str(refused.value)


WRONG_SQL = {
    "an unknown table": (
        "-- x: X.\n-- reads: fleet\n-- n bigint: N.\nselect 1 as n",
        'reads fleet, which does not exist; did you mean "fleet',
    ),
    "an unknown column": ("-- x: X.\n-- reads: desktops\n-- n bigint: N.\nselect nam as n from desktops", "nam"),
    "other columns": ("-- x: X.\n-- reads: desktops\n-- n bigint: N.\nselect 'a' as n from desktops", "n VARCHAR"),
}


@pytest.mark.parametrize("mistake", WRONG_SQL)
def test_wrong_sql_is_found_before_a_request(
    mistake: str, aws: Emulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project, (text, complaint) = Project(aws, tmp_path), WRONG_SQL[mistake]
    (tmp_path / "sql/marts/x.sql").write_text(text)
    project.calls()

    with pytest.raises(ContractError, match=f"sql/marts/x.sql: .*{complaint}"):
        project.run()
    assert project.calls() == []
    assert main(["--config", str(project.config), "contracts", "lint"]) == 1
    assert "sql/marts/x.sql: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("contracts", "complaint"),
    [
        ('resources = ["desktop"]', 'there is no contract "desktop"; did you mean "desktops"?'),
        ('cadence = { fleet = "1d" }', "there is no such resource, or it is off"),
    ],
)
def test_a_resource_of_the_settings_that_does_not_exist_is_one_line(
    contracts: str, complaint: str, aws: Emulator, tmp_path: Path
) -> None:
    project = Project(aws, tmp_path)
    project.configure(contracts)

    with pytest.raises(ContractError) as refused:
        load_enabled_contracts(project.settings)
    assert complaint in str(refused.value)
