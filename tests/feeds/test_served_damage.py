"""A served file whose end still names a snapshot, but whose content is damaged, is reported as damaged."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from appstream_export.feeds.publish import publish_feeds
from appstream_export.feeds.report import publish_report
from appstream_export.feeds.served import load_served_outputs
from appstream_export.lake.maintenance import find_announced_seq
from appstream_export.lake.storage.checksum_trailer import (
    HTML_TRAILER,
    TAIL_BYTES,
    add_checksum,
    has_valid_checksum,
    has_valid_file_checksum,
)
from appstream_export.settings import Settings
from tests.lake.lakes import A, Lake, builder, ok


def destroy_front(content: bytes) -> bytes:
    """As a disk does that lost the first blocks of a file."""
    return bytes(4096) + content[4096:]


def keep_end(content: bytes) -> bytes:
    """As a copy that began late."""
    return content[-200:]


def change_bit(content: bytes) -> bytes:
    """As memory without error correction."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


FAULTS = {"front": destroy_front, "all but the end": keep_end, "one bit": change_bit}


def damage(file: Path, fault: Callable[[bytes], bytes]) -> None:
    file.chmod(0o600)
    file.write_bytes(fault(file.read_bytes()))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_catalog_whose_end_is_whole_is_no_sound_catalog(lake: Lake, fault: str) -> None:
    lake.commit(ok(A, builder("a")))
    lake.publish()
    [sound] = [output for output in load_served_outputs(lake.store) if output.name == "catalog"]
    damage(lake.store.root / "warehouse.duckdb", FAULTS[fault])
    [catalog] = [output for output in load_served_outputs(lake.store) if output.name == "catalog"]

    assert (sound.seq, sound.problem) == (1, None)
    assert (catalog.seq, catalog.problem) == (None, f"{catalog.place} is damaged: it does not match its checksum")
    assert find_announced_seq(lake.store) == 0


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_feeds_and_report_whose_ends_are_whole_are_not_sound(lake: Lake, fault: str) -> None:
    lake.commit(ok(A, builder("a")))
    publish_feeds(lake.store, lake.contracts)
    publish_report(lake.store, lake.contracts, Settings())
    sound = {output.name: output.problem for output in load_served_outputs(lake.store)}
    for path in ("feeds/v1/bi.duckdb", "feeds/v2/bi.duckdb", "report.html"):
        damage(lake.store.root / path, FAULTS[fault])
    problems = {output.name: output.problem for output in load_served_outputs(lake.store) if output.problem}

    assert set(sound.values()) == {None}
    assert set(problems) == {"bi.duckdb", "bi.duckdb v2", "report"}
    assert all(text.endswith(" is damaged: it does not match its checksum") for text in problems.values())


@pytest.mark.parametrize("size", [0, 1, TAIL_BYTES, 262_144, 600_000])
def test_a_file_is_checked_in_pieces_as_it_is_in_memory(tmp_path: Path, size: int) -> None:
    content, file = os.urandom(size), tmp_path / "file"
    for whole in (add_checksum(content), add_checksum(content, HTML_TRAILER)):
        for stored in (whole, b"x" + whole, whole[1:], whole[:-1], whole[: len(whole) // 2], b""):
            file.write_bytes(stored)
            assert has_valid_file_checksum(file) == has_valid_checksum(stored) == (stored == whole)
