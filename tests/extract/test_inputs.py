"""Constant inputs and pages of a contract, on the wire."""

from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from appstream_export.contracts import load_contract
from appstream_export.extract import extract_tasks
from appstream_export.extract.accounts import list_configured_accounts
from appstream_export.model import Outcome, Page, ScanOptions, Scope, Task
from appstream_export.status import Status
from tests.extract.asking import EU, A, Asking
from tests.extract.wire import Reply, Seen, Wire, json_reply

HERE = f"{A}/{EU}"


def written(folder: Path, name: str, rules: str, *, items: str, operation: str, key: str = "Name") -> Path:
    """A contract of one table and one column."""
    text = f"""doc = "d"
service = "appstream"
operation = "{operation}"
items = "{items}"
item_name = "{name.removesuffix("s")}"
{rules}
[{name}]
doc = "d"
key = ["name"]
name = {{ from = "{key}", type = "string", doc = "d" }}
"""
    file = folder / f"{name}.toml"
    file.write_text(text)
    return file


def extracted(asking: Asking, *files: Path, **more: Any) -> list[Page | Outcome]:
    """All pages and outcomes of these contracts in one scope."""
    contracts = {c.name: c for c in map(load_contract, files)}
    accounts = {a.id: a for a in list_configured_accounts(asking.settings)}
    tasks = [Task(name, Scope(A, EU)) for name in contracts]
    options = more.pop("options", ScanOptions())
    return list(
        extract_tasks(tasks, contracts, accounts, asking.settings, options, run_id="run-1", stop=Event(), **more)
    )


def test_constant_inputs_are_sent_with_each_page(wire: Wire, asking: Asking, tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "images",
        'with = { Type = "PRIVATE", Names = ["{month}"] }',
        items="Images",
        operation="DescribeImages",
    )
    wire.script(HERE, json_reply({"Images": [{"Name": "a"}], "NextToken": "t"}), json_reply({"Images": []}))

    extracted(asking, file, started_at=datetime(2026, 3, 31, 23, tzinfo=UTC))

    assert [call.params for call in wire.asked("DescribeImages")] == [
        {"Type": "PRIVATE", "Names": ["2026-03"]},
        {"Type": "PRIVATE", "Names": ["2026-03"], "NextToken": "t"},
    ]


def test_pages_of_an_operation_without_a_paginator_are_read_to_the_end(
    wire: Wire, asking: Asking, tmp_path: Path
) -> None:
    file = written(
        tmp_path,
        "applications",
        'pages = { token = "NextToken", size = "MaxResults" }',
        items="Applications",
        operation="DescribeApplications",
    )
    wire.script(HERE, json_reply({"Applications": [{"Name": "a"}], "NextToken": "t"}))
    wire.always(HERE, lambda _: json_reply({"Applications": [{"Name": "b"}]}))

    results = extracted(asking, file, options=ScanOptions(page_size=25))

    assert [i["Name"] for r in results if isinstance(r, Page) for i in r.items] == ["a", "b"]
    assert [call.params for call in wire.asked("DescribeApplications")] == [
        {"MaxResults": 25},
        {"MaxResults": 25, "NextToken": "t"},
    ]


def test_a_session_policy_names_the_iam_action(wire: Wire, asking: Asking, tmp_path: Path) -> None:
    file = written(
        tmp_path, "images", 'action = "appstream2:DescribeImages"', items="Images", operation="DescribeImages"
    )
    asking.aws = {"session_policy": True}

    def answer(_: Seen) -> Any:
        return json_reply({"Images": []})

    wire.always(HERE, answer)
    extracted(asking, file)

    assert '"appstream2:DescribeImages"' in wire.asked("AssumeRole")[0].params["Policy"]


def _read_names(results: list[Page | Outcome]) -> list[Any]:
    return [item for r in results if isinstance(r, Page) for item in r.items]


