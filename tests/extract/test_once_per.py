"""What is read once per account or region, and items that other accounts own."""

import threading
from pathlib import Path
from typing import Any

import pytest

from appstream_export.contracts import load_contracts
from appstream_export.errors import ContractError
from appstream_export.extract import extract_tasks, map_accounts, plan_extraction
from appstream_export.extract.plan import add_parent_tasks
from appstream_export.model import SHARED_ACCOUNT_ID, Outcome, Page, ScanOptions, Scope, Task
from tests.extract.asking import EU, US, A, Asking, B
from tests.extract.test_follow_ups import ENTITLEMENTS, FLEETS, STACKS
from tests.extract.wire import Seen, Wire, json_reply

IMAGES = """doc = "d"
service = "appstream"
operation = "DescribeImages"
items = "Images"
item_name = "image"
{rules}
[images]
doc = "d"
key = ["name"]
name = {{ from = "Name", type = "string", doc = "d" }}
arn = {{ from = "Arn", type = "string", doc = "d" }}
"""


@pytest.fixture
def both(asking: Asking) -> Asking:
    """Two accounts in two regions."""
    asking.ids, asking.regions = [A, B], [EU, "eu-central-1"]
    return asking


def planned(asking: Asking, folder: Path, *texts: str) -> list[str]:
    for text in texts:
        (folder / f"{text.partition(chr(10) + '[')[2].partition(']')[0]}.toml").write_text(text)
    return [str(task) for task in plan_extraction(asking.settings, load_contracts(folder)).tasks]


def extracted(asking: Asking, folder: Path, rules: str) -> list[Page | Outcome]:
    (folder / "images.toml").write_text(IMAGES.format(rules=rules))
    contracts = load_contracts(folder)
    plan = plan_extraction(asking.settings, contracts)
    return list(
        extract_tasks(
            plan.tasks,
            {c.name: c for c in contracts},
            map_accounts(plan.accounts),
            asking.settings,
            ScanOptions(),
            run_id="run-1",
            stop=threading.Event(),
        )
    )


def test_once_per_account_is_in_the_home_region_of_the_partition(both: Asking, tmp_path: Path) -> None:
    assert planned(both, tmp_path, IMAGES.format(rules='once_per = "account"')) == [f"images@{a}/{US}" for a in (A, B)]


def test_once_per_region_is_in_each_region_of_no_account(both: Asking, tmp_path: Path) -> None:
    rules = 'once_per = "region"\nowned = false'

    assert planned(both, tmp_path, IMAGES.format(rules=rules)) == [
        f"images@{SHARED_ACCOUNT_ID}/{region}" for region in (EU, "eu-central-1")
    ]


def test_once_per_region_is_read_with_the_session_of_one_account(wire: Wire, both: Asking, tmp_path: Path) -> None:
    def answer(seen: Seen) -> Any:
        return json_reply({"Images": [{"Name": "a", "Arn": f"arn:aws:appstream:{seen.region}:{B}:image/a"}]})

    for region in (EU, "eu-central-1"):
        wire.always(f"{A}/{region}", answer)

    results = extracted(both, tmp_path, 'once_per = "region"\nowned = false')

    assert {(c.account_id, c.region) for c in wire.asked("DescribeImages")} == {(A, EU), (A, "eu-central-1")}
    assert {str(r.status) for r in results if isinstance(r, Outcome)} == {"ok"}
    assert {p.task.scope.account_id for p in results if isinstance(p, Page)} == {SHARED_ACCOUNT_ID}


@pytest.mark.parametrize(
    ("arn", "rules", "status"),
    [
        (f"arn:aws:appstream:{EU}:{B}:image/a", "", "mismatched"),
        (f"arn:aws:appstream:{EU}:{B}:image/a", "owned = false", "ok"),
        (f"arn:aws:appstream:{EU}::image/a", "owned = false", "ok"),
        (f"arn:aws:appstream:{US}:{B}:image/a", "owned = false", "mismatched"),
        (f"arn:aws-cn:appstream:{EU}:{A}:image/a", "owned = false", "mismatched"),
    ],
)
def test_items_that_others_own_are_of_the_same_region(
    wire: Wire, asking: Asking, tmp_path: Path, arn: str, rules: str, status: str
) -> None:
    wire.always(f"{A}/{EU}", lambda _: json_reply({"Images": [{"Name": "a", "Arn": arn}]}))

    results = extracted(asking, tmp_path, rules)

    assert [str(r.status) for r in results if isinstance(r, Outcome)] == [status]


