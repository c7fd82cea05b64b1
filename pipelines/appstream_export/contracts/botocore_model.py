"""Read botocore's model of an operation, to lint and to propose contracts. Creates no client and uses no network."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from html import unescape
from typing import Any

import botocore
from botocore.configprovider import ConfiguredEndpointProvider
from botocore.exceptions import DataNotFoundError
from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape

from appstream_export.contracts.botocore_inputs import find_input_problems
from appstream_export.contracts.call_rules import CallRules
from appstream_export.contracts.fields import (
    Field,
    NoSuchField,
    resolve_field,
    resolve_row_field,
    walk_leaf_fields,
)
from appstream_export.contracts.iam import is_read_operation
from appstream_export.contracts.lint import find_field_problems
from appstream_export.contracts.model import Contract
from appstream_export.contracts.paths import MAP, MAP_KEY, MAP_VALUE
from appstream_export.errors import ContractError, suggest_correction

PROTOCOLS = ("json", "rest-json")
VERSION = f"botocore {botocore.__version__}"
_PLAIN_PATH = re.compile(r"\w+(\.\w+)*")
_TOKEN = re.compile(r"token|marker", re.IGNORECASE)
_DOC_MAX = 200  # characters; a longer sentence is cut at a word
_KINDS: Mapping[str, str] = {
    "string": "string",
    "character": "string",
    "blob": "string",  # base64, as JSON has it
    "integer": "integer",
    "long": "integer",
    "boolean": "boolean",
    "timestamp": "timestamp",
    "float": "number",
    "double": "number",
}


def find_configured_endpoint(session: Any, service: str) -> str | None:
    """Return the endpoint that the environment or the AWS config file names for a service, as botocore's clients do.

    A `services` section of the config file counts, and so does `ignore_configured_endpoint_urls`.
    """
    if session.get_config_variable("ignore_configured_endpoint_urls"):
        return None
    return ConfiguredEndpointProvider(session.full_config, session.get_scoped_config(), service).provide()


def check_contracts(contracts: Iterable[Contract], *, any_protocol: bool = False) -> list[str]:
    """Raise ContractError for a contract that botocore cannot serve; return the other findings of `lint_contracts`.

    The returned findings do not stop a run: a newer botocore has fields that no column reads, an older one lacks some.
    """
    notes = []
    for contract in contracts:
        try:
            operation = load_operation_model(contract.service, contract.operation)
            problems = find_operation_problems(operation, contract.calls, any_protocol=any_protocol)
            if problem := next(problems, None):
                raise ContractError(problem, fix="correct the contract")
            item = build_item_field(operation, contract.items)
        except ContractError as error:
            raise ContractError(f"{contract.file.name}: {error.message}", fix=error.fix) from error
        notes += [f"{contract.file.name}: {finding}" for finding in find_field_problems(contract, item, VERSION)]
    return notes


def mark_sensitive_fields(contract: Contract) -> Contract:
    """Return the contract with the sensitive paths (by botocore's model) that no column reads; raises ContractError."""
    item = build_item_field(load_operation_model(contract.service, contract.operation), contract.items)
    read = {table.build_source_path(column) for table in contract.tables for column in table.answer_columns}
    read |= {(table.rows_from or "").removesuffix(MAP) for table in contract.tables}
    paths = [path for path, field in walk_leaf_fields(item) if field.is_sensitive and path not in read]
    return replace(contract, sensitive=tuple(paths))


def list_sensitive_members(operation: OperationModel) -> frozenset[str]:
    """Return the members of an answer, by their names in JSON, that are sensitive or contain sensitive fields."""
    root = _build_field("", operation.output_shape, frozenset()) if operation.output_shape else None
    return frozenset(
        field.name
        for field in (root.fields if root else ())
        if any(leaf.is_sensitive for _, leaf in walk_leaf_fields(field))
    )


def list_answer_members(operation: OperationModel) -> frozenset[str]:
    """Return the members of an answer by their names in JSON."""
    shape = operation.output_shape
    members = shape.members.items() if shape else ()
    return frozenset(_get_wire_name(name, member) for name, member in members if _is_in_body(member))


def get_wire_path(shape: Shape | None, path: str) -> str | None:
    """Return the path of members as JSON names it; None if a member is not in the body of an answer."""
    steps = []
    for step in path.split("."):
        member = shape.members.get(step) if isinstance(shape, StructureShape) else None
        if member is None or not _is_in_body(member):
            return None
        steps.append(_get_wire_name(step, member))
        shape = member
    return ".".join(steps)


def lint_contract(contract: Contract) -> list[str]:
    """Return a line per difference between a contract and the installed botocore, with file, place and fix."""
    return [f"{contract.file.name}: {finding}" for finding in _find_contract_problems(contract)]


def lint_contracts(contracts: Iterable[Contract]) -> list[str]:
    """Return the findings of every contract; empty if there are none."""
    return [finding for contract in contracts for finding in lint_contract(contract)]


def load_enum_values(contract: Contract) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return the enum values that botocore knows, in its order, by table and column; raises ContractError.

    Columns that the installed botocore lacks (because it is older than the contract) are left out.
    """
    try:
        item = build_item_field(load_operation_model(contract.service, contract.operation), contract.items)
    except ContractError as error:
        raise ContractError(f"{contract.file.name}: {error.message}", fix=error.fix) from error
    found = {}
    for table in contract.tables:
        for column in table.answer_columns:
            try:
                values = resolve_field(resolve_row_field(item, table.rows_from), column.source).values
            except NoSuchField:
                continue
            if values:
                found[table.name, column.name] = values
    return found


def _find_contract_problems(contract: Contract) -> Iterator[str]:
    try:
        operation = load_operation_model(contract.service, contract.operation)
        yield from find_operation_problems(operation, contract.calls)
        item = build_item_field(operation, contract.items)
    except ContractError as error:
        yield str(error)
    else:
        yield from find_field_problems(contract, item, VERSION)


@cache
def get_botocore_loader() -> Loader:
    """Return a loader of botocore's own models, cached per process. It ignores models in ~/.aws/models."""
    return Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)


