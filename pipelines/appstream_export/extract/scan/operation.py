"""A list operation: its parameters from botocore's model, and the checks that its pages must pass."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Self

import botocore
import botocore.session
from botocore.exceptions import BotoCoreError
from botocore.model import ListShape, MapShape, OperationModel, OperationNotFoundError, Shape, StructureShape

from appstream_export.contracts import (
    ITEM_VALUE,
    MAP,
    MAP_KEY,
    MAP_VALUE,
    MONTH,
    CallRules,
    Contract,
    fill_inputs,
    find_page_token,
    get_wire_path,
    list_answer_members,
    list_sensitive_members,
)
from appstream_export.errors import ConfigurationError
from appstream_export.extract.aws import build_malformed_error, sanitize_text
from appstream_export.extract.scan.follow_ups import RowReader
from appstream_export.extract.scan.page_integrity import (
    find_damage,
    find_error_member,
    find_error_type,
    find_repeated_key,
    find_unread_page,
    format_body_start,
    list_other_members,
)
from appstream_export.extract.scan.page_text import PageDecoder
from appstream_export.extract.scan.values import get_nested_value
from appstream_export.json_text import RawItems, read_json
from appstream_export.model import ScanOptions

NAMES = "Names"  # the filter parameter of all AppStream list operations that have one
PROTOCOLS = ("json", "rest-json")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ListOperation:
    """A contract's list operation: botocore's names for its paging, and the paths of key and Arn in an item."""

    service: str
    operation: str
    items: tuple[str, ...]
    key: tuple[str, ...]
    arn: tuple[str, ...] | None
    input_token: str | None
    output_token: str | None
    limit_key: str | None
    takes_names: bool
    rules: CallRules = field(default_factory=CallRules)
    month: str = ""
    """The value of `{month}` in inputs."""
    row_reader: RowReader | None = None
    """Reader of the rows that follow-up calls of other resources need."""
    parent_columns: frozenset[str] = frozenset()
    """Columns of the parent that inputs and the item table need."""
    item_kind: str = "structure"
    """`structure`, `text`, or `map` if the items are the rows of a map."""
    known_members: frozenset[str] = frozenset()
    """The members that botocore's model defines for the answer."""
    sensitive_members: frozenset[str] = frozenset()
    result_type: str | None = None
    output_shape: Shape | None = None
    """The shape of the answer, by which the result of botocore's parser gets its names in JSON back."""
    decoder: PageDecoder | None = None

    @classmethod
    def from_contract(
        cls, contract: Contract, session: botocore.session.Session, *, any_protocol: bool = False, month: str = ""
    ) -> Self:
        """Return the operation from botocore's model; raises ConfigurationError if it is missing or not JSON.

        `month` is the value of `{month}` in the contract's inputs.
        """
        model = _load_operation_model(contract, session, any_protocol)
        paging = _load_paginator_config(contract, session, model)
        token = _find_token_path(contract, model, paging.get("output_token"))
        sources = {name: tuple(source.split(".")) for name, source in contract.item_sources.items()}
        inputs = model.input_shape.members if model.input_shape else {}
        return cls(
            service=contract.service,
            operation=contract.operation,
            items=tuple(contract.items.removesuffix(MAP).split(".")),
            item_kind="map" if contract.has_map_items else "text" if contract.has_text_items else "structure",
            key=next((sources[k] for k in contract.item_key if k in sources), ()),
            arn=sources.get("arn"),
            input_token=paging.get("input_token"),
            output_token=token,
            limit_key=paging.get("limit_key"),
            takes_names=NAMES in inputs and NAMES not in contract.calls.inputs,
            rules=contract.calls,
            month=month,
            row_reader=_build_row_reader(contract),
            parent_columns=contract.parent_columns,
            known_members=list_answer_members(model),
            sensitive_members=list_sensitive_members(model),
            result_type=model.output_shape.name if model.output_shape else None,
            output_shape=model.output_shape,
            decoder=PageDecoder.create_if_flat(contract, token),
        )

    def check_options(self, options: ScanOptions) -> None:
        """Raise ConfigurationError, before any request, for options that the operation does not support."""
        if options.page_size is not None and self.limit_key is None:
            raise ConfigurationError(f"{self.operation} takes no page size", fix="remove page_size")
        if options.starting_token is not None and self.input_token is None:
            raise ConfigurationError(f"{self.operation} has only one page", fix="remove the starting token")
        if options.starting_token is not None and self.rules.parent:
            fix = f"name a token of {self.rules.parent}"
            raise ConfigurationError(f"{self.operation} has no starting token, because it follows other calls", fix=fix)

    def build_params(
        self,
        *,
        token: str | None,
        page_size: int | None,
        names: tuple[str, ...],
        parent_row: Mapping[str, str] = MappingProxyType({}),
    ) -> dict[str, Any]:
        """Return the input of the operation. The page size is sent only if configured, since AWS's default is good."""
        found = fill_inputs(self.rules.inputs, {**parent_row, MONTH: self.month})
        if token is not None and self.input_token is not None:
            found[self.input_token] = token
        if page_size is not None and self.limit_key is not None:
            found[self.limit_key] = page_size
        if names and self.takes_names:
            found[NAMES] = list(dict.fromkeys(names))
        return found

    def read_page(self, response: Mapping[str, Any]) -> dict[str, Any]:
        """Return the JSON of a complete, well-formed page; raises RetriableScopeError (malformed) for any other 2xx."""
        body, headers = response["body"], response["headers"]
        why = find_damage(response["status_code"], body, headers)
        root = None if why else read_json(body)
        why = why or (
            self._find_answer_problem(root)
            if root is not None
            else f"the answer is not JSON: {format_body_start(body)}"
        )
        if why or not isinstance(root, dict):
            raise build_malformed_error(
                self.operation, why or "the answer is not an object", headers.get("x-amzn-RequestId")
            )
        return root

    def read_raw_page(self, response: Mapping[str, Any]) -> dict[str, Any]:
        """Return the page with its items still as text if it has the usual form, else as `read_page` does.

        It is for callers that need all items. Raises as `read_page` does.
        """
        body, headers = response["body"], response["headers"]
        why = find_damage(response["status_code"], body, headers)
        decoded = None if why or self.decoder is None else self.decoder.decode_page(body)
        if decoded is None:
            return self.read_page(response)
        items, token = decoded
        return {self.items[0]: items} | ({self.output_token: token} if self.output_token else {})

    def check_raw_answer(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Raise RetriableScopeError (malformed) for errors and repeated keys of a 200 that botocore ignores."""
        if why := find_error_type(headers) or self._find_hidden_problem(read_json(body)):
            raise build_malformed_error(self.operation, why)

    def convert_parsed_page(self, parsed: Mapping[str, Any]) -> dict[str, Any]:
        """Convert botocore's parsed answer of a 2xx to JSON values; raises RetriableScopeError if it is not a page.

        The parser returns no members for an answer that is cut, empty or not JSON, so the item list is missing.
        """
        about = parsed.get("ResponseMetadata", {})
        status = about.get("HTTPStatusCode")
        members = {name: value for name, value in parsed.items() if name != "ResponseMetadata"}
        root = convert_to_json_value(members, self.output_shape)
        why = f"HTTP {status} instead of 200" if status != 200 else self._find_items_problem(root)
        if why:
            raise build_malformed_error(self.operation, why, about.get("RequestId"))
        return root

    def list_other_members(self, root: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer's non-empty members besides items and token by path, such as `$.Warnings`."""
        found = list_other_members(root, self.items, self._token_path)
        return {path: value for path, value in found.items() if path.split(".")[1] not in self.sensitive_members}

    def get_items(self, root: Mapping[str, Any]) -> list[Any] | RawItems:
        """Return the items of a page that `read_page` accepted; texts and the rows of a map as objects."""
        found = get_nested_value(root, self.items)
        if self.item_kind == "map":
            return [{MAP_KEY: key, MAP_VALUE: found[key]} for key in sorted(found)]
        return [{ITEM_VALUE: text} for text in found] if self.item_kind == "text" else found

    def get_next_token(self, root: Mapping[str, Any]) -> str | None:
        """Return the token of the next page, None after the last page; raises RetriableScopeError if it is not text."""
        token = get_nested_value(root, self._token_path) if self.output_token else None
        if token is None or token == "":
            return None
        if not isinstance(token, str):
            raise build_malformed_error(self.operation, f"the next page's token is {type(token).__name__}, not text")
        return token

    @property
    def _token_path(self) -> tuple[str, ...]:
        return tuple(self.output_token.split(".")) if self.output_token else ()

    def _has_token(self, root: Mapping[str, Any]) -> bool:
        return bool(self.output_token and get_nested_value(root, self._token_path))

    def _find_answer_problem(self, root: object) -> str | None:
        return self._find_hidden_problem(root) or self._find_items_problem(root)

    def _find_hidden_problem(self, root: object) -> str | None:
        found = find_repeated_key(root, self.items) or find_error_member(root, self.known_members, self.result_type)
        if not found and isinstance(root, dict) and not self._has_token(root):
            found = find_unread_page(self.list_other_members(root), is_paged=self.output_token is not None)
        return sanitize_text(found) if found else None

    def _find_items_problem(self, root: object) -> str | None:
        if not isinstance(root, dict):
            return f"the answer is a JSON {type(root).__name__}, not an object"
        items = get_nested_value(root, self.items)
        wanted = dict if self.item_kind == "map" else list
        if isinstance(items, wanted):
            return None
        path, kind = ".".join(self.items), "map" if wanted is dict else "list"
        return f"the answer lacks {path}" if items is None else f"{path} is {type(items).__name__}, not a {kind}"


def convert_to_json_value(value: Any, shape: Shape | None = None) -> Any:
    """Convert a value of botocore's parser to JSON, with the names that JSON has for members of `shape`.

    A time becomes seconds since 1970, exact to the microsecond.
    """
    if isinstance(value, dict) and isinstance(shape, StructureShape):
        found = {name: (shape.members.get(name), inner) for name, inner in value.items()}
        return {
            member.serialization.get("name", name) if member else name: convert_to_json_value(inner, member)
            for name, (member, inner) in found.items()
        }
    if isinstance(value, dict):
        inside = shape.value if isinstance(shape, MapShape) else None
        return {name: convert_to_json_value(inner, inside) for name, inner in value.items()}
    if isinstance(value, list):
        inside = shape.member if isinstance(shape, ListShape) else None
        return [convert_to_json_value(element, inside) for element in value]
    if isinstance(value, datetime):
        return (value - _EPOCH) // timedelta(microseconds=1) / 1_000_000
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def _find_token_path(contract: Contract, model: OperationModel, member: str | None) -> str | None:
    """Return the path of the page token in JSON; None for an operation of one page."""
    path = get_wire_path(model.output_shape, member) if member else None
    if member and path is None:
        raise ConfigurationError(f"{contract.file.name}: {contract.operation} gives {member} outside its JSON")
    return path


def _build_row_reader(contract: Contract) -> RowReader:
    table = contract.item_table
    texts = {c.name for c in table.answer_columns if c.type == "string"}
    sources = {n: tuple(s.split(".")) for n, s in contract.item_sources.items() if n in texts}
    return RowReader(sources, table.input_columns, frozenset(contract.item_key))


def _load_operation_model(contract: Contract, session: botocore.session.Session, any_protocol: bool) -> OperationModel:
    where = f"{contract.file.name}: {contract.service} {contract.operation}"
    try:
        service = session.get_service_model(contract.service)
        model = service.operation_model(contract.operation)
    except (BotoCoreError, OperationNotFoundError) as error:
        raise ConfigurationError(
            f"{where}: botocore {botocore.__version__} does not know it", fix="correct the contract"
        ) from error
    if service.resolved_protocol not in PROTOCOLS and not any_protocol:
        found = f"botocore {botocore.__version__} uses the protocol {service.resolved_protocol}"
        fix = "set [extract] use_documented_client_api = true or install an older botocore, and report this"
        raise ConfigurationError(f"{where}: {found}, but the export reads only {' and '.join(PROTOCOLS)}", fix=fix)
    return model


def _load_paginator_config(
    contract: Contract, session: botocore.session.Session, model: OperationModel
) -> Mapping[str, str]:
    try:
        found = session.get_paginator_model(contract.service).get_paginator(contract.operation)
    except (BotoCoreError, ValueError):
        token = contract.calls.token or find_page_token(model)  # without a token the operation has only one page
        size = {"limit_key": contract.calls.page_size} if contract.calls.page_size else {}
        return {"input_token": token, "output_token": token, **size} if token else {}
    if not all(isinstance(found.get(k), str) for k in ("input_token", "output_token")):
        raise ConfigurationError(
            f"{contract.file.name}: {contract.operation} uses several page tokens at once, which is not supported"
        )
    return found
