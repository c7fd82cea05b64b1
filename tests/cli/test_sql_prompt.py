"""The prompt of `sql`, with keys as a terminal sends them."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from appstream_export.cli import sql_prompt
from appstream_export.cli.sql_prompt import SqlCompleter, SqlShell, is_complete, run_prompt
from appstream_export.cli.target import Target
from tests.lake.lakes import A, Lake, builder, ok

Type = Callable[..., tuple[str, str]]
ENTER, CTRL_C, CTRL_D, UP = "\r", "\x03", "\x04", "\x1b[A"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake(tmp_path_factory.mktemp("lake") / "warehouse")
    lake.commit(ok(A, builder("a"), builder("b")))
    lake.publish()
    return lake


@pytest.fixture
def typed(lake: Lake, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Type:
    """Type keys at a prompt until it ends: stdout and stderr."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def run(keys: str, kind: str = "csv") -> tuple[str, str]:
        with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
            pipe.send_text(keys)
            assert run_prompt(Target(str(lake.store.root)), as_of=None, kind=kind, limit={}) == 0
        said = capsys.readouterr()
        return said.out.partition(".quit ends.\n")[2].replace("\r\n", "\n"), said.err

    return run


@pytest.fixture(scope="module")
def shell(lake: Lake) -> Iterator[SqlShell]:
    with SqlShell(Target(str(lake.store.root)), None, "table") as shell:
        yield shell


def test_a_statement_ends_with_a_semicolon_and_may_have_several_lines(typed: Type) -> None:
    keys = f"select name{ENTER}from image_builders{ENTER}order by 1;{ENTER}.quit{ENTER}"

    assert typed(keys) == ("name\na\nb\n", "")


def test_a_mistake_is_one_line_and_the_prompt_goes_on(typed: Type) -> None:
    mistakes = "from image_bilders;", "delete from image_builders;", ".fromat", ".query what_we_have top"
    out, err = typed("".join(text + ENTER for text in mistakes) + f"select 1 as a; select 2 as b;{ENTER}{CTRL_D}")

    assert out == "a\n1\nb\n2\n"
    assert err.splitlines() == [
        'appstream-export: there is no table "image_bilders"; did you mean "image_builders"?',
        "appstream-export: only statements that read are allowed: SELECT, or EXPLAIN of a SELECT",
        'appstream-export: there is no command ".fromat"; did you mean ".format"?',
        'appstream-export: "top" is not like hours=12',
    ]


def test_ctrl_c_discards_the_line_and_ctrl_d_ends(typed: Type) -> None:
    assert typed(f"select 'never';{CTRL_C}{CTRL_D}") == ("", "")


@pytest.mark.slow
def test_the_commands_with_a_dot(typed: Type) -> None:
    keys = ".tables", ".schema image_builders", ".query", ".query what_we_have top=1", ".format", ".refresh", ".help"
    out, err = typed("".join(key + ENTER for key in keys) + CTRL_D)

    assert err == ""
    assert "image_builder_errors" in out
    assert "column,type," in out
    assert "running_over" in out
    assert "account,builders," in out
    assert "format: csv" in out
    assert ".refresh " in out


@pytest.mark.slow
def test_refresh_shows_what_was_committed_since(typed: Type, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = "select count(*) as n from image_builders;" + ENTER
    handle = SqlShell.handle

    def commit_before(shell: SqlShell, text: str) -> None:
        if text == ".refresh":
            lake.commit(ok(A, builder("a"), builder("b"), builder("c")))
            lake.publish()
        handle(shell, text)

    monkeypatch.setattr(SqlShell, "handle", commit_before)

    assert typed(f"{counts}.refresh{ENTER}{counts}{CTRL_D}")[0] == "n\n2\nn\n3\n"


def test_the_history_of_earlier_sessions_is_there_and_private(typed: Type, tmp_path: Path) -> None:
    typed(f"select 42 as remembered;{ENTER}{CTRL_D}")
    out, _ = typed(f"{UP}{ENTER}{CTRL_D}")
    file = tmp_path / "appstream-export" / "sql_history"

    assert out == "remembered\n42\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.slow
def test_without_a_folder_for_the_history_the_prompt_works(typed: Type, tmp_path: Path) -> None:
    (tmp_path / "appstream-export").write_text("a file")

    assert typed(f"select 1 as n;{ENTER}{CTRL_D}")[0] == "n\n1\n"


COMPLETIONS = {
    "from image_builder_ov": ["image_builder_overview"],
    "select b.root_v| from image_builders as b": ["root_volume_size_gb"],
    "select image_builders.root_v": ["root_volume_size_gb"],
    "select root_v| from image_builders": ["root_volume_size_gb"],
    "from image_builders gro": ["group"],
    ".sch": [".schema"],
    ".schema image_builder_ov": ["image_builder_overview"],
    ".query running_o": ["running_over"],
    ".format nd": ["ndjson"],
}


@pytest.mark.parametrize("text", COMPLETIONS)
def test_words_are_completed(text: str, shell: SqlShell) -> None:
    before, _, after = text.partition("|")
    found = SqlCompleter(shell).get_completions(Document(before + after, len(before)), CompleteEvent())

    assert [completion.text for completion in found] == COMPLETIONS[text]


@pytest.mark.parametrize(
    "text", ["", "  ", "select 1;", ".tables", "select ';' ;", "select 1; -- done", "select 1; /* ; */"]
)
def test_enter_runs_what_is_complete(text: str) -> None:
    assert is_complete(text)


@pytest.mark.parametrize(
    "text", ["select 1", "select ';", "select 1 -- ;", "select 1; /* ", 'select ";', "select 'a'';"]
)
def test_enter_continues_what_is_not(text: str) -> None:
    assert not is_complete(text)


def test_a_long_result_goes_through_the_pager(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    paged = list[str]()
    monkeypatch.setattr(sql_prompt.pydoc, "pager", paged.append)
    monkeypatch.setenv("LINES", "24")
    sql_prompt.print_paged(lambda: print("\n" * 22))  # noqa: T201
    sql_prompt.print_paged(lambda: print("\n" * 23))  # noqa: T201

    assert paged == ["\n" * 24]
    assert capfd.readouterr().out == "\n" * 23


def test_a_statement_of_the_command_line_does_not_import_the_prompt(lake: Lake) -> None:
    program = (
        "import sys; from appstream_export.cli.main import main; main(sys.argv[1:]);"
        "print([name for name in ('prompt_toolkit', 'pygments', 'shtab') if name in sys.modules], file=sys.stderr)"
    )
    words = ("sql", "select 1 as n", "--warehouse", str(lake.store.root))
    ran = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=True,
                         env=os.environ | {"APPSTREAM_EXPORT_WAREHOUSE": ""})  # fmt: skip

    assert (ran.stdout.splitlines()[2].strip(), ran.stderr) == ("1", "[]\n")
