"""AppStream's list operations as `propose` writes them: one whole run on the emulator, and a row of each."""

import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from appstream_export.contracts import Contract, is_read_operation, propose_contract
from appstream_export.contracts.botocore_model import load_service_model
from appstream_export.emulator import Emulator, make_item
from appstream_export.errors import ContractError
from appstream_export.model import Scope
from appstream_export.run import load_enabled_contracts
from tests.contracts.test_propose import name_file
from tests.export import Export

HERE = Scope("111122223333", "eu-west-1")
NAME = "cad"  # of every item, so that each follow-up finds the item that it asks for


LISTS = [name for name in load_service_model("appstream").operation_names if is_read_operation("appstream", name)]
FEW = ("DescribeStacks", "DescribeEntitlements", "ListAssociatedFleets")  # a list, its follow-up, and one of texts


def propose(folder: Path, operations: Collection[str]) -> None:
    """Write the proposals for list operations of AppStream, with names that no packaged contract has."""
    folder.mkdir()
    for operation in operations:
        with suppress(ContractError):
            text = propose_contract("appstream", operation)
            renamed = re.sub(r"(?m)^(\[(?!ignored)|(?:item_name|per) +?= +?\")", r"\1own_", text)
            (folder / f"own_{name_file(text)}").write_text(renamed)


def fill(aws: Emulator, contracts: Sequence[Contract]) -> None:
    """Put one generated item with every field for each contract; items of follow-ups answer their parent's alone."""
    columns: dict[str | None, dict[str, str]] = {None: {}}
    waiting = [*contracts]
    while waiting:
        contract = waiting.pop(0)
        if contract.calls.parent not in columns:
            waiting.append(contract)
            continue
        given = columns[contract.calls.parent]
        inputs = {name: text.format_map({"month": None} | given) for name, text in contract.calls.inputs.items()}
        monthly = [name for name, text in contract.calls.inputs.items() if text == "{month}"]
        item = make_item(
            "appstream", contract.operation, NAME, scope=HERE, complete=True, fields=dict.fromkeys(monthly)
        )
        if contract.operation == "ListTagsForResource":
            aws.put_tags(HERE, inputs["ResourceArn"], owner="cad")
        else:
            inputs = {name: text for name, text in inputs.items() if name not in monthly}
            aws.put(HERE, item, operation=contract.operation, inputs=inputs)
        columns[contract.name] = read_columns(contract, item, given)


def read_columns(contract: Contract, item: Any, given: dict[str, str]) -> dict[str, str]:
    """The text columns of an item, and those of its parent's row."""
    fields = item if isinstance(item, dict) else {".": item}
    own = {c.name: fields[c.source] for c in contract.item_table.source_columns if c.source in fields}
    return own | {own: given[column] for own, column in contract.item_table.input_columns.items()}


@pytest.mark.slow
@pytest.mark.parametrize("operations", [FEW, pytest.param(LISTS, marks=pytest.mark.slow)], ids=["few", "all"])
def test_what_is_proposed_for_appstream_runs_as_it_is_and_every_table_has_its_row(
    aws: Emulator, export: Export, operations: Collection[str]
) -> None:
    propose(export.folder / "contracts", operations)
    export.accounts, export.regions = (HERE.account_id,), (HERE.region,)
    export.more = {"contracts": {"folder": "contracts"}}
    export.contracts = load_enabled_contracts(export.settings)
    fill(aws, export.contracts)

    result = export.run()

    assert export.sql("select resource, status, reason from scope_runs where status <> 'ok'") == []
    rows = {c.name: export.sql(f"select count(*) from {c.name}") for c in export.contracts}
    assert rows == {name: [1] for name in rows}
    assert len(rows) == len(operations) - ("DescribeThemeForStack" in operations) + 1  # and the packaged builders
    assert (result.exit_code, export.sql("from quarantine"), export.sql("from drift")) == (0, [], [])
    assert {c.operation for c in aws.calls} >= {c.operation for c in export.contracts}
