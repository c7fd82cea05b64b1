"""Read the end of support of platforms as rows of the table `platform_support`.

The list that we ship has only dates that a public page states, each with that page and the day on which it was read.
`[feeds] platform_support` names another list in its place.
"""

import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from appstream_export.errors import SettingsError
from appstream_export.inputs.csv import Cells, parse_csv_day, read_csv_rows

SHIPPED_FILE = Path(__file__).with_name("platform_support.csv")
_COLUMNS = ("platform", "support_ends_on", "source_url", "read_on")


def read_platform_support(file: str | None) -> list[Mapping[str, Any]]:
    """Return the rows of a list, or of the shipped one, in its order. Raises SettingsError with file, line and fix.

    An empty source_url or read_on is null; a platform and the last day of its support are required.
    """
    place, found = file or str(SHIPPED_FILE), dict[str, int]()
    rows = list[dict[str, Any]]()
    for line, cells in read_csv_rows(place, "[feeds] platform_support", _COLUMNS):
        row = _parse_row(cells, f"{place} line {line}:")
        if (before := found.setdefault(row["platform"], line)) != line:
            raise SettingsError(f"{place} line {line}: the same platform as line {before}", fix="keep one")
        rows.append(row)
    digest = sha256(Path(place).read_bytes()).hexdigest()
    return [row | {"source_sha256": digest} for row in rows]


def _parse_row(cells: Cells, where: str) -> dict[str, Any]:
    if unknown := cells.keys() - {*_COLUMNS}:
        raise SettingsError(f'{where} no column "{min(unknown)}" is known', fix=f"there are {', '.join(_COLUMNS)}")
    if not re.fullmatch(r"[A-Z0-9_]+", cells["platform"]):
        fix = "write it as AWS does, such as WINDOWS_SERVER_2019"
        raise SettingsError(f'{where} platform "{cells["platform"]}" is not a platform', fix=fix)
    if not cells["support_ends_on"]:
        raise SettingsError(f"{where} support_ends_on is empty", fix="fill it in, or take the line out")
    if not re.fullmatch(r"(https?://\S+)?", cells["source_url"]):
        raise SettingsError(f'{where} source_url "{cells["source_url"]}" is not a URL such as https://example.com/a')
    days = {name: parse_csv_day(cells[name], f"{where} {name}") for name in ("support_ends_on", "read_on")}
    return {"platform": cells["platform"], "source_url": cells["source_url"] or None, **days}
