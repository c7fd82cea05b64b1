"""What expire, gc and erase print of their results."""

from typing import Any

import pytest

from appstream_export.cli.views import render_erase_lines, render_expire_lines, render_vacuum_lines
from appstream_export.lake.maintenance import EraseResult, ExpireResult, VacuumResult
from appstream_export.settings import RetentionSettings


def expired(**given: Any) -> ExpireResult:
    usual = {"dropped": (), "retained": 3, "rows_kept": 0, "bytes_freed": 0, "dry_run": False}
    return ExpireResult(**(usual | given))


def vacuumed(**given: Any) -> VacuumResult:
    usual = {"files": 0, "bytes": 0, "waiting": 0, "waiting_bytes": 0, "dry_run": False}
    return VacuumResult(**(usual | given))


def erased(**given: Any) -> EraseResult:
    usual = {"account_id": "111122223333", "snapshots": 1, "rows": 2, "files": 3, "bytes_deleted": 1200,
             "mentions": (), "remaining": (), "dry_run": False}  # fmt: skip
    return EraseResult(**(usual | given))


DONE = {"dropped": (1, 2), "rows_kept": 1, "bytes_freed": 12_000}


@pytest.mark.parametrize(
    ("result", "line"),
    [
        (expired(), "nothing to expire: all 3 snapshots are retained"),
        (expired(retained=1), "nothing to expire: the only snapshot is retained"),
        (expired(retained=0), "nothing to expire: there is no snapshot"),
        (
            expired(**DONE),
            "dropped 2 of 5 snapshots, retaining 1 row of their changes and coverage; gc can free 12,000 bytes",
        ),
        (
            expired(**DONE, dry_run=True),
            "would drop 2 of 5 snapshots, retaining 1 row of their changes and coverage;"
            " gc would then free 12,000 bytes",
        ),
    ],
)
def test_what_expired(result: ExpireResult, line: str) -> None:
    assert next(render_expire_lines(result, RetentionSettings(), ())) == line


def test_an_expiry_names_its_rule_and_the_command_that_frees_the_space() -> None:
    _, rule, then = render_expire_lines(expired(**DONE, seq=6), RetentionSettings(), ("--warehouse", "w"))

    assert rule == (
        "retention: the last snapshot of each hour for 7 days, of each day for 90 days, of each month for 24 months"
    )
    assert then.endswith("appstream-export gc --warehouse w")


@pytest.mark.parametrize(
    ("result", "line"),
    [
        (vacuumed(), "nothing to delete"),
        (vacuumed(files=1, bytes=1), "deleted 1 file, 1 byte"),
        (vacuumed(files=2, bytes=3000, dry_run=True), "would delete 2 files, 3,000 bytes"),
        (vacuumed(waiting=1, waiting_bytes=2), "nothing to delete; 1 file, 2 bytes, still within the grace period"),
    ],
)
def test_what_gc_deleted(result: VacuumResult, line: str) -> None:
    assert list(render_vacuum_lines(result)) == [line]


@pytest.mark.parametrize(
    ("result", "line"),
    [
        (erased(dry_run=True), "would erase 2 rows of account 111122223333 in 1 snapshot, 3 files"),
        (
            erased(),
            "erased 2 rows of account 111122223333 in 1 snapshot, 3 files; 1,200 bytes deleted; no byte of it is left",
        ),
        (
            erased(has_values=False),
            "erased 2 rows of account 111122223333 in 1 snapshot, 3 files; 1,200 bytes deleted; its id is left nowhere",
        ),
        (
            erased(remaining=("tables/t/x",), mentions=("a", "b")),
            "erased 2 rows of account 111122223333 in 1 snapshot, 3 files; 1,200 bytes deleted; still in 1 file, such"
            " as tables/t/x; rows of other accounts name it in 2 files",
        ),
    ],
)
def test_what_was_erased(result: EraseResult, line: str) -> None:
    assert next(render_erase_lines(result)) == line


def test_an_erase_that_searched_only_for_the_id_says_so() -> None:
    assert [*render_erase_lines(erased(has_values=False))][1:] == [
        "only its id was searched for: there is no list of the values that an earlier erase removed"
    ]


def test_what_is_left_of_an_account_is_named_up_to_ten_of_a_kind() -> None:
    lines = list(render_erase_lines(erased(remaining=tuple("abcdefghijkl"), mentions=("m",), seq=4), "do this"))

    assert lines[1:3] == ["  still there: a", "  still there: b"]
    assert lines[11:13] == ["  still there: 2 more", "  named in rows of other accounts: m"]
    assert lines[-1] == "first do this: otherwise the next run brings the account back"
