"""A scope in parts: what was cut goes on where it stopped, and ends as one full run would."""

from pathlib import Path

from pipelines.emulator import Emulator
from pipelines.emulator import image_builder as builder
from tests.export import Export

SCOPE = "111122223333/eu-west-1"
COUNT, CHUNK = 66, 7  # nine whole chunks and a rest; pages of 10 are cut in the middle


def test_chunks_of_seven_resumed_to_the_end_equal_one_full_run(aws: Emulator, tmp_path: Path) -> None:
    whole, parts = (Export(aws, tmp_path / name) for name in ("whole", "parts"))
    for export in (whole, parts):
        export.accounts, export.regions = ("111122223333",), ("eu-west-1",)
    aws.put(SCOPE, *(builder(f"b{n:03}", scope=SCOPE, complete=n % 5 == 0) for n in range(COUNT)))
    whole.run(page_size=10)

    token, statuses, counts = None, [], []
    while True:
        is_last = len(counts) == COUNT // CHUNK
        result = parts.run(max_items=CHUNK, page_size=10, starting_token=token, publish=is_last)
        (outcome,) = result.outcomes.values()
        statuses.append(str(outcome.status))
        counts.append(outcome.items)
        if (token := outcome.resume_token) is None:
            break

    assert statuses == ["filtered"] * 10
    assert counts == [CHUNK] * 9 + [COUNT % CHUNK]
    for table in (t.name for contract in whole.contracts for t in contract.tables):
        unlike = "snapshot_id, observed_at, is_stale"
        rows = f"select * exclude ({unlike}) from {table} order by all"
        assert parts.sql(rows) == whole.sql(rows), table


def test_a_name_that_no_scope_knows_fails_nothing(export: Export) -> None:
    export.aws.put(SCOPE, builder("here", scope=SCOPE))
    result = export.run(names=("here", "nowhere"))

    assert result.exit_code == 0
    assert set(export.statuses().values()) == {"filtered"}
    assert export.sql("select name from image_builders") == ["here"]
    (reason,) = export.sql("select reason from scope_runs where account_id || '/' || region = '" + SCOPE + "'")
    assert reason == "only names here, nowhere were asked for; not found: nowhere"
