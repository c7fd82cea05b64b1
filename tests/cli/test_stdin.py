"""A statement from stdin, whatever a shell or an editor made of it: read, or refused in one line."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import clean_environment
from tests.lake.lakes import A, Lake, builder, ok


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lake = Lake(tmp_path_factory.mktemp("lake") / "warehouse")
    lake.commit(ok(A, builder("a")))
    return lake.publish().parent


def ask(warehouse: Path, stdin: str, *words: bytes | str) -> tuple[int, str, str]:
    """`sql` with a shell's redirection of stdin."""
    program = f'exec "$0" -m appstream_export.cli.main sql --warehouse {warehouse} "$@" {stdin}'
    ran = subprocess.run(
        ["bash", "-c", program, sys.executable, *words],
        capture_output=True, text=True, env=clean_environment(), check=False, timeout=240,
    )  # fmt: skip
    return ran.returncode, ran.stdout, ran.stderr


STATEMENT = "select 'Zürich' as town from image_builders\r\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_statement_of_any_editor_is_read(encoding: str, warehouse: Path, tmp_path: Path) -> None:
    (tmp_path / "q.sql").write_bytes(STATEMENT.encode(encoding))

    assert ask(warehouse, f"< {tmp_path / 'q.sql'}", "-", "--format", "csv")[:2] == (0, "town\nZürich\n")


@pytest.mark.parametrize(
    ("stdin", "word", "complaint"),
    [
        ("< FOLDER/latin.sql", "-", "stdin: line 1 is not in UTF-8: save it in UTF-8; pipe one statement in"),
        ("<&-", "-", "one statement at a time"),
        ("< /dev/null", "-", "one statement at a time"),
        ("< /dev/null", b"select '\xff'", "the statement or a parameter is not in UTF-8"),
    ],
)
def test_what_is_no_statement_is_one_line(
    stdin: str, word: str | bytes, complaint: str, warehouse: Path, tmp_path: Path
) -> None:
    (tmp_path / "latin.sql").write_bytes(STATEMENT.encode("latin-1"))
    code, out, err = ask(warehouse, stdin.replace("FOLDER", str(tmp_path)), word)

    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert complaint in err
