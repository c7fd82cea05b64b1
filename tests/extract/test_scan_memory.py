"""Scans of a large run wait in memory from its start, so each is small."""

from appstream_export.extract.scan.scan import Scan


def test_a_scan_that_waits_has_no_dictionary_of_its_own() -> None:
    assert Scan.__dictoffset__ == 0
