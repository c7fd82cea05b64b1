"""The line that opens the catalog with the program `duckdb` says how to get it where it is missing."""

from pathlib import Path

import pytest

from appstream_export.cli.console import format_duckdb_command

LINES = {
    ("duckdb", "uvx"): "duckdb -readonly x.duckdb",
    ("uvx", "pipx"): "uvx --from duckdb-cli duckdb -readonly x.duckdb",
    ("pipx",): "pipx run --spec duckdb-cli duckdb -readonly x.duckdb",
    (): "duckdb -readonly x.duckdb    # get it: pip install duckdb-cli",
}


@pytest.mark.parametrize("installed", LINES, ids=lambda names: "-".join(names) or "nothing")
def test_the_line_fits_what_is_installed(
    installed: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in installed:
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert format_duckdb_command("-readonly", "x.duckdb") == LINES[installed]