@cache
def load_service_model(name: str) -> ServiceModel:
    """Return botocore's model of a service; raises ContractError."""
    names = get_botocore_loader().list_available_services("service-2")
    if name not in names:  # checked first, because the loader would read the name as a path
        raise ContractError(f'service = "{name}" is unknown to {VERSION}', fix=suggest_correction(name, names))
    return ServiceModel(get_botocore_loader().load_service_model(name, "service-2"), name)


def load_operation_model(service: str, name: str) -> OperationModel:
    """Return botocore's model of an operation; raises ContractError."""
    model = load_service_model(service)
    names = list(model.operation_names)
    if name not in names:
        what = f'operation = "{name}" is unknown to {VERSION} for {service}'
        raise ContractError(what, fix=suggest_correction(name, names))
    return model.operation_model(name)


def find_operation_problems(
    operation: OperationModel, calls: CallRules, *, any_protocol: bool = False
) -> Iterator[str]:
    """Yield the reasons why an operation cannot be exported."""
    name, service = operation.name, operation.service_model
    if not is_read_operation(service.service_name, name):
        yield f'operation = "{name}" is no read: only Describe, List and some Get operations are allowed'
    if not any_protocol and service.resolved_protocol not in PROTOCOLS:
        readable = " and ".join(PROTOCOLS)
        yield f'service = "{service.service_name}" speaks {service.resolved_protocol}: only {readable} are read'
    if operation.output_shape and (payload := operation.output_shape.serialization.get("payload")):
        yield f'operation = "{name}" answers with {payload} alone, not with an object that holds it'
    required = operation.input_shape.required_members if operation.input_shape else []
    if needed := [member for member in required if member not in calls.inputs]:
        yield f'operation = "{name}" needs {", ".join(needed)}: give each a value by with = {{ {needed[0]} = ... }}'
    yield from find_input_problems(operation.input_shape, calls.inputs)
    if (token := str(_get_token_name(operation, calls))) in calls.inputs:
        yield f"with: {token} is the page token, which the export sets"
    if problem := _find_paging_problem(operation, calls):
        yield f'operation = "{name}" {problem}: the export could not recognize its last page'


