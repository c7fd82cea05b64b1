"""Modes of files: every file and folder of a warehouse has the mode that docs/security.md gives it."""

import os
import re
import stat
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.export import Export
from tests.factories import image_builder

_ROW = re.compile(r"^\| (?P<names>`[^|]+`) \| [^|]+ \| (?P<mode>0\d{3}) \|$", re.MULTILINE)


def documented_modes() -> dict[str, int]:
    """Pattern of a path → its mode, as the table says; the first pattern that fits counts."""
    text = Path("docs/security.md").read_text()
    return {name: int(row["mode"], 8) for row in _ROW.finditer(text) for name in re.findall(r"`([^`]+)`", row["names"])}


def modes_in(warehouse: Path) -> Iterator[tuple[str, int]]:
    """Path and mode of everything below the warehouse, itself included; folders end with a slash."""
    for place in (warehouse, *warehouse.rglob("*")):
        if not place.is_symlink():
            relative = place.relative_to(warehouse.parent).as_posix()
            yield relative + "/" * place.is_dir(), stat.S_IMODE(place.lstat().st_mode)


@pytest.mark.slow
@pytest.mark.parametrize("umask", [0o022, pytest.param(0o077, marks=pytest.mark.slow)], ids=oct)
def test_every_file_of_a_warehouse_has_the_mode_that_the_docs_give_it(export: Export, umask: int) -> None:
    export.more = {"feeds": {"csv": True}}
    export.aws.put("111122223333/eu-west-1", image_builder("a"))
    documented, before = documented_modes(), os.umask(umask)
    try:
        assert export.run().exit_code == 0
    finally:
        os.umask(before)

    used, found = set[str](), dict(modes_in(Path(export.warehouse)))
    for path, mode in found.items():
        pattern = next((pattern for pattern in documented if fnmatch(path, pattern)), None)
        assert pattern, f"{path} is in no row of docs/security.md"
        assert oct(mode) == oct(documented[pattern]), path
        used.add(pattern)
    # Only of sharded runs, of erases, and once a month has passed:
    others = {"warehouse/handed/*.json", "warehouse/erased/*.json", "warehouse/kept/*"}
    assert used == documented.keys() - others, "every row of the table is about something that a run leaves"
