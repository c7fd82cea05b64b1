"""Help and mistyped words: texts as goldens (UPDATE_GOLDENS=1 rewrites them), errors in one line."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from appstream_export import __version__
from appstream_export.cli.commands import COMMAND_MODULES
from appstream_export.cli.main import build_parser

GOLDENS = Path(__file__).parent / "goldens"
COMMANDS = (
    "",
    "demo",
    "emulate",
    "init",
    "settings",
    "settings show",
    "settings schema",
    "doctor",
    "plan",
    "run",
    "status",
    "sql",
    "query",
    "tables",
    "describe",
    "catalog",
    "feeds",
    "feeds publish",
    "feeds verify",
    "feeds diff",
    "report",
    "dashboard",
    "dashboard superset",
    "dashboard streamlit",
    "dashboard dbt",
    "verify",
    "repair",
    "expire",
    "gc",
    "erase",
    "contracts",
    "contracts lint",
    "contracts propose",
    "contracts render",
    "completion",
    "help",
)


def test_exit_codes_wrap_below_their_text(
    told: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    _, out, _ = told("--help")
    codes = out.partition("exit codes:\n")[2].partition("\n\n")[0].splitlines()

    assert max(map(len, codes)) <= 60
    assert [line[:7].strip() for line in codes if line[2] != " "] == ["0", "1", "2", "3", "4", "70", "130"]
    assert {line[:7] for line in codes if line[2] == " "} == {" " * 7}


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words or "all")
def test_help_is_what_the_golden_says(words: str, told: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = told(*words.split(), "--help")
    golden = GOLDENS / f"{words.replace(' ', '-') or 'appstream-export'}.txt"
    if os.environ.get("UPDATE_GOLDENS"):
        golden.write_text(out)

    assert code == 0
    assert out == golden.read_text()
    assert max(map(len, out.splitlines())) <= 80


def test_every_command_has_a_golden_and_no_golden_is_left_over(told: Callable[..., tuple[int, str, str]]) -> None:
    _, out, _ = told("--help")
    listed = [line.split()[0] for line in out.splitlines() if line.startswith("    ") and line[4] != " "]

    assert sorted({words.split()[0] for words in COMMANDS if words}) == sorted(set(listed) - {"COMMAND"})
    assert sorted(p.stem for p in GOLDENS.glob("*.txt")) == sorted(
        w.replace(" ", "-") or "appstream-export" for w in COMMANDS
    )


MISTYPED = [
    ("tabels", 'there is no "tabels"; did you mean "tables"?; see appstream-export --help'),
    ("run --acounts 1", 'unknown option "--acounts"; did you mean "--accounts"?; see appstream-export run --help'),
    ("run --account 1", 'unknown option "--account"; did you mean "--accounts"?; see appstream-export run --help'),
    ("run --page-size 0", '"0" is not a whole number from 1'),
    ("run --accounts 1,,2", '"1,,2" is not a list such as A,B'),
    ("emulate --port 70000", '"70000" is not a port from 0 to 65535'),
    ("sql select 1", 'unknown argument "1"; see appstream-export sql --help'),
    ("tables --format jsno", 'there is no "jsno"; did you mean "json"?'),
    ("tables --json --format csv", "not allowed with argument"),
    ("describe", "required: TABLE; see appstream-export describe --help"),
    ("describe builders", 'there is no table "builders"; did you mean "image_builders"?'),
    ("describe nothing-like-it", "list them: appstream-export tables"),
    ("contracts rendr", 'there is no "rendr"; did you mean "render"?'),
    ("contracts propose appstreem DescribeFleets", 'did you mean "appstream"?'),
]


@pytest.mark.parametrize(("words", "expected"), MISTYPED, ids=[words for words, _ in MISTYPED])
def test_a_mistyped_word_is_refused_in_one_line_that_helps(
    words: str, expected: str, told: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, err = told(*words.split())

    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("appstream-export: ")
    assert expected in err


@pytest.mark.parametrize(
    ("words", "old", "new"),
    [
        ("thin --dry-run", "thin", "expire"),
        ("run --force", "--force", "--accept-drop"),
        ("plan --regions eu-west-1 --force", "--force", "--accept-drop"),
        ("--force run", "--force", "--accept-drop"),
    ],
)
def test_a_word_of_an_earlier_version_is_answered_with_the_new_one(
    words: str, old: str, new: str, told: Callable[..., tuple[int, str, str]]
) -> None:
    assert told(*words.split()) == (2, "", f'appstream-export: "{old}" is now called "{new}"; rename it\n')


def test_a_command_describes_none_of_other_modules() -> None:
    for module, names in COMMAND_MODULES.items():
        for name in names.split():
            commands = build_parser(name)._subparsers
            assert commands is not None
            (action,) = commands._group_actions
            assert action.choices is not None
            assert sorted(action.choices) == sorted(names.split()), module


def test_without_a_command_the_help_comes_on_stderr(told: Callable[..., tuple[int, str, str]]) -> None:
    code, out, err = told()

    assert (code, out) == (2, "")
    assert err.startswith("usage: appstream-export")


def test_the_version(told: Callable[..., tuple[int, str, str]]) -> None:
    assert told("--version") == (0, f"appstream-export {__version__}\n", "")
