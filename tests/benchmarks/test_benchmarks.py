"""The benchmark command on tiny sizes: rows are compared, a rival that loses some is out, budgets decide its end."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from appstream_export.lake.storage import paths
from appstream_export.lake.storage.factory import open_store
from benchmarks import __main__ as command, commit as commits, publication, races, releases, suites
from benchmarks.children import Aws, Exporter, Unreachable
from benchmarks.contents import Contents
from benchmarks.estate import Took
from benchmarks.figures import Figure, make_figure, make_ratio
from benchmarks.findings import Findings
from benchmarks.more_resources import measure_more_resources
from benchmarks.proofs import scale
from benchmarks.race import DENSE, SPARSE, WIDE, Lap, Race, Size, shrink
from benchmarks.rivals import FLOORS, OURS, PUBLISHED, RIVALS, Rival
from benchmarks.warehouse import by_role, mismatches, seen, settings_of
from benchmarks.world import REGIONS, World

WITHOUT_DLT = (OURS, "plain", "duckdb")
TINY = replace(
    shrink(Size(dlt_python=Path(sys.executable))),
    sparse=replace(SPARSE, accounts=2, regions=2, items=3),
    dense=replace(DENSE, accounts=1, regions=2, items=60),
    wide=replace(WIDE, accounts=2, regions=1),
)


def tiny(*names: str, **more: Rival) -> Size:
    return replace(TINY, rivals={name: RIVALS[name] for name in names} | more)


@pytest.mark.long
def test_rivals_leave_equal_rows_and_the_json_says_what_was_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "figures.json"

    ended = command.main(["--only", "dense", "--json", str(file)], tiny(*WITHOUT_DLT))

    told = json.loads(file.read_text())
    printed = capsys.readouterr().out
    assert ended == 0
    assert printed.count("| equal |") == len(WITHOUT_DLT)
    assert "DISQUALIFIED" not in printed
    assert set(told) == {"figures", "environment"}
    assert {tuple(each) for each in told["figures"]} == {("name", "value", "unit", "budget", "ok", "rounds", "spread")}
    assert {"versions", "cores", "load"} <= set(told["environment"])


@pytest.mark.long
def test_who_loses_rows_is_disqualified_loudly_and_its_budget_is_missed(capsys: pytest.CaptureFixture[str]) -> None:
    forgetful = replace(RIVALS["plain"], more={"accounts": []})

    ended = command.main(["--only", "sparse"], tiny(OURS, plain=forgetful))

    printed = capsys.readouterr().out
    assert ended == 1
    assert "DISQUALIFIED a plain boto3 script (sparse)" in printed
    assert "MISSED sparse: our time / time of a plain boto3 script" in printed


@pytest.mark.long
def test_a_budget_whose_rival_did_not_end_is_missed_and_who_is_out_counts_without_a_budget_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    fallen = replace(FLOORS["fetch"], module="none")

    ended = command.main(["--only", "calls", "--only", "dense"], tiny(OURS, tables=FLOORS["tables"], fetch=fallen))

    printed = capsys.readouterr().out
    assert ended == 1
    assert "MISSED CPU per call and page of 16 builders, fetch to tables / botocore's call alone" in printed
    assert "MISSED dense: disqualified" in printed


@pytest.mark.long
@pytest.mark.parametrize("has_release", [True, False])
def test_whole_runs_are_compared_with_an_older_version_if_its_commit_is_there(
    has_release: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_release:
        monkeypatch.setattr(releases, "OLD_COMMIT", "0" * 40)
        monkeypatch.setattr(races, "ROOT", tmp_path)  # so that no earlier installation is found
    file = tmp_path / "figures.json"

    command.main(["--only", "whole", "--json", str(file)], tiny(PUBLISHED, "plain"))

    names = {each["name"] for each in json.loads(file.read_text())["figures"]}
    printed = capsys.readouterr().out
    assert "DISQUALIFIED" not in printed
    assert printed.count("| equal |") == (8 if has_release else 5)
    assert {"sparse: time of a whole run / time of a plain boto3 script", "dense: CPU of a whole run's feeds"} < names
    assert ("dense: CPU after the sweep / that of version 0.3.0" in names) is has_release
    assert ("Without version 0.3.0: this checkout lacks the commit" in printed) is not has_release


def test_a_copy_of_the_sources_without_a_history_has_no_older_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releases, "ROOT", tmp_path)

    with pytest.raises(Unreachable, match="this checkout lacks the commit"):
        releases.install_release(tmp_path / "old")


def test_whole_runs_are_judged_by_what_follows_the_sweep_and_by_their_time_and_memory() -> None:
    costs = {"after_cpu_s": 2.0, "peak_mb": 300.0}
    laps = {PUBLISHED: costs, "plain": {"peak_mb": 500.0}, releases.OLD: {"after_cpu_s": 4.0, "peak_mb": 600.0}}
    race = Race(DENSE, {name: [Lap(3.0 if name == PUBLISHED else 9.0, own, 0.1)] for name, own in laps.items()})

    found = {each.name: (each.value, each.ok) for each in races.compare_whole_runs(race, laps, is_timed=True)}

    assert found == {
        "dense: CPU after the sweep / that of version 0.3.0": (0.5, False),
        "dense: time of a whole run / time of a plain boto3 script": (0.3333, True),
        "dense: time of a whole run / that of version 0.3.0": (0.3333, None),
        "dense: peak memory of a whole run / that of version 0.3.0": (0.5, None),
        "dense: peak memory of a whole run": (300.0, True),
        "dense: whole runs disqualified": (0, True),
    }


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
        found.figures = dict.fromkeys(
            ("wall/ideal", "sweep CPU", "sweep MB", "connections", "clients", "AssumeRole"), 1.0
        )
        found.promise(False, "213 scopes are wrongly stale")
        return found

    monkeypatch.setattr(scale, "prove", proved)
    told = {each.name: each.ok for each in suites.measure_scale(TINY, tmp_path)}

    assert (told["scale: clients"], told["scale: promises broken"]) == (True, False)


def measured(value: float) -> Mapping[str, object]:
    return {"it": lambda _, folder: [make_figure(f"of {folder.is_dir()}", [value], "x", 2.0)]}


@pytest.mark.parametrize(("value", "code"), [(1.9, 0), (2.1, 1)])
def test_a_missed_budget_ends_with_1(monkeypatch: pytest.MonkeyPatch, value: float, code: int) -> None:
    monkeypatch.setattr(command, "SUITES", measured(value))

    assert command.main([], TINY) == code


def test_an_unknown_name_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["--only", "spares"])

    assert ended.value.code == 2
    assert "unknown: spares; known: whole, sparse" in capsys.readouterr().err


def test_a_ratio_is_that_of_the_medians_and_its_spread_that_of_the_rounds() -> None:
    assert make_ratio("r", [2.0, 4.0, 9.0], [1.0, 2.0, 3.0], 2.0) == Figure(
        name="r", value=2.0, budget="<= 2", ok=True, rounds=3, spread=(2.0, 3.0)
    )


def test_figures_replace_what_is_between_the_marks_and_older_ones_stay_with_their_date(tmp_path: Path) -> None:
    (tmp_path / "docs" / "images").mkdir(parents=True)
    for page in ("README.md", "docs/performance.md"):
        (tmp_path / page).write_text(f"before\n{publication.BEGIN}\nold\n{publication.END}\nafter\n")
    name = "dense: our time / time of a plain boto3 script"

    def told(value: float, at: str, *, of: str = name) -> dict[str, object]:
        here = {"at": at, "quick": False, "cores": 2, "load": [0.5], "versions": {"Python": "3.11"}}
        return {"figures": [asdict(make_figure(of, [value], at_most=0.55))], "environment": here}

    publication.render(told(0.75, "2026-01-01"), tmp_path)
    publication.render(told(0.5, "2026-01-02", of="another"), tmp_path)

    readme = (tmp_path / "README.md").read_text()
    whole = (tmp_path / "docs" / "performance.md").read_text()
    assert readme.splitlines()[-2:] == [publication.END, "after"]
    assert "0.75 x (missed)" in readme
    assert "another" not in readme
    assert "2026-01-01" in whole
    assert "2026-01-02" in whole


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
    unmeasured = {"peak memory at 1,000,000 items / at 10,000"}  # in its new form
    assert set(publication.HEADLINES) - names == unmeasured


def test_figures_of_quick_runs_are_not_published(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "figures.json"
    file.write_text(json.dumps({"figures": [], "environment": {"quick": True}}))

    with pytest.raises(SystemExit) as ended:
        command.main(["--render", str(file)])

    assert ended.value.code == 2
    assert "figures.json: measured with --quick" in capsys.readouterr().err


def test_an_equal_number_of_other_values_is_no_equal_export() -> None:
    truth = Contents({"builders": 3}, {"builders": 17})

    assert Contents({"builders": 3}, {"builders": 17}).describe_difference(truth) is None
    assert Contents({"builders": 3}, {"builders": 18}).describe_difference(truth) == "other values in builders"
    assert (
        Contents({"builders": 2}, {"builders": 17}).describe_difference(truth)
        == "rows {'builders': 2} instead of {'builders': 3}"
    )


@pytest.mark.slow
def test_a_commits_rival_writes_exactly_the_files_that_the_commit_leaves_behind(tmp_path: Path) -> None:
    store, seen = open_store(str(tmp_path), create=True), set[str]()
    for estate in commits.list_situations(200).values():
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


def run_export(folder: Path, world: World, shards: int = 1) -> dict[str, float]:
    with Aws(world) as aws, Exporter() as exporter:
        accounts = [by_role(account) for account in world.account_ids()]
        return exporter.run(settings_of(aws.url, accounts, REGIONS[:1]), folder, 300.0, shards)


@pytest.mark.slow
def test_an_export_reports_the_costs_of_each_stage(tmp_path: Path) -> None:
    costs = run_export(tmp_path, World(accounts=1, items=2))

    stages = {name.removesuffix("_cpu_s") for name in costs if name.endswith("_cpu_s")}
    assert {"sweep", "commit", "catalog", "checks", "feeds", "report"} < stages
    assert costs["clients"] > 0


@pytest.mark.long
def test_shards_leave_every_builder_in_one_snapshot(tmp_path: Path) -> None:
    world = World(accounts=4, items=2)

    costs = run_export(tmp_path, world, shards=2)

    assert mismatches(seen(tmp_path / "warehouse"), world) == []
    assert costs["sweep_s"] > 0


@pytest.mark.long
def test_tags_and_images_take_one_call_per_scope_each_and_their_rows_arrive(tmp_path: Path) -> None:
    size = scale.Size(accounts=3, regions=2, workers=4, latency_ms=(1, 2), is_timed=False)
    found = {each.name.partition(": ")[2]: each for each in measure_more_resources(size, tmp_path)}

    assert (found["calls"].value, found["wrong calls or rows"].value) == (18, 0)
