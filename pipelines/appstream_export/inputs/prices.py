"""Read the user's price list (`[feeds] prices`, a CSV file) as rows of the table `prices`.

AWS's API reports no prices, and customers have different ones, so without a list there are no costs.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from pathlib import Path
from typing import Any

from appstream_export.errors import SettingsError
from appstream_export.inputs.csv import Cells, parse_csv_day, read_csv_rows
from appstream_export.model import REGION

ANY = "*"
DEFAULT_VALID_FROM = datetime(1970, 1, 1, tzinfo=UTC)
COLUMNS = ("region", "instance_type", "platform", "usd_per_hour", "disk_usd_per_gb_month", "valid_from")
_KEY = ("region", "instance_type", "platform", "valid_from")
_USD_MAX = 100_000  # a price above it is a typo: the largest instance costs some tens of dollars an hour


def read_prices(file: str | None) -> list[Mapping[str, Any]]:
    """Return the rows in the file's order; empty without a file. Raises SettingsError with file, line and fix.

    An empty price is unknown, an empty instance_type or platform means all (`*`), an empty valid_from means always.
    """
    if file is None:
        return []
    found: dict[tuple[Any, ...], int] = {}
    rows = []
    for line, cells in read_csv_rows(file, "[feeds] prices", COLUMNS):
        where = f"{file} line {line}:"
        row = _parse_row(cells, where)
        if (before := found.setdefault(tuple(row[key] for key in _KEY), line)) != line:
            raise SettingsError(f"{where} the same region, instance_type, platform and valid_from as line {before}")
        rows.append(row)
    digest = sha256(Path(file).read_bytes()).hexdigest()
    return [row | {"source_sha256": digest} for row in rows]


def _parse_row(cells: Cells, where: str) -> dict[str, Any]:
    unknown = cells.keys() - {*COLUMNS}
    if unknown:
        raise SettingsError(f'{where} no column "{min(unknown)}" is known', fix=f"there are {', '.join(COLUMNS)}")
    region = cells["region"]
    if region != ANY and not REGION.fullmatch(region):
        raise SettingsError(f'{where} region "{region}" is neither the name of a region, such as us-east-1, nor {ANY}')
    row: dict[str, Any] = {"region": region, **{name: cells[name] or ANY for name in ("instance_type", "platform")}}
    row |= {name: _parse_usd(cells[name], f"{where} {name}") for name in ("usd_per_hour", "disk_usd_per_gb_month")}
    if row["usd_per_hour"] is None and row["disk_usd_per_gb_month"] is None:
        fix = "fill in usd_per_hour or disk_usd_per_gb_month, or take the line out"
        raise SettingsError(f"{where} no price", fix=fix)
    valid_from = parse_csv_day(cells["valid_from"], f"{where} valid_from") or DEFAULT_VALID_FROM
    return row | {"valid_from": valid_from}


def _parse_usd(text: str, where: str) -> float | None:
    if not text:
        return None
    try:
        usd = Decimal(text)
    except InvalidOperation:
        usd = Decimal("nan")
    if not usd.is_finite() or not 0 <= usd <= _USD_MAX:
        raise SettingsError(f'{where} "{text}" is not a price', fix="write it in US dollars, such as 0.44")
    return float(usd)
