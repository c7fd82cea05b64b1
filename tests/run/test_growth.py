"""What a publication opens and reads does not grow with the number of snapshots."""

import re
from collections import Counter
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from appstream_export.contracts import load_contracts
from appstream_export.lake.catalog import SharedConnection, shared as shared_connections
from appstream_export.lake.storage import LocalStore
from appstream_export.run import publish_stages
from appstream_export.settings import parse_settings
from tests.lake.lakes import A, Lake, builder, ok

STAGES = ("catalog", "checks", "feeds", "report")
LOGGED = ("logging_level = 'trace'", "enabled_log_types = 'FileSystem'", "logging_mode = 'enable_selected'")
DAY = 24.0


def publish(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Perform all stages as a run does; return how often DuckDB opened files of tables and kept parts, by folder."""
    opened, close = list[str](), SharedConnection.close

    def note_files(shared: SharedConnection) -> None:
        if shared._con:
            opened.extend(path for (path,) in shared._con.execute("select message from duckdb_logs").fetchall())
        close(shared)

    with monkeypatch.context() as patch:
        patch.setattr(shared_connections, "_OPTIONS", (*shared_connections._OPTIONS, *LOGGED, "enable_logging = true"))
        patch.setattr(SharedConnection, "close", note_files)
        mapping = {"warehouse": str(lake.store.root), "regions": ["eu-west-1"], "accounts": [{"id": A[:12]}]}
        mapping |= {"feeds": {"versions": ["v2"]}}
        result = publish_stages(parse_settings(mapping, Path("x.toml")), load_contracts(), STAGES, stop=Event())
    assert (result.checks_problem, result.feeds_problem, result.report_problem) == (None, None, None)
    paths = (re.search(r'"path":"[^"]*/((?:tables|kept)/\w+)/[^"]+","op":"OPEN"', line) for line in opened)
    return Counter(found[1] for found in paths if found)


def make_lake(folder: Path, per_month: int, months: int = 2) -> Lake:
    """A warehouse with so many snapshots in each of these months, in each of which a builder has changed."""
    lake = Lake(folder)
    for number in range(months * per_month):
        state: Any = ("RUNNING", "STOPPED")[number % 2]
        day = number % per_month + 31 * (number // per_month)
        lake.commit_at(day * DAY, ok(A, builder("a", state=state)))
    return lake


@pytest.mark.slow
def test_a_publication_opens_no_more_files_with_twice_the_snapshots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few, many = make_lake(tmp_path / "few", 7), make_lake(tmp_path / "many", 17)
    for lake in (few, many):
        publish(lake, monkeypatch)  # writes what later ones read

    before, after = publish(few, monkeypatch), publish(many, monkeypatch)
    assert before["tables/image_builder_changes"] > 10, "the newest month's files are read one by one"
    assert {name for name in after if after[name] > before[name] and name.startswith("tables/")} == set()
    assert after.total() <= before.total(), (before, after)


def count_reads(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Publish and return how often this program itself read files of tables and kept parts, by folder."""
    read = Counter[str]()
    with monkeypatch.context() as patch:
        for name in ("read_bytes", "read_tail", "compute_digest", "fetch"):
            known = getattr(LocalStore, name)

            def note(store: LocalStore, path: str, *args: Any, known: Any = known) -> Any:
                if path.startswith(("tables/", "kept/")):
                    read["/".join(path.split("/")[:2])] += 1
                return known(store, path, *args)

            patch.setattr(LocalStore, name, note)
        publish(lake, monkeypatch)
    return read


@pytest.mark.slow
def test_a_publication_reads_no_more_files_itself_after_twelve_months_than_after_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    young, old = make_lake(tmp_path / "young", 2), make_lake(tmp_path / "old", 2, months=12)
    for lake in (young, old):
        publish(lake, monkeypatch)  # writes what later ones read

    before, after = count_reads(young, monkeypatch), count_reads(old, monkeypatch)
    assert before["kept/bi_duckdb"] == 1, "the facts of past months are copied"
    assert after == before
