"""`sql -f FILE` and `-o FILE`: a statement from a file, a result that is complete or not there."""

import json
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.lake.lakes import A, Lake, builder, ok

Told = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> str:
    lake = Lake(tmp_path_factory.mktemp("lake") / "warehouse")
    lake.commit(ok(A, builder("a"), builder("b")))
    return str(lake.publish().parent)


@pytest.fixture
def asked(warehouse: str, told: Told) -> Told:
    return lambda *words: told(*words, "--warehouse", warehouse)


def test_a_statement_is_read_from_a_file(asked: Told, tmp_path: Path) -> None:
    (tmp_path / "q.sql").write_text("-- two builders\nselect name\nfrom image_builders order by 1;\n")

    assert asked("sql", "-f", str(tmp_path / "q.sql"), "--format", "csv") == (0, "name\r\na\r\nb\r\n", "")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("-f", "none.sql"), "none.sql: No such file or directory; name a file with one statement, in UTF-8"),
        (("-f", "."), ".: Is a directory; name a file with one statement, in UTF-8"),
        (("-f", "q.sql", "select 1"), "--file and a statement are given; give one of them"),
        (("select 1", "-o", "x.xlsx"), 'x.xlsx: no format has the suffix ".xlsx"; name the format too: --format KIND'),
        (("select 1", "-o", "none/x.csv"), "none/x.csv: No such file or directory; name a file that can be written"),
        (("select 1", "-o", "/dev/full", "--format", "csv"), "/dev/full: "),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(
    words: tuple[str, ...], complaint: str, asked: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = asked("sql", *words)

    assert (code, out, err.count("\n")) == (2, "", 1)
    assert complaint in err
    assert list(tmp_path.iterdir()) == []


def test_the_suffix_names_the_format_and_a_flag_overrides_it(asked: Told, tmp_path: Path) -> None:
    sql, results = "select name from image_builders order by name", {}
    for name in ("r.csv", "r.json", "r.jsonl", "r.md", "r.txt", "r.parquet"):
        assert asked("sql", sql, "-o", str(tmp_path / name)) == (0, "", "")
        results[name] = (tmp_path / name).read_bytes()
    asked("sql", sql, "-o", str(tmp_path / "r.dat"), "--json")
    rows = [{"name": "a"}, {"name": "b"}]

    assert results["r.csv"] == b"name\r\na\r\nb\r\n"
    assert json.loads(results["r.json"]) == json.loads((tmp_path / "r.dat").read_text()) == rows
    assert results["r.jsonl"] == b'{"name":"a"}\n{"name":"b"}\n'
    assert results["r.md"].startswith(b"| name |\n")
    assert results["r.txt"].startswith(b"name\n----\na\n")
    assert pq.read_table(tmp_path / "r.parquet").to_pylist() == rows


def test_a_named_query_writes_a_file_too(asked: Told, tmp_path: Path) -> None:
    assert asked("query", "what_we_have", "-o", str(tmp_path / "r.csv")) == (0, "", "")
    assert (tmp_path / "r.csv").read_text().startswith("account,builders,")


def test_a_failed_statement_leaves_the_earlier_file_and_no_draft(asked: Told, tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("earlier")
    code, _, err = asked("sql", "select error(name) from image_builders", "-o", str(tmp_path / "r.csv"))

    assert (code, err.count("\n")) == (2, 1)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("r.csv", "earlier")]


def test_a_link_keeps_pointing_to_its_file_and_the_umask_decides_who_may_read(asked: Told, tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to("real.csv")
    mask = os.umask(0o027)
    try:
        asked("sql", "select 1 as n", "-o", str(tmp_path / "link.csv"))
    finally:
        os.umask(mask)

    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text() == "n\n1\n"
    assert stat.S_IMODE((tmp_path / "real.csv").stat().st_mode) == 0o640


def test_a_pipe_is_written_to_and_not_replaced(asked: Told, tmp_path: Path) -> None:
    pipe, received = tmp_path / "pipe.csv", list[str]()
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: received.append(pipe.read_text()))
    reader.start()
    assert asked("sql", "select 1 as n", "-o", str(pipe))[0] == 0
    reader.join()

    assert received == ["n\n1\n"]
    assert pipe.is_fifo()
