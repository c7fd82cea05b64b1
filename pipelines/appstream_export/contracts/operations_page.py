"""Render the page of AppStream's list operations: shipped with the export, proposed on request, or refused and why."""

import re
from collections.abc import Iterator, Sequence

from appstream_export.contracts.botocore_model import load_service_model
from appstream_export.contracts.botocore_propose import propose_contract, read_proposed_file_name
from appstream_export.contracts.iam import is_read_operation
from appstream_export.contracts.model import Contract
from appstream_export.errors import ContractError

_SERVICE = "appstream"
_PARENT = re.compile(r'(?m)^per += "(\w+)"')


def list_operations(contracts: Sequence[Contract]) -> Iterator[tuple[str, str, str]]:
    """Yield each list operation of AppStream, how it can be exported, and its resources or the reason of a refusal."""
    for operation in load_service_model(_SERVICE).operation_names:
        if not is_read_operation(_SERVICE, operation):
            continue
        shipped = [c.name for c in contracts if (c.service, c.operation) == (_SERVICE, operation)]
        if shipped:
            yield operation, "shipped", ", ".join(f"[`{name}`]({name}.md)" for name in shipped)
        else:
            yield operation, *_try_proposal(operation)


def _try_proposal(operation: str) -> tuple[str, str]:
    try:
        text = propose_contract(_SERVICE, operation)
    except ContractError as error:
        return "refused", str(error)
    parent = _PARENT.search(text)
    per = f", for each row of `{parent[1]}`" if parent else ""
    return "proposed", f"`{read_proposed_file_name(text).removesuffix('.toml')}`{per}"
