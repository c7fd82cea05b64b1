"""The price list: what is read of it, and how each mistake in it is told."""

import re
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from appstream_export.errors import SettingsError
from appstream_export.inputs.prices import DEFAULT_VALID_FROM, read_prices
from appstream_export.settings import parse_settings

HEAD = "region,instance_type,platform,usd_per_hour,disk_usd_per_gb_month,valid_from"


def listed(folder: Path, *lines: str, head: str = HEAD) -> str:
    """A file of these lines."""
    file = folder / "prices.csv"
    file.write_text("\n".join([head, *lines]) + "\n")
    return str(file)


def test_rows_have_the_files_digest_and_blank_means_every_one_unknown_and_ever(tmp_path: Path) -> None:
    file = listed(tmp_path, "eu-west-1, stream.large ,WINDOWS,0.44,0.1,2026-01-31", "*,,,,0.12,")
    digest = sha256(Path(file).read_bytes()).hexdigest()

    assert read_prices(file) == [
        {"region": "eu-west-1", "instance_type": "stream.large", "platform": "WINDOWS", "usd_per_hour": 0.44,
         "disk_usd_per_gb_month": 0.1, "valid_from": datetime(2026, 1, 31, tzinfo=UTC), "source_sha256": digest},
        {"region": "*", "instance_type": "*", "platform": "*", "usd_per_hour": None,
         "disk_usd_per_gb_month": 0.12, "valid_from": DEFAULT_VALID_FROM, "source_sha256": digest},
    ]  # fmt: skip
    assert read_prices(None) == []
    free = listed(tmp_path, "*,,,0,,2026-01-31", "*,,,0.1,,2026-02-01")
    assert [row["usd_per_hour"] for row in read_prices(free)] == [0.0, 0.1]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (
            "everywhere,a,*,1,1,",
            'line 2: region "everywhere" is neither the name of a region, such as us-east-1, nor *',
        ),
        ("*,a,*,cheap,1,", 'line 2: usd_per_hour "cheap" is not a price; write it in US dollars, such as 0.44'),
        ("*,a,*,-1,1,", 'line 2: usd_per_hour "-1" is not a price; write it in US dollars, such as 0.44'),
        ("*,a,*,1,nan,", 'line 2: disk_usd_per_gb_month "nan" is not a price; write it in US dollars, such as 0.44'),
        ("*,a,*,1e9,1,", 'line 2: usd_per_hour "1e9" is not a price; write it in US dollars, such as 0.44'),
        ('*,a,*,"0,44",1,', 'line 2: usd_per_hour "0,44" is not a price; write it in US dollars, such as 0.44'),
        ("*,a,*,,,", "line 2: no price; fill in usd_per_hour or disk_usd_per_gb_month, or take the line out"),
        ("*,a,*,1,1,31.1.2026", 'line 2: valid_from "31.1.2026" is not a day such as 2026-01-31'),
        ("*,a,*,1,1,2026-02-30", 'line 2: valid_from "2026-02-30" is not a day such as 2026-01-31'),
        ("*,a,*,1,1,\n*,a,*,2,1,", "line 3: the same region, instance_type, platform and valid_from as line 2"),
        ("*,a,*,1", "line 2: line 1 has 6 columns, this one 4"),
    ],
)
def test_a_bad_line_is_named_with_its_fix(line: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=re.escape(f"prices.csv {why}")):
        read_prices(listed(tmp_path, line))


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (HEAD.replace("platform", "os"), "prices.csv line 1: no column platform"),
        (f"{HEAD},note", 'prices.csv line 2: no column "note" is known'),
        (f"{HEAD},region", 'prices.csv line 1: the column "region" comes twice'),
    ],
)
def test_columns_that_are_missing_or_unknown_are_named(head: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=re.escape(why)):
        read_prices(listed(tmp_path, "*,a,*,1,1,,x", head=head))


def test_a_file_that_is_not_there_is_named_with_its_key(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"\[feeds\] prices .*none.csv: not readable as CSV: No such file"):
        read_prices(str(tmp_path / "none.csv"))


def test_the_path_is_relative_to_the_settings_file(tmp_path: Path) -> None:
    raw = {"regions": ["eu-west-1"], "accounts": [{"id": "111122223333"}], "feeds": {"prices": "p/prices.csv"}}

    assert parse_settings(raw, tmp_path / "appstream-export.toml").feeds.prices == str(tmp_path / "p" / "prices.csv")
