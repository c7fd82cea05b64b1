"""Scopes in parts: what was cut goes on where it stopped, and ends as one full run would."""

from pathlib import Path

import pytest

from appstream_export.contracts import Contract
from appstream_export.contracts.loader import load_contract
from appstream_export.emulator import Emulator, make_image_builder as builder
from tests.export import Export

SCOPE = "111122223333/eu-west-1"
CHUNK = 7
BUILDERS = {SCOPE: 17, "111122223333/us-east-1": 14, "444455556666/us-east-1": 7}  # the fourth scope has none
IMAGES = {SCOPE: 9, "444455556666/eu-west-1": 2}
SECOND_RESOURCE = """
doc = "AppStream images."
service = "appstream"
operation = "DescribeImages"
items = "Images"
item_name = "image"
[images]
doc = "One row per image."
key = ["name"]
name = { from = "Name", type = "string", doc = "Name." }
[image_applications]
doc = "One row per application of an image."
rows_from = "Applications"
application = { from = "Name", type = "string", doc = "Name." }
[ignored]
"""


def images(folder: Path) -> Contract:
    file = folder / "images.toml"
    file.write_text(SECOND_RESOURCE)
    return load_contract(file)


def fill(aws: Emulator) -> None:
    for scope, count in BUILDERS.items():
        aws.put(scope, *(builder(f"b{n:03}", scope=scope, complete=n % 5 == 0) for n in range(count)))
    for scope, count in IMAGES.items():
        items = [{"Name": f"i{n}", "Applications": [{"Name": f"of-i{n}"}]} for n in range(count)]
        aws.put(scope, *items, operation="DescribeImages")


@pytest.mark.long
def test_chunks_of_seven_resumed_to_the_end_equal_one_full_run(aws: Emulator, tmp_path: Path) -> None:
    """Two resources in four scopes; pages of ten are cut in the middle. The limits are settings, as under Dagster."""
    fill(aws)
    whole, parts = (Export(aws, tmp_path / name) for name in ("whole", "parts"))
    for export in (whole, parts):
        export.contracts = [*export.contracts, images(tmp_path)]
    whole.run()
    parts.extract |= {"max_items": CHUNK, "page_size": 10}

    cut = {t: o for t, o in parts.run(publish=False).outcomes.items() if o.resume_token}
    chunks = dict.fromkeys(cut, 1)
    waiting = [(task, outcome.resume_token) for task, outcome in cut.items()]
    while waiting:
        task, token = waiting.pop()
        where = {"accounts": (task.scope.account_id,), "regions": (task.scope.region,)}
        result = parts.run(**where, starting_token=token, publish=not waiting)
        (outcome,) = result.outcomes.values()
        assert (outcome.task, str(outcome.status)) == (task, "filtered")
        chunks[task] += 1
        waiting += [(task, outcome.resume_token)] if outcome.resume_token else []

    assert {str(task): count for task, count in chunks.items()} == {
        f"image_builders@{SCOPE}": 3,
        "image_builders@111122223333/us-east-1": 2,
        f"images@{SCOPE}": 2,
    }
    for table in (t.name for contract in whole.contracts for t in contract.tables):
        rows = f"select * exclude (snapshot_id, observed_at, is_stale) from {table} order by all"
        assert parts.sql(rows) == whole.sql(rows), table
    held = [f"select count(*)::int from {table}" for table in ("image_builders", "images", "image_applications")]
    assert [parts.sql(sql) for sql in held] == [[sum(BUILDERS.values())], [sum(IMAGES.values())], [11]]


@pytest.mark.slow
def test_a_name_that_no_scope_knows_fails_nothing(export: Export) -> None:
    export.aws.put(SCOPE, builder("here", scope=SCOPE))
    export.extract |= {"names": ["here", "nowhere"]}
    result = export.run()

    assert result.exit_code == 0
    assert set(export.statuses().values()) == {"filtered"}
    assert export.sql("select name from image_builders") == ["here"]
    (reason,) = export.sql("select reason from scope_runs where account_id || '/' || region = '" + SCOPE + "'")
    assert reason == "only the names here, nowhere were requested; not found: nowhere"