def test_texts_and_rows_of_a_map_are_items(wire: Wire, asking: Asking, tmp_path: Path) -> None:
    names = written(
        tmp_path, "stack_fleets", 'with = { StackName = "s" }', items="Names", operation="ListAssociatedFleets", key="."
    )
    tags = written(
        tmp_path,
        "fleet_tags",
        'with = { ResourceArn = "arn" }',
        items="Tags{}",
        operation="ListTagsForResource",
        key="key",
    )

    def answer(seen: Seen) -> Reply:
        is_tags = seen.operation == "ListTagsForResource"
        return json_reply({"Tags": {"b": "2", "a": "1"}} if is_tags else {"Names": ["f", "g"]})

    wire.always(HERE, answer)

    assert _read_names(extracted(asking, names)) == [{"value": "f"}, {"value": "g"}]
    assert _read_names(extracted(asking, tags)) == [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"{}", "lacks Tags"),
        (b'{"Tags": ["a"]}', "Tags is list, not a map"),
        (b'{"Tags": {"a": "1", "a": "2"}}', 'holds "a" twice'),
        (b'{"Tags": {"a": "1"', "is not JSON"),
    ],
)
def test_an_answer_without_a_whole_map_is_no_page(
    wire: Wire, asking: Asking, tmp_path: Path, body: bytes, why: str
) -> None:
    tags = written(
        tmp_path,
        "fleet_tags",
        'with = { ResourceArn = "arn" }',
        items="Tags{}",
        operation="ListTagsForResource",
        key="key",
    )
    wire.always(HERE, Reply(body))
    asking.extract["max_attempts"] = 1

    (outcome,) = extracted(asking, tags)

    assert isinstance(outcome, Outcome)
    assert outcome.status is Status.MALFORMED
    assert why in str(outcome.reason)


QUEUES = """doc = "d"
service = "mediaconvert"
operation = "ListQueues"
items = "queues"
item_name = "queue"
[queues]
doc = "d"
key = ["name"]
name = { from = "name", type = "string", doc = "d" }
created_at = { from = "createdAt", type = "timestamp", doc = "d" }
"""


@pytest.mark.parametrize("is_compatible", [False, True], ids=["fast", "documented API"])
def test_a_service_of_rest_json_is_read_by_the_names_of_its_json(
    wire: Wire, asking: Asking, tmp_path: Path, is_compatible: bool
) -> None:
    (tmp_path / "queues.toml").write_text(QUEUES)
    asking.extract["use_documented_client_api"] = is_compatible
    queue = {"name": "a", "createdAt": 1767225600, "pricingPlan": "ON_DEMAND"}
    last = json_reply({"queues": [queue | {"name": "b"}]})
    wire.script(HERE, json_reply({"queues": [queue], "nextToken": "t"}), last)

    results = extracted(asking, tmp_path / "queues.toml")

    assert [str(r.status) for r in results if isinstance(r, Outcome)] == ["ok"]
    assert _read_names(results) == [queue, queue | {"name": "b"}]
    assert [c.params for c in wire.calls if c.service == "mediaconvert"] == [{}, {"nextToken": "t"}]


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (Reply(b"{}"), "malformed"),
        (Reply(b'{"queues": ['), "malformed"),
        (json_reply({"queues": [], "message": "no", "errorCode": "X"}), "malformed"),
        (json_reply({"message": "no"}, 403, headers={"x-amzn-ErrorType": "AccessDeniedException"}), "denied"),
        (json_reply({"message": "no"}, 429, headers={"x-amzn-ErrorType": "TooManyRequestsException"}), "throttled"),
    ],
)
def test_a_failure_of_rest_json_is_no_page(
    wire: Wire, asking: Asking, tmp_path: Path, reply: Reply, status: str
) -> None:
    (tmp_path / "queues.toml").write_text(QUEUES)
    asking.extract["max_attempts"] = 1
    wire.always(HERE, reply)

    assert [str(r.status) for r in extracted(asking, tmp_path / "queues.toml") if isinstance(r, Outcome)] == [status]