def _find_paging_problem(operation: OperationModel, calls: CallRules) -> str | None:
    """Return a problem unless the end of the pages can be proved: one string token, or no token at all."""
    paging = _load_paginator(operation)
    if calls.token:
        return _find_token_problem(operation, calls) if paging is None else f"is paged by {VERSION}: remove pages"
    if paging is None:
        token = next(iter(_list_token_members(operation.output_shape)), None)
        is_unclear = token and find_page_token(operation) is None
        return f"gives {token}, but {VERSION} does not know how it pages" if is_unclear else None
    tokens = (paging.get("input_token"), paging.get("output_token"))
    is_plain = all(isinstance(t, str) and _PLAIN_PATH.fullmatch(t) for t in tokens)
    if is_plain and get_wire_path(operation.output_shape, str(tokens[1])) is None:
        return f"gives {tokens[1]} outside its JSON"
    return None if is_plain else f"pages by {tokens[1]}, not by one plain token"


def _get_token_name(operation: OperationModel, calls: CallRules) -> object:
    paging = _load_paginator(operation) or {}
    return paging.get("input_token") or calls.token or find_page_token(operation)


def _find_token_problem(operation: OperationModel, calls: CallRules) -> str | None:
    shapes = {"takes": operation.input_shape, "gives": operation.output_shape}
    for verb, shape in shapes.items():
        if calls.token not in _list_text_members(shape):
            return f"{verb} no text {calls.token}, which pages names"
    sizes = operation.input_shape.members if operation.input_shape else {}
    if calls.page_size and calls.page_size not in sizes:
        return f"takes no {calls.page_size}, which pages names"
    return None


def find_page_token(operation: OperationModel) -> str | None:
    """Return the page token of an operation without a paginator: the one member of both answer and request."""
    taken, given = (_list_token_members(shape) for shape in (operation.input_shape, operation.output_shape))
    return given[0] if len(given) == 1 and given[0] in taken else None


def _list_token_members(shape: Shape | None) -> list[str]:
    return [name for name in _list_text_members(shape) if _TOKEN.search(name)]


def _list_text_members(shape: Shape | None) -> list[str]:
    members = shape.members.items() if isinstance(shape, StructureShape) else ()
    return [name for name, member in members if member.type_name == "string"]


def _load_paginator(operation: OperationModel) -> dict[str, Any] | None:
    try:
        paginators = get_botocore_loader().load_service_model(operation.service_model.service_name, "paginators-1")
    except DataNotFoundError:
        return None
    return paginators["pagination"].get(operation.name)


def find_items_path(operation: OperationModel) -> str:
    """Return the path of the items: from botocore's paginator, else the first list of structures, of texts, or map."""
    results = (_load_paginator(operation) or {}).get("result_key", [])
    members = [results] if isinstance(results, str) else list(results)
    candidates = [get_wire_path(operation.output_shape, member) or member for member in members]
    found = (*_find_structure_lists(operation), *_find_text_lists(operation), *_find_maps(operation))
    candidates += [c for c in found if c not in candidates]
    if not candidates:
        what = f'operation = "{operation.name}" gives no list and no map'
        raise ContractError(what, fix="look for another operation")
    return candidates[0]


def _find_structure_lists(operation: OperationModel) -> list[str]:
    members = operation.output_shape.members if operation.output_shape else {}
    return [
        _get_wire_name(name, shape)
        for name, shape in members.items()
        if isinstance(shape, ListShape) and isinstance(shape.member, StructureShape)
    ]


def _find_text_lists(operation: OperationModel) -> list[str]:
    members = operation.output_shape.members if operation.output_shape else {}
    return [
        _get_wire_name(name, shape)
        for name, shape in members.items()
        if isinstance(shape, ListShape) and shape.member.type_name == "string" and _is_in_body(shape)
    ]


def _find_maps(operation: OperationModel) -> list[str]:
    members = operation.output_shape.members if operation.output_shape else {}
    return [
        f"{_get_wire_name(name, shape)}{MAP}"
        for name, shape in members.items()
        if isinstance(shape, MapShape) and _is_in_body(shape)
    ]


