"""Two versions on one warehouse: forth, back and forth again, as docs/operations.md describes it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from appstream_export.emulator import Emulator, make_image_builder
from benchmarks.releases import OLD, find_command
from tests.cli.conftest import clean_environment

SCOPES = ("111122223333/eu-west-1", "111122223333/us-east-1")
SETTINGS = """
warehouse = "warehouse"
regions = ["eu-west-1", "us-east-1"]
accounts = [{{ id = "111122223333", role_arn = "arn:aws:iam::111122223333:role/reader" }}]
[aws]
endpoint_url = "{url}"
[extract]
max_attempts = 1
"""


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command of an older version, installed from its commit."""
    command = find_command(tmp_path_factory.mktemp("old") / OLD)
    if command is None:
        pytest.skip(f"version {OLD} cannot be had: this checkout lacks its commit, or no index answers")
    return command


@pytest.mark.long
def test_versions_take_turns_on_one_warehouse(old: Path, aws: Emulator, tmp_path: Path) -> None:
    (tmp_path / "appstream-export.toml").write_text(SETTINGS.format(url=aws.endpoint_url))
    new = [sys.executable, "-m", "appstream_export.cli.main"]

    def call(program: list[str], *words: str) -> subprocess.CompletedProcess[str]:
        environ = clean_environment()
        environ.pop("PYTHONPATH") if program == [str(old)] else None
        return subprocess.run(
            [*program, *words], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, timeout=240
        )

    def builders(program: list[str]) -> list[str]:
        done = call(program, "sql", "select name from image_builders order by name", "--json")
        assert done.returncode == 0, done.stderr
        return [row["name"] for row in json.loads(done.stdout)]

    ran = list[tuple[int, int]]()
    for number, program in enumerate([[str(old)], new, [str(old)], new], 1):
        for scope in SCOPES:
            aws.put(scope, make_image_builder(f"b{number}", scope=scope))
        done = call(program, "run", "--json")
        assert done.returncode == 0, done.stderr
        ran.append((number, json.loads(done.stdout)["seq"]))
        expected = sorted([f"b{n}" for n in range(1, number + 1)] * len(SCOPES))
        assert (builders([str(old)]), builders(new)) == (expected, expected)
    verified = [call(program, "verify") for program in (new, [str(old)])]
    history = call(new, "sql", "select tool_version from snapshots order by seq", "--json")
    changes = call(new, "sql", "select name from image_builder_changes_history where change = 'deleted'", "--json")

    assert ran == [(n, n) for n in range(1, 5)]
    assert [done.returncode for done in verified] == [0, 0], [done.stdout for done in verified]
    assert [row["tool_version"] for row in json.loads(history.stdout)][::2] == [OLD] * 2
    assert json.loads(changes.stdout) == []
