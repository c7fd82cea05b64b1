"""The benchmark command on tiny sizes: equal rows are checked, who loses some is out, budgets decide how it ends."""

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from appstream_export.lake.storage import paths
from appstream_export.lake.storage.factory import open_store
from benchmarks import __main__ as command, commit as commits, publication, suites
from benchmarks.children import Aws, Exporter
from benchmarks.contents import Contents
from benchmarks.estate import Took
from benchmarks.figures import Budget, Figure, figure, ratio, record
from benchmarks.findings import Findings
from benchmarks.proofs import scale
from benchmarks.race import DENSE, SPARSE, Lap, Race
from benchmarks.rivals import FLOORS, OURS, RIVALS, Rival
from benchmarks.sizes import Size, quick
from benchmarks.warehouse import by_role, settings_of
from benchmarks.world import REGIONS, World

HERE = {name: Path(sys.executable) for name in ("ours", "rivals", "cloudquery")}
HERE_TOO = (OURS, "ours_published", "plain", "plain_hook", "duckdb")
"""Rivals that need no environment of their own."""
TINY = replace(
    quick(Size(pythons=HERE)),
    sparse=replace(SPARSE, accounts=2, regions=2, items=3),
    dense=replace(DENSE, accounts=1, regions=2, items=60),
)


def tiny(*names: str, **more: Rival) -> Size:
    return replace(TINY, rivals={name: RIVALS[name] for name in names} | more)


@pytest.mark.slow
def test_rivals_leave_equal_rows_and_the_json_says_what_was_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "figures.json"

    ended = command.main(["--only", "dense", "--json", str(file)], tiny(*HERE_TOO))

    told = json.loads(file.read_text())
    printed = capsys.readouterr().out
    assert ended == 0
    assert printed.count("| equal |") == len(HERE_TOO)
    assert "DISQUALIFIED" not in printed
    assert set(told) == {"figures", "environment"}
    assert {tuple(each) for each in told["figures"]} == {("name", "value", "unit", "budget", "ok", "rounds", "spread")}
    assert {"versions", "cores", "load"} <= set(told["environment"])


@pytest.mark.slow
def test_who_loses_rows_is_disqualified_loudly_and_its_budget_is_missed(capsys: pytest.CaptureFixture[str]) -> None:
    forgetful = replace(RIVALS["plain"], module="plain_on_clients", more={"accounts": []})

    ended = command.main(["--only", "sparse"], tiny(OURS, plain=forgetful))

    printed = capsys.readouterr().out
    assert ended == 1
    assert "DISQUALIFIED plain script, public boto3 alone (sparse)" in printed
    assert "MISSED sparse: wall, plain script, public boto3 alone / ours" in printed


@pytest.mark.slow
def test_a_budget_whose_rival_did_not_end_is_missed_and_who_is_out_counts_without_a_budget_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    fallen = replace(FLOORS["fetch"], more={"floor": "none"})

    ended = command.main(["--only", "dense"], tiny(OURS, tables=FLOORS["tables"], fetch=fallen))

    printed = capsys.readouterr().out
    assert ended == 1
    assert "MISSED dense: CPU per page, fetch to tables over botocore's bare fetch" in printed
    assert "MISSED dense: disqualified" in printed


def test_what_a_process_does_not_say_of_itself_is_no_figure_of_0() -> None:
    race = Race(DENSE, {OURS: [Lap(2.0, {"cpu_s": 1.5}, 0.1)]})

    assert (race.take(OURS, "process_s"), race.take(OURS, "cpu_s"), race.take("plain", "cpu_s")) == ([2.0], [1.5], [])
    with pytest.raises(KeyError):
        race.take(OURS, "cpu_seconds")


def test_a_broken_promise_is_a_missed_budget_of_the_part_that_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def proved(_size: scale.Size, _folder: Path) -> Findings:
        found = Findings("Scale")
        found.figures = dict.fromkeys(("wall/ideal", "sweep MB", "connections", "clients", "AssumeRole"), 1.0)
        found.promise(False, "213 scopes are wrongly stale")
        return found

    monkeypatch.setattr(scale, "prove", proved)
    told = {each.name: each.ok for each in suites.at_scale(TINY, tmp_path)}

    assert (told["scale: clients"], told["scale: promises broken"]) == (True, False)


def measured(value: float) -> Mapping[str, object]:
    return {"it": lambda _, folder: [figure(f"of {folder.is_dir()}", [value], "x", Budget(at_most=2.0))]}


@pytest.mark.parametrize(("value", "code"), [(1.9, 0), (2.1, 1)])
def test_a_missed_budget_ends_with_1(monkeypatch: pytest.MonkeyPatch, value: float, code: int) -> None:
    monkeypatch.setattr(command, "SUITES", measured(value))

    assert command.main([], TINY) == code


def test_an_unknown_name_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["--only", "spares"])

    assert ended.value.code == 2
    assert "unknown: spares; known: sparse" in capsys.readouterr().err


