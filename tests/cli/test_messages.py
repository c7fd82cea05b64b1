"""Messages that fit: the permission and its file, the command as this copy is started, colours only on a terminal."""

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from appstream_export.cli import console
from appstream_export.cli.main import build_parser
from tests.cli.conftest import clean_environment
from tests.lake.lakes import A, Lake, builder, ok

Told = Callable[..., tuple[int, str, str]]
# Once as root, which imports what that user may not be able to read; then as a user whom modes refuse.
AS_ANOTHER_USER = """
import contextlib, io, os, sys
from appstream_export.cli.main import main
denied, *words = sys.argv[1:]
with contextlib.redirect_stdout(io.StringIO()):
    main(words)
os.chmod(denied, 0)
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
sys.exit(main(words))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("denied", "fix"),
    [
        ("warehouse", "give this user execute permission on the folder {}"),
        ("warehouse/commits", "give this user {} permission on {}"),
        ("warehouse/commits/*.json", "give this user read permission on {}"),
    ],
)
@pytest.mark.parametrize("command", ["status", "verify"])
def test_a_reading_command_names_the_permission_and_the_file(command: str, denied: str, fix: str) -> None:
    with TemporaryDirectory() as folder:
        lake = Lake(Path(folder) / "warehouse", file_mode=0o644)
        lake.commit(ok(A, builder("a")))
        Path(folder).chmod(0o755)
        for place in [lake.store.root, *lake.store.root.rglob("*")]:
            place.chmod(0o755 if place.is_dir() else 0o644)
        (place,) = Path(folder).glob(denied)
        ran = subprocess.run(
            [sys.executable, "-c", AS_ANOTHER_USER, str(place), command, "--warehouse", str(lake.store.root)],
            capture_output=True, text=True, check=False, cwd=folder, env=clean_environment(),
        )  # fmt: skip

    assert (ran.returncode in (2, 4), ran.stderr.count("\n")) == (True, 1), ran.stderr
    assert "Permission denied; give this user " in ran.stderr
    assert ran.stderr.rstrip().endswith(f" {place}")
    assert fix.partition("{}")[0] in ran.stderr


def test_a_command_in_a_message_is_written_as_this_copy_is_started(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    said = told("sql", "select 1", "--warehouse", "/nowhere/at/all")[2]
    monkeypatch.setenv("UV_RUN_RECURSION_DEPTH", "1")

    assert said.endswith("make one with: appstream-export run\n")
    assert told("sql", "select 1", "--warehouse", "/nowhere/at/all")[2] == said.replace(
        "with: appstream-export", "with: uv run appstream-export"
    )


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_help_and_errors_have_colours_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = build_parser("sql").format_help()
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setattr(sys, "stderr", Terminal())
    coloured = build_parser("sql").format_help()
    console.log_line(console.render_problem("a.toml line 4: [extract] workers: 0 is not a whole number"))
    monkeypatch.setenv("NO_COLOR", "1")

    assert "\x1b" not in plain + build_parser("sql").format_help()
    assert "\x1b[36m--config\x1b[0m" in coloured
    assert "\x1b[1moptions:\x1b[0m" in coloured
    assert console.strip_control_characters(coloured) == console.strip_control_characters(plain)
    assert isinstance(sys.stderr, Terminal)
    assert sys.stderr.getvalue() == (
        "\x1b[1;31mappstream-export:\x1b[0m \x1b[1ma.toml line 4\x1b[0m: [extract] workers: 0 is not a whole number\n"
    )
