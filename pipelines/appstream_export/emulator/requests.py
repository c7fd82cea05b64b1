"""Read a signed AWS request: which service and operation it calls, and its inputs by botocore's names."""

import gzip
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from botocore.loaders import Loader

from .operations import load_service_model

_HEAD_BYTES = 8_000  # a model begins with its metadata
_OBJECT_STORES = ("s3", "s3express")
_LABEL = re.compile(r"\\{(\w+)(\\\+)?\\}")


@dataclass(frozen=True, slots=True)
class ParsedCall:
    """A service by botocore's name, an operation, and its inputs."""

    service: str
    operation: str
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Route:
    """Method and address of an operation that REST clients call."""

    method: str
    path: re.Pattern[str]
    query: Mapping[str, list[str]]
    operation: str


def parse_json_call(signing_name: str, target: str, body: bytes) -> ParsedCall:
    """Return the call of a JSON protocol, by its X-Amz-Target; an unknown service keeps the name it signs with."""
    prefix, _, operation = target.rpartition(".")
    models = filter(None, map(load_service_model, list_candidate_services(signing_name)))
    service = next((m.service_name for m in models if m.metadata.get("targetPrefix") == prefix), signing_name)
    return ParsedCall(service, operation, parse_json_object(body))


def parse_rest_call(signing_name: str, method: str, target: str, body: bytes) -> ParsedCall | None:
    """Return the call of rest-json, by method and address; None if no operation has them."""
    url = urlsplit(target)
    query = parse_qs(url.query, keep_blank_values=True)
    for service in list_candidate_services(signing_name):
        for route in list_routes(service):
            found = route.path.fullmatch(url.path) if route.method == method else None
            if found and route.query.items() <= query.items():
                shape = load_service_model(service).operation_model(route.operation).input_shape
                params = _read_rest_params(shape, found.groupdict(), query, parse_json_object(body)) if shape else {}
                return ParsedCall(service, route.operation, params)
    return None


def parse_json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body, an empty one for anything else."""
    try:
        params = json.loads(body or b"{}")
    except ValueError:
        return {}
    return params if isinstance(params, dict) else {}


def list_candidate_services(signing_name: str) -> Iterator[str]:
    """Yield the services that sign with a name: the one of that name first, then all that say so.

    Objects of S3 are no calls of a JSON protocol, and looking through all models for one takes seconds.
    """
    if signing_name in _OBJECT_STORES:
        return
    if load_service_model(signing_name) is not None:
        yield signing_name
    yield from (name for name in _find_services(signing_name) if name != signing_name)


@cache
def _find_services(signing_name: str) -> tuple[str, ...]:
    found = [name for name, names in _read_signing_names() if signing_name in names]
    return tuple(name for name in found if load_service_model(name) is not None)


@cache
def list_routes(service: str) -> tuple[Route, ...]:
    """Return the routes of a service that speaks rest-json, those with fixed parts first; empty for any other."""
    model = load_service_model(service)
    if model is None or model.resolved_protocol != "rest-json":
        return ()
    operations = [model.operation_model(name) for name in model.operation_names]
    routes = sorted(operations, key=lambda operation: operation.http["requestUri"].count("{"))
    return tuple(_build_route(operation) for operation in routes)


@cache
def _read_signing_names() -> tuple[tuple[str, set[str]], ...]:
    """Return each service with the names that it may sign with; reads the heads of all models, which takes seconds."""
    return tuple(_walk_signing_names())


def _walk_signing_names() -> Iterator[tuple[str, set[str]]]:
    for file in sorted(Path(Loader.BUILTIN_DATA_PATH).glob("*/*/service-2.json.gz")):
        with gzip.open(file) as stream:
            head = stream.read(_HEAD_BYTES).decode("utf-8", "replace")
        metadata, _ = json.JSONDecoder().raw_decode(head, head.index("{", head.index('"metadata"')))
        yield file.parent.parent.name, {str(metadata.get(key)) for key in ("signingName", "endpointPrefix")}


def _build_route(operation: Any) -> Route:
    path, _, query = operation.http["requestUri"].partition("?")
    pattern = _LABEL.sub(lambda m: f"(?P<{m[1]}>{'.+' if m[2] else '[^/]+'})", re.escape(path))
    return Route(operation.http["method"], re.compile(pattern), parse_qs(query, keep_blank_values=True), operation.name)


def _read_rest_params(
    shape: Any, labels: Mapping[str, str], query: Mapping[str, list[str]], body: Mapping[str, Any]
) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for name, member in shape.members.items():
        where, wire = member.serialization.get("location"), member.serialization.get("name", name)
        if where == "uri" and wire in labels:
            params[name] = _convert_text(member, [unquote(labels[wire])])
        elif where == "querystring" and wire in query:
            params[name] = _convert_text(member, query[wire])
        elif where is None and wire in body:
            params[name] = body[wire]
    return params


def _convert_text(shape: Any, texts: Iterable[str]) -> Any:
    """Convert the text of an address to the type of its shape; text that does not fit stays text."""
    texts = list(texts)
    if shape.type_name == "list":
        return [_convert_text(shape.member, [text]) for text in texts]
    text = texts[-1]
    if shape.type_name in ("integer", "long"):
        return int(text) if re.fullmatch(r"-?\d+", text) else text
    return {"true": True, "false": False}.get(text, text) if shape.type_name == "boolean" else text