def test_a_ratio_is_that_of_the_medians_and_its_spread_that_of_the_rounds() -> None:
    assert ratio("r", [2.0, 4.0, 9.0], [1.0, 2.0, 3.0], Budget(at_least=2.0)) == Figure(
        name="r", value=2.0, budget=">= 2", ok=True, rounds=3, spread=(2.0, 3.0)
    )


def test_figures_replace_what_is_between_the_marks_and_older_ones_stay_with_their_date(tmp_path: Path) -> None:
    (tmp_path / "docs" / "images").mkdir(parents=True)
    for page in ("README.md", "docs/performance.md"):
        (tmp_path / page).write_text(f"before\n{publication.BEGIN}\nold\n{publication.END}\nafter\n")
    name = "dense: wall, plain script, public boto3 alone / ours"

    def told(value: float, at: str, *, of: str = name) -> dict[str, object]:
        here = {"at": at, "quick": False, "cores": 2, "load": [0.5], "versions": {"Python": "3.11"}}
        return {"figures": [record(figure(of, [value], budget=Budget(at_least=1.8)))], "environment": here}

    publication.render(told(1.5, "2026-01-01"), tmp_path)
    publication.render(told(2.5, "2026-01-02", of="another"), tmp_path)

    readme = (tmp_path / "README.md").read_text()
    whole = (tmp_path / "docs" / "performance.md").read_text()
    assert readme.splitlines()[-2:] == [publication.END, "after"]
    assert "1.50 x (missed)" in readme
    assert "another" not in readme
    assert "2026-01-01" in whole
    assert "2026-01-02" in whole
    assert (tmp_path / "docs" / "images" / "rivals.svg").read_text().startswith("<svg")


def test_what_is_published_is_what_was_measured_and_no_headline_lacks_its_figure(tmp_path: Path) -> None:
    pages = ("README.md", "docs/performance.md")
    (tmp_path / "docs" / "images").mkdir(parents=True)
    for page in (*pages, publication.KEPT):
        (tmp_path / page).write_text((publication.ROOT / page).read_text())
    here = {"at": "", "quick": False, "cores": 2, "load": [0.0], "versions": {}}
    publication.render({"figures": [], "environment": here}, tmp_path)
    names = {each["name"] for each in json.loads((tmp_path / publication.KEPT).read_text())}
    readme, whole = (
        [(place / page).read_text().splitlines() for place in (publication.ROOT, tmp_path)] for page in pages
    )

    assert readme[0] == readme[1]
    assert [line for line in whole[0] if line not in whole[1]][1:] == [], "but for what they were taken on"
    assert names >= set(publication.HEADLINES)


def test_figures_of_quick_runs_are_not_published(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "figures.json"
    file.write_text(json.dumps({"figures": [], "environment": {"quick": True}}))

    with pytest.raises(SystemExit) as ended:
        command.main(["--render", str(file)])

    assert ended.value.code == 2
    assert "figures.json: measured with --quick" in capsys.readouterr().err


def test_an_equal_number_of_other_values_is_no_equal_export() -> None:
    truth = Contents({"builders": 3}, {"builders": 17})

    assert Contents({"builders": 3}, {"builders": 17}).unlike(truth) is None
    assert Contents({"builders": 3}, {"builders": 18}).unlike(truth) == "other values in builders"
    assert (
        Contents({"builders": 2}, {"builders": 17}).unlike(truth) == "rows {'builders': 2} instead of {'builders': 3}"
    )


def test_a_commits_rival_writes_exactly_the_files_that_the_commit_leaves_behind(tmp_path: Path) -> None:
    store, seen = open_store(str(tmp_path), create=True), set[str]()
    for estate in commits.situations(200).values():
        draft = estate.write(store)
        made = estate.commit(store, draft)
        left = _parquet(tmp_path) - seen
        commits.write_rest(store, made, draft, Took())
        rest = _parquet(tmp_path) - seen - left

        fresh = {file.path for files in draft.files.values() for file in files}
        assert fresh | {path.replace("alone", paths.TABLES_FOLDER) for path in rest} == left
        seen |= left | rest


def _parquet(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*.parquet")}


def test_every_part_of_a_commit_is_one_that_takes_time() -> None:
    [table] = commits.by_part(100, 1).tables

    assert [row[0] for row in table.rows] == [*commits.PARTS]
    assert [part for part, *seconds in table.rows if not any(seconds)] == []


def test_a_run_tells_each_of_its_stages_what_it_cost(tmp_path: Path) -> None:
    world = World(accounts=1, items=2)
    with Aws(world) as aws, Exporter() as exporter:
        accounts = [by_role(account) for account in world.account_ids()]
        told = exporter.run(settings_of(aws.url, accounts, REGIONS[:1]), tmp_path, 60.0)

    stages = {name.removesuffix("_cpu_s") for name in told if name.endswith("_cpu_s")}
    assert {"sweep", "commit", "catalog", "checks", "feeds", "report"} < stages
    assert told["clients"] > 0
