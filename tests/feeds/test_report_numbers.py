"""The page's figures are those that plain Python finds in the raw Parquet files."""

from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Browser

from appstream_export.feeds.report import render_report
from tests.browser import watched
from tests.lake.lakes import A, B, C, Lake, at, builder, failed, ok

UP = {"PENDING", "UPDATING_AGENT", "RUNNING", "REBOOTING"}
PRICE, DISK_PRICE = 0.5, 0.1
DRAWN = 'body[data-drawn]:not([data-drawn=""])'


def build_lake(folder: Path) -> Lake:
    """Five runs in three days: builders start, stop, fail to be seen, and are deleted."""
    lake = Lake(folder / "warehouse")
    facts = {"instance_type": "small", "platform": "WINDOWS", "root_volume_size_gb": 300}
    price = {"region": "*", "instance_type": "*", "platform": "*", "usd_per_hour": PRICE,
             "disk_usd_per_gb_month": DISK_PRICE, "valid_from": at(-60 * 24 * 60), "source_sha256": "0"}  # fmt: skip

    def put(name: str, state: str, **more: Any) -> dict[str, Any]:
        return builder(name, state=state, **facts, **more)

    first = ok(A, put("a", "RUNNING", enable_default_internet_access=True), put("b", "STOPPED"))
    lake.commit_at(0, first, ok(B, put("x", "RUNNING")), ok(C, put("g", "RUNNING")), prices=[price])
    lake.commit_at(
        6, ok(A, put("a", "RUNNING"), put("b", "RUNNING")), ok(B, put("x", "RUNNING")), ok(C), prices=[price]
    )
    lake.commit_at(30, ok(A, put("a", "STOPPED"), put("b", "RUNNING")), failed(B), ok(C), prices=[price])
    lake.commit_at(54, ok(A, put("a", "RUNNING"), put("b", "RUNNING")), failed(B), ok(C), prices=[price])
    return lake


def read_answers(lake: Lake) -> dict[tuple[str, str, str], list[tuple[Any, dict[str, Any]]]]:
    """Each builder's raw rows, by the time of the answer, without those that a later run carried along."""
    found = defaultdict(dict)
    for file in Path(lake.store.root, "tables/image_builders").rglob("*.parquet"):
        for row in pq.read_table(file).to_pylist():
            found[row["account_id"], row["region"], row["name"]][row["observed_at"]] = row
    return {key: sorted(rows.items()) for key, rows in found.items()}


def compute_hours(answers: list[tuple[Any, dict[str, Any]]]) -> tuple[float, float]:
    """Hours seen up, and seen at all."""
    up = sum((later[0] - earlier[0]).total_seconds() for earlier, later in pairwise(answers)
             if earlier[1]["state"] in UP and later[1]["state"] in UP) / 3600  # fmt: skip
    return up, (answers[-1][0] - answers[0][0]).total_seconds() / 3600


@pytest.mark.slow
def test_every_figure_is_the_one_of_the_raw_files(chromium: Browser, tmp_path: Path) -> None:
    lake = build_lake(tmp_path)
    file = tmp_path / "report.html"
    file.write_text(render_report(lake.store, lake.contracts), "utf-8")
    answers = read_answers(lake)
    present = {key: rows for key, rows in answers.items() if key[2] != "g"}  # deleted in the second run
    hours = {key: compute_hours(rows) for key, rows in answers.items()}
    gb = 100
    cost = sum(up * PRICE + seen * gb * DISK_PRICE / 730 for up, seen in hours.values())
    running = sum(rows[-1][1]["state"] in UP for rows in present.values())
    rate = running * PRICE * 24 + len(present) * gb * DISK_PRICE * 12 / 365

    seen = watched(chromium)
    seen.page.goto(f"file://{file}")
    seen.page.wait_for_selector(DRAWN)
    figures = [text.strip() for text in seen.page.locator(".tiles b").all_inner_texts()]
    idle = " ".join(seen.page.inner_text(".figures").split())
    seen.page.close()

    assert figures == [str(len(present)), str(running), f"${rate:,.2f}", f"${cost:,.2f}", "0", "1"]
    long = sum(rows[-1][1]["state"] in UP and hours[key][0] >= 12 for key, rows in present.items())
    assert f"{long} builder" in idle
