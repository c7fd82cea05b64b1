"""What fails after the commit never hides it: the run reports the snapshot, what is missing, and ends with 3."""

from collections.abc import Iterator

import pytest

from appstream_export.cli.views import build_run_object, render_run_lines, summarize_run
from appstream_export.defs.checks import build_coverage_result, explain_failure
from appstream_export.emulator import Emulator
from tests.export import Export
from tests.factories import image_builder
from tests.lake.buckets import Bucket, Fault, Refuse, Seen, Wire

SCOPE = "111122223333/eu-west-1"


@pytest.fixture
def bucket(aws: Emulator) -> Iterator[Bucket]:
    """A bucket behind a wire that may fail."""
    with Wire(int(aws.endpoint_url.rpartition(":")[2])) as wire:
        yield Bucket(aws, wire)


class Revoke:
    """From the first commit on, nothing of the tables may be read."""

    def __init__(self) -> None:
        self.is_committed = False

    def __call__(self, _: int, seen: Seen) -> Fault | None:
        self.is_committed |= seen.method == "PUT" and "/commits/" in seen.key
        is_table = seen.method == "GET" and "/tables/" in seen.key
        return Refuse(403, "AccessDenied") if self.is_committed and is_table else None


@pytest.mark.slow
def test_a_snapshot_that_cannot_be_read_after_its_commit_is_reported_and_the_run_ends_with_3(
    export: Export, bucket: Bucket
) -> None:
    export.accounts, export.regions = (SCOPE[:12],), (SCOPE[13:],)
    export.aws.put(SCOPE, image_builder("a"))
    export.more = {"warehouse": bucket.place(), "lake": {"s3": {"endpoint_url": bucket.wire.url}}}
    bucket.wire.plan = Revoke()
    result = export.run()
    summary = summarize_run(result, export.contracts, export.warehouse, s3=bucket.settings)
    lines = list(render_run_lines(summary))
    about = build_run_object(summary)

    assert (result.committed, result.exit_code, summary.exit_code) == (True, 3, 3)
    assert lines[0].startswith("snapshot 1 committed: ")
    assert "the outcomes of its scopes could not be read" in lines[1]
    assert "nothing to do: every scope of this run" not in "".join(lines)
    assert (about["exit_code"], about["committed"]) == (3, True)
    assert "AccessDenied" in about["outcomes_problem"]
    assert "AccessDenied" in about["snapshot_problem"]
    assert build_coverage_result(result).passed is False
    assert "the outcomes of its scopes could not be read" in explain_failure(result)

    bucket.calm()
    assert export.run(retry_failed=True).exit_code == 0
