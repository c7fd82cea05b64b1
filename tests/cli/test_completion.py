"""The script of `completion`, in a real bash."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from appstream_export.cli.commands.completion import build_complete_parser
from appstream_export.cli.main import build_parser

Told = Callable[..., tuple[int, str, str]]
# What is typed, and what Tab offers.
OFFERED = {
    "qu": "query",
    "query running_o": "running_over",
    "describe image_builder_o": "image_builder_overview",
    "run --acc": "--accounts --accept-drop",
    "contracts pro": "propose",
    "tables --format nd": "ndjson",
    "sql -f q.": "q.sql",
    "init --dir fol": "folder",
    "help set": "settings",
    "run --resources im": "image_builders",
}
COMPLETE = """
source completion.bash
COMP_WORDS=(appstream-export "$@"); COMP_CWORD=$#; COMP_LINE="${COMP_WORDS[*]}"; COMP_POINT=${#COMP_LINE}
$(complete -p appstream-export | sed 's/.*-F \\(\\S*\\) .*/\\1/')
echo "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the script, a file and a folder."""
    folder = tmp_path_factory.mktemp("completion")
    (folder / "q.sql").touch()
    (folder / "folder").mkdir()
    return folder


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_commands_options_files_tables_and_named_queries(folder: Path, told: Told) -> None:
    code, script, err = told("completion", "bash")
    (folder / "completion.bash").write_text(script)
    offered = {}
    for typed in OFFERED:
        done = subprocess.run(["bash", "--norc", "-c", COMPLETE, "bash", *typed.split()],
                              cwd=folder, capture_output=True, text=True, check=True)  # fmt: skip
        offered[typed] = done.stdout.strip()

    assert (code, err) == (0, "")
    assert offered == OFFERED


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_a_script_too(shell: str, told: Told) -> None:
    code, script, err = told("completion", shell)

    assert (code, err) == (0, "")
    assert "running_over" in script
    assert "image_builder_overview" in script


def test_it_knows_the_options_and_commands_of_the_program() -> None:
    ours, whole = build_complete_parser(), build_parser()

    assert [action.option_strings for action in ours._actions] == [action.option_strings for action in whole._actions]
    assert [*ours._subparsers._group_actions[0].choices] == [*whole._subparsers._group_actions[0].choices]  # ty: ignore
