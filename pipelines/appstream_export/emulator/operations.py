"""Read from botocore's model how an operation lists: its inputs, its pages, and where its items lie."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import botocore.session
from botocore.exceptions import DataNotFoundError, UnknownServiceError

PROTOCOLS = ("json", "rest-json")
DEFAULT_PAGE_SIZE = 50  # where neither the caller nor the model names one
# Limits that AWS documents in words alone.
DOCUMENTED_MAX_PAGE_SIZES: Mapping[tuple[str, str], int] = {("resourcegroupstaggingapi", "GetResources"): 100}

_LISTS = re.compile(r"(Describe|List|Get|Search)[A-Z]")
_TOKEN = re.compile(r"token|marker", re.IGNORECASE)
_PAGE_SIZE = re.compile(r"(Max(Results|Items|Records)|Limit|PageSize|\w+PerPage)", re.IGNORECASE)
_PLAIN_PATH = re.compile(r"\w+(\.\w+)*")


@dataclass(frozen=True, slots=True)
class EmulatedOperation:
    """An operation that lists. Inputs have the names of botocore's members, outputs their names in JSON."""

    service: str
    name: str
    model: Any
    items_path: tuple[str, ...]
    is_map: bool
    """Whether the items are the entries of a map; each is `{"key": ..., "value": ...}` here."""
    input_token: str | None
    output_token: tuple[str, ...] | None
    page_size: str | None
    """The input that limits a page."""
    max_page_size: int | None

    @property
    def inputs(self) -> Mapping[str, Any]:
        """The shapes of the inputs."""
        return self.model.input_shape.members if self.model.input_shape else {}

    @property
    def not_found_code(self) -> str:
        """The operation's error code for an unknown resource."""
        codes = [str(shape.error_code) for shape in self.model.error_shapes if "NotFound" in shape.name]
        return next((code for code in codes if code.startswith("Resource")), next(iter(codes), _NOT_FOUND))

    @property
    def content_type(self) -> str:
        """The type of its answers."""
        version = self.model.service_model.metadata.get("jsonVersion")
        return f"application/x-amz-json-{version}" if version else "application/json"


_NOT_FOUND = "ResourceNotFoundException"


@cache
def find_service_model(service: str) -> Any:
    """Return botocore's model of a service, None if it has none or speaks no JSON."""
    try:
        model = _get_session().get_service_model(service)
    except UnknownServiceError:
        return None
    return model if model.resolved_protocol in PROTOCOLS else None


@cache
def load_list_operation(service: str, name: str) -> EmulatedOperation | None:
    """Return the operation, None if the service has no such operation or it gives no list."""
    service_model = find_service_model(service)
    if service_model is None or name not in service_model.operation_names or not _LISTS.match(name):
        return None
    model = service_model.operation_model(name)
    paging = _load_paginator(service, name)
    found = _find_items(model.output_shape, paging.get("result_key"))
    if found is None:
        return None
    items_path, is_map = found
    inputs = dict(model.input_shape.members) if model.input_shape else {}
    input_token, output_token = _find_tokens(inputs, model.output_shape, paging)
    page_size = paging.get("limit_key") or next((key for key in inputs if _PAGE_SIZE.fullmatch(key)), None)
    most = inputs[page_size].metadata.get("max") if page_size in inputs else None
    most = DOCUMENTED_MAX_PAGE_SIZES.get((service, name), most)
    return EmulatedOperation(service, name, model, items_path, is_map, input_token, output_token, page_size, most)


def get_item_shape(operation: EmulatedOperation) -> Any:
    """Return the shape of an item, of a value where items are the entries of a map."""
    shape = operation.model.output_shape
    for step in operation.items_path:
        shape = next(member for name, member in shape.members.items() if get_wire_name(name, member) == step)
    return shape.value if operation.is_map else shape.member


@cache
def _get_session() -> Any:
    return botocore.session.get_session()


def _load_paginator(service: str, name: str) -> Mapping[str, Any]:
    try:
        return _get_session().get_paginator_model(service).get_paginator(name)
    except (DataNotFoundError, UnknownServiceError, ValueError):
        return {}


def _find_items(output: Any, result_key: str | list[str] | None) -> tuple[tuple[str, ...], bool] | None:
    """Return the path of the items: as botocore's paginator has it, else the first list, else the first map."""
    members = dict(output.members) if output else {}
    keys = [result_key] if isinstance(result_key, str) else list(result_key or ())
    keys += [name for kind in ("list", "map") for name, shape in members.items() if shape.type_name == kind]
    for key in filter(_PLAIN_PATH.fullmatch, keys):
        path, shape = _resolve_path(output, key)
        if shape is not None and shape.type_name in ("list", "map"):
            return path, shape.type_name == "map"
    return None


def _find_tokens(
    inputs: Mapping[str, Any], output: Any, paging: Mapping[str, Any]
) -> tuple[str | None, tuple[str, ...] | None]:
    """Return the input and the output of the page token, None and None if there is but one page."""
    given, taken = paging.get("output_token"), paging.get("input_token")
    if not paging:
        tokens = [name for name, shape in output.members.items() if _TOKEN.search(name) and shape.type_name == "string"]
        given = taken = next((name for name in tokens if name in inputs), None)
    if not isinstance(given, str) or not isinstance(taken, str) or not _PLAIN_PATH.fullmatch(given):
        return None, None
    path, shape = _resolve_path(output, given)
    return (taken, path) if shape is not None else (None, None)


def _resolve_path(shape: Any, path: str) -> tuple[tuple[str, ...], Any]:
    """Return a path of members as JSON has it, and the shape at its end or None."""
    steps: list[str] = []
    for name in path.split("."):
        members = getattr(shape, "members", {})
        shape = members.get(name)
        if shape is None:
            return (), None
        steps.append(get_wire_name(name, shape))
    return tuple(steps), shape


def get_wire_name(name: str, shape: Any) -> str:
    """Return the name that a member has in JSON."""
    return str(shape.serialization.get("name", name))