def test_a_follow_up_has_the_scopes_of_its_parent(both: Asking, tmp_path: Path) -> None:
    tasks = planned(both, tmp_path, STACKS, ENTITLEMENTS, FLEETS)

    scopes = [{t.partition("@")[2] for t in tasks if t.startswith(name)} for name in ("stacks", "entitle", "fleets")]
    assert scopes[0] == scopes[1] == scopes[2] == {f"{a}/{r}" for a in (A, B) for r in both.regions}


def test_a_retried_follow_up_requests_its_parent_again_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "stacks.toml").write_text(STACKS)
    (tmp_path / "entitlements.toml").write_text(ENTITLEMENTS)
    (tmp_path / "fleets.toml").write_text(FLEETS)
    contracts = load_contracts(tmp_path)
    every = [Task(name, Scope(A, region)) for region in (EU, US) for name in ("entitlements", "fleets", "stacks")]

    chosen = add_parent_tasks([every[0]], every, contracts)

    assert [str(task) for task in chosen] == [f"entitlements@{A}/{EU}", f"stacks@{A}/{EU}"]
    assert add_parent_tasks([every[2]], every, contracts) == [every[2]]


REFUSED = {
    "no parent": (
        ENTITLEMENTS.replace('per = "stacks"', 'per = "stack"'),
        'entitlements.toml: per = "stack" is no resource of this export; did you mean "stacks"?',
    ),
    "no column": (
        ENTITLEMENTS.replace('StackName = "{name}"', 'StackName = "{nam}"'),
        'entitlements.toml: per = "stacks": {nam} is no string column of stacks; did you mean "name"?',
    ),
    "no key": (
        ENTITLEMENTS.replace('key = ["stack_name", "name"]', 'key = ["name"]'),
        'entitlements.toml: per = "stacks": the key lacks name of stacks; '
        'add stack_name = { from = "{name}", type = "string", doc = "..." }, also to key',
    ),
    "other scopes": (
        'once_per = "account"\n' + ENTITLEMENTS,
        'entitlements.toml: per = "stacks" has another once_per; both need the same scopes',
    ),
    "no input": (
        ENTITLEMENTS.replace('with = { StackName = "{name}" }', ""),
        'entitlements.toml: per: no input differs between its calls; write with = { StackName = "{name}" }',
    ),
    "both": (
        'only_where = "stacks"\n' + ENTITLEMENTS,
        "entitlements.toml: per and only_where exclude each other; remove only_where",
    ),
    "a column of no parent": (
        ENTITLEMENTS.replace('per = "stacks"\nwith = { StackName = "{name}" }', ""),
        '[entitlements] stack_name: from = "{name}" reads a row of the resource in per; add per',
    ),
    "owned by nobody": (
        'once_per = "region"\n' + FLEETS.replace('only_where = "stacks"', ""),
        'once_per = "region" reads items of no single account; write owned = false',
    ),
    "a limit of no calls": (FLEETS + "[limits]\nmax_calls = 0\n", "[limits]: max_calls is not a whole number above 0"),
    "an unknown limit": (
        FLEETS + "[limits]\nmax_cals = 1\n",
        '[limits]: unknown key "max_cals"; did you mean "max_calls"?',
    ),
    "a circle": (
        FLEETS.replace('"stacks"', '"fleets"', 1),
        'fleets.toml: only_where = "fleets": fleets needs fleets; break the circle',
    ),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_a_follow_up_that_cannot_work_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "stacks.toml").write_text(STACKS)
    name = text.partition("\n[")[2].partition("]")[0]
    (tmp_path / f"{name}.toml").write_text(text)

    with pytest.raises(ContractError) as refused:
        load_contracts(tmp_path)

    assert str(refused.value).endswith(message)
