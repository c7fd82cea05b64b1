"""The end of support of platforms: what we ship has its sources, and a list of one's own is checked line by line."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appstream_export.contracts import get_botocore_loader
from appstream_export.errors import SettingsError
from appstream_export.inputs import read_platform_support
from appstream_export.settings import parse_settings

HEAD = "platform,support_ends_on,source_url,read_on"


def listed(folder: Path, *lines: str, head: str = HEAD) -> str:
    file = folder / "platforms.csv"
    file.write_text("\n".join((head, *lines)) + "\n", "utf-8")
    return str(file)


def test_every_date_that_we_ship_names_its_page_and_the_day_on_which_it_was_read() -> None:
    model = get_botocore_loader().load_service_model("appstream", "service-2")
    rows = read_platform_support(None)

    assert {row["platform"] for row in rows} <= {*model["shapes"]["PlatformType"]["enum"]}
    assert all(row["source_url"].startswith("https://") and row["read_on"] for row in rows)
    assert all(row["support_ends_on"] > datetime(2026, 1, 1, tzinfo=UTC) for row in rows)
    assert len(rows) == len({row["platform"] for row in rows}) > 0


def test_a_list_of_ones_own_replaces_it(tmp_path: Path) -> None:
    file = listed(tmp_path, "WINDOWS_11,2027-10-12,https://example.com/a,2026-11-30", "RHEL8,2030-01-01,,")
    [first, second] = read_platform_support(file)

    assert first == {
        "platform": "WINDOWS_11",
        "support_ends_on": datetime(2027, 10, 12, tzinfo=UTC),
        "source_url": "https://example.com/a",
        "read_on": datetime(2026, 11, 30, tzinfo=UTC),
        "source_sha256": first["source_sha256"],
    }
    assert (second["source_url"], second["read_on"]) == (None, None)
    assert read_platform_support(listed(tmp_path)) == []


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["Windows Server,2027-10-12,,"], 'line 2: platform "Windows Server" is not a platform; write it as AWS does'),
        (["RHEL8,,,"], "line 2: support_ends_on is empty; fill it in, or take the line out"),
        (["RHEL8,31.05.2029,,"], 'line 2: support_ends_on "31.05.2029" is not a day such as 2026-01-31'),
        (["RHEL8,2029-05-31,,2029-13-01"], 'line 2: read_on "2029-13-01" is not a day such as 2026-01-31'),
        (["RHEL8,2029-05-31,wiki,"], 'line 2: source_url "wiki" is not a URL such as https://example.com/a'),
        (["RHEL8,2029-05-31,,", "RHEL8,2030-05-31,,"], "line 3: the same platform as line 2; keep one"),
    ],
)
def test_a_mistake_is_reported_with_its_line(lines: list[str], why: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=re.escape(f"platforms.csv {why}")):
        read_platform_support(listed(tmp_path, *lines))


def test_a_column_that_nothing_reads_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match='line 2: no column "note" is known'):
        read_platform_support(listed(tmp_path, "RHEL8,2029-05-31,,,x", head=f"{HEAD},note"))


def test_the_list_lies_beside_the_settings(tmp_path: Path) -> None:
    feeds = {"platform_support": "p/platforms.csv"}
    raw = {"regions": ["eu-west-1"], "accounts": [{"id": "111122223333"}], "feeds": feeds}
    settings = parse_settings(raw, tmp_path / "appstream-export.toml")

    assert settings.feeds.platform_support == str(tmp_path / "p" / "platforms.csv")