def build_item_field(operation: OperationModel, items: str) -> Field:
    """Return the field of one item; raises ContractError if the path is no list of structures or texts, and no map."""
    output = operation.output_shape
    if output is None:
        raise ContractError(f'operation = "{operation.name}" gives nothing', fix="look for another operation")
    try:
        found = resolve_row_field(_build_field("", output, frozenset()), items)
    except NoSuchField as error:
        lists = ", ".join(_find_structure_lists(operation)) or "no list of structures"
        fix = error.fix or f"{operation.name} gives {lists}"
        raise ContractError(f'items = "{items}": {error.message}', fix=fix) from error
    if found.kind not in ("structure", "string"):
        what = f'items = "{items}" of {operation.name} is a list of {found.aws_type}s, not of structures or texts'
        raise ContractError(what, fix="look for a Describe operation")
    return found


def _build_field(
    name: str, shape: Shape, ancestors: frozenset[str], *, is_required: bool = False, is_sensitive: bool = False
) -> Field:
    """Return the field tree of a shape. Recursive shapes, maps and documents end the tree as JSON."""
    is_sensitive = is_sensitive or _is_sensitive(shape)
    kind, aws_type = _KINDS.get(shape.type_name, "json"), shape.type_name
    fields: tuple[Field, ...] = ()
    element = entry = None
    path_shapes = ancestors | {shape.name}
    if shape.name in ancestors:
        aws_type = f"recursive {aws_type}"
    elif isinstance(shape, StructureShape) and shape.members and not shape.is_document_type:
        kind, fields = "structure", tuple(_build_member_fields(shape, path_shapes, is_sensitive=is_sensitive))
    elif isinstance(shape, ListShape):
        kind, element = "list", _build_field("", shape.member, path_shapes, is_sensitive=is_sensitive)
    elif isinstance(shape, MapShape):
        entry = _build_entry_field(shape, path_shapes, is_sensitive=is_sensitive)
    return Field(
        name=name,
        kind=kind,
        aws_type=aws_type,
        doc=extract_first_sentence(shape.documentation),
        values=tuple(getattr(shape, "enum", ())),
        is_required=is_required,
        is_sensitive=is_sensitive,
        fields=fields,
        element=element,
        entry=entry,
    )


def _build_entry_field(shape: MapShape, ancestors: frozenset[str], *, is_sensitive: bool) -> Field:
    """Return the field of a row of a map."""
    parts = ((MAP_KEY, shape.key), (MAP_VALUE, shape.value))
    fields = (_build_field(name, part, ancestors, is_sensitive=is_sensitive) for name, part in parts)
    return Field("", "structure", "structure", fields=tuple(fields))


def _build_member_fields(shape: StructureShape, ancestors: frozenset[str], *, is_sensitive: bool) -> Iterator[Field]:
    for name, member in shape.members.items():
        if not _is_in_body(member):
            continue
        wire = _get_wire_name(name, member)
        yield _build_field(
            wire, member, ancestors, is_required=name in shape.required_members, is_sensitive=is_sensitive
        )


def _is_sensitive(shape: Shape) -> bool:
    inner = (shape.key, shape.value) if isinstance(shape, MapShape) else ()
    return any(s.metadata.get("sensitive") for s in (shape, *inner))


def _is_in_body(member: Shape) -> bool:
    """Return whether a member is in the JSON of an answer, not in its headers or status."""
    return "location" not in member.serialization


def _get_wire_name(name: str, shape: Shape) -> str:
    return shape.serialization.get("name", name)


@cache
def extract_first_sentence(html: str) -> str:
    """Return the first sentence of botocore's HTML as plain text, at most 200 characters."""
    paragraph = re.split(r"</p>|<(?:ul|ol|dl|note|important)>", html.strip(), maxsplit=1)[0]
    text = unescape(re.sub(r"<[^>]+>", "", re.sub(r"<(br|p|li)\b[^>]*>", " ", paragraph)))
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    sentence = re.split(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)\s+(?=[A-Z(])", text, maxsplit=1)[0].rstrip(":").strip()
    if len(sentence) > _DOC_MAX:
        sentence = sentence[:_DOC_MAX].rpartition(" ")[0] + " ..."
    return f"{sentence}." if sentence and sentence[-1].isalnum() else sentence
