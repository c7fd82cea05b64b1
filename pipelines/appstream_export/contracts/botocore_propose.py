"""Propose contracts from botocore's models: inputs, the parent resource they come from, and the fields of the items."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from botocore.model import OperationModel, Shape, StructureShape

from appstream_export.contracts.botocore_model import (
    VERSION,
    build_item_field,
    find_items_path,
    find_operation_problems,
    load_operation_model,
    load_service_model,
)
from appstream_export.contracts.call_rules import MONTH, CallRules
from appstream_export.contracts.fields import OperationOutput, ProposedCalls
from appstream_export.contracts.iam import is_read_operation
from appstream_export.contracts.loader import load_contracts, parse_contract
from appstream_export.contracts.model import Column, Contract
from appstream_export.contracts.propose import render_proposed_contract
from appstream_export.errors import ContractError

_PARENTS_MAX = 2  # levels of parents: entitled applications of the entitlements of stacks
_FILE_NAME = re.compile(r"Save as [^/\n]+/(\w+\.toml)")
_GENERIC = frozenset({"arn", "id", "identifier", "name"})
_ONE_OF = re.compile(r"must specify (either|one)|must be specified", re.IGNORECASE)
_MONTHLY = re.compile(r"yyyy-mm\b(?!-)", re.IGNORECASE)


def propose_contract(service: str, operation: str, folder: str = "schemas") -> str:
    """Return a complete contract for an operation, as TOML for a person to review; raises ContractError.

    Its first lines say to save it in `folder`.
    """
    return _propose(service, operation, _PARENTS_MAX, folder)


def read_proposed_file_name(text: str) -> str:
    """Return the name of the file in which the first lines of a proposal say to save it."""
    found = _FILE_NAME.search(text)
    assert found, "propose_contract writes it"  # noqa: S101
    return found[1]


def _propose(service: str, operation: str, levels: int, folder: str = "schemas") -> str:
    model = load_operation_model(service, operation)
    calls = _propose_calls(model, levels)
    if problem := next(find_operation_problems(model, CallRules(inputs=calls.inputs)), None):
        raise ContractError(problem)
    items = find_items_path(model)
    metadata = model.service_model.metadata
    title = metadata.get("serviceAbbreviation") or metadata.get("serviceFullName") or service
    item = build_item_field(model, items)
    output = OperationOutput(service, title, operation, items, item, VERSION, calls)
    return render_proposed_contract(output, folder)


def _propose_calls(model: OperationModel, levels: int) -> ProposedCalls:
    """Return inputs that make the operation answer, as far as they can be guessed."""
    required = _list_required_members(model)
    fixed = {name: value for name, shape in required.items() if (value := _choose_constant(shape)) is not None}
    open_members = [name for name in required if name not in fixed]
    remarks = {"with": "check the value"} if fixed else {}
    if not open_members or not levels:
        return ProposedCalls(fixed, None, remarks)
    for names in _list_alternatives(model, open_members):
        if found := _choose_parent(model, {name: _list_inputs(model)[name] for name in names}, levels):
            parent, columns = found
            source = f"needs the resource {parent.name}: {parent.service} {parent.operation}"
            return ProposedCalls({**columns, **fixed}, parent, {**remarks, "per": source})
    return ProposedCalls(fixed, None, remarks)


def _list_inputs(model: OperationModel) -> Mapping[str, Shape]:
    return model.input_shape.members if isinstance(model.input_shape, StructureShape) else {}


def _list_required_members(model: OperationModel) -> dict[str, Shape]:
    """Return the members that AWS requires; all texts if only the documentation says that it requires one of them."""
    members = _list_inputs(model)
    names = model.input_shape.required_members if model.input_shape else []
    if not names and _ONE_OF.search(model.documentation):
        names = [n for n, shape in members.items() if shape.type_name == "string" and not getattr(shape, "enum", ())]
        names = [n for n in names if not re.search("token|marker", n, re.IGNORECASE)]
    return {name: members[name] for name in names}


def _list_alternatives(model: OperationModel, names: list[str]) -> Iterator[list[str]]:
    """Yield the members to give values: all required ones, or each by itself if one of them is enough."""
    is_required = model.input_shape is not None and model.input_shape.required_members
    yield from [names] if is_required else ([name] for name in names)


def _choose_constant(shape: Shape) -> str | None:
    """Return a value that the model or the documentation gives: of an enum, or the month of the run."""
    values = getattr(shape, "enum", ())
    if values:
        return next((value for value in values if re.search(rf"\b{value}\b", shape.documentation)), values[0])
    is_month = shape.type_name == "string" and _MONTHLY.search(re.sub("<[^>]+>", "", shape.documentation))
    return f"{{{MONTH}}}" if is_month else None


def _choose_parent(
    model: OperationModel, members: Mapping[str, Shape], levels: int
) -> tuple[Contract, dict[str, str]] | None:
    """Return the contract whose rows hold a value for each member, and the inputs; None if there is none."""
    if any(shape.type_name != "string" for shape in members.values()):
        return None
    ranked = []
    for contract in _list_candidates(model.service_model.service_name, levels - 1):
        if contract.operation == model.name:
            continue
        found = {name: _find_column(contract, model.name, name, shape) for name, shape in members.items()}
        matches = {name: match for name, match in found.items() if match}
        if len(matches) == len(members):
            rank = sum(rank for rank, _ in matches.values())
            inputs = {name: f"{{{column}}}" for name, (_, column) in matches.items()}
            ranked.append((rank, not contract.file.is_file(), contract.calls.per is not None, contract.name, inputs))
            ranked[-1] = (*ranked[-1][:4], contract, inputs)
    if not ranked:
        return None
    *_, contract, inputs = min(ranked, key=lambda entry: entry[:4])
    return contract, inputs


@cache
def _list_candidates(service: str, levels: int) -> tuple[Contract, ...]:
    """Return contracts of the service's list operations: shipped ones, else proposals with at most so many parents."""
    shipped = {c.operation: c for c in load_contracts() if c.service == service}
    names = [name for name in load_service_model(service).operation_names if is_read_operation(service, name)]
    found = (shipped.get(name) or _load_candidate(service, name, levels) for name in names)
    return tuple(contract for contract in found if contract)


@cache
def _load_candidate(service: str, operation: str, levels: int) -> Contract | None:
    try:
        text = _propose(service, operation, levels)
        return parse_contract(Path("proposed") / read_proposed_file_name(text), text)
    except ContractError:
        return None


def _find_column(contract: Contract, operation: str, member: str, shape: Shape) -> tuple[int, str] | None:
    """Return the column of the contract that holds a value for the member, and how sure that is: 0 is the best rank."""
    wanted = re.sub(r"[^a-z]", "", member.lower())
    noun = contract.item_name.replace("_", "")
    columns = [c for c in contract.item_table.source_columns if c.type == "string"]
    for column in columns:
        if _is_named_after_item(column, noun, wanted, operation):
            return 0, column.name
        if column.input_name and contract.calls.inputs.get(member) == f"{{{column.input_name}}}":
            return 0, column.name
    is_arn = wanted.endswith("arn") or "ARN" in shape.documentation[:60]
    is_any = is_arn and (wanted in ("resourcearn", "arn") or not wanted.endswith("arn"))
    arn = next((c.name for c in columns if c.source.lower() in ("arn", f"{noun}arn")), None)
    return (5, arn) if is_any and arn else None


def _is_named_after_item(column: Column, noun: str, wanted: str, operation: str) -> bool:
    """Return whether `StackName` is the `Name` of a stack: by the item's noun, or the field's own name with it."""
    source = column.source.lower()
    if source == ".":
        owner = re.sub(r"(name|id|arn|identifier)$", "", wanted)
        return bool(owner) and noun.endswith(owner)
    if wanted in _GENERIC:
        subject = re.sub(r"^(Describe|List|Get)", "", operation).lower()
        return source in (wanted, f"{noun}{wanted}") and subject.startswith(noun)
    return wanted in (f"{noun}{source}", source if source.startswith(noun) else "", noun if source == "name" else "")
