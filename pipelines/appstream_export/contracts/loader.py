"""Load `schemas/*.toml` (grammar: schemas/README.md); each error is one line with file, place and fix."""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from appstream_export.contracts.call_rules import CALL_KEYS, encode_call_rules, get_input_name, read_call_rules
from appstream_export.contracts.iam import is_read_operation
from appstream_export.contracts.model import (
    ACCOUNT_ID,
    CHANGE_COLUMNS,
    EXTRA_JSON,
    OBSERVED_AT,
    POSITION,
    REGION,
    SNAPSHOT_ID,
    Column,
    Contract,
    JoinKey,
    Table,
    build_join_key,
    find_column,
    load_operational_tables,
    rename_join_key,
)
from appstream_export.errors import ContractError, describe_renamed, suggest_correction
from appstream_export.resources import find_resource_folder
from appstream_export.user_text import read_user_text

TYPES = ("string", "integer", "boolean", "timestamp", "number", "json")
RESERVED_COLUMNS = frozenset(
    """snapshot_id account_id region account_name is_stale observed_at snapshot_at extra_json
    position""".split()  # noqa: SIM905
)
DEFAULT_RESOURCES = ("image_builders",)
"""Packaged resources that are on if the settings do not list any."""
RESERVED_TABLES = (
    frozenset(  # views that no contract makes: those of sql/ (tests compare), what feeds read and publish, and assets
        """agent_currency app_block_builder_daily app_block_builder_life_days app_block_builder_span_months
    app_block_builder_state_spans coverage dashboard export_runs exposure feed_publication feed_scopes
    feed_snapshot feed_status image_builder_daily image_builder_life_days image_builder_lineage
    image_builder_lives image_builder_network image_builder_overview image_builder_span_months
    image_builder_state_spans report running_app_block_builders running_image_builders scope_days
    tagged_resources""".split()  # noqa: SIM905
    )
)
RESERVED_TABLE_SUFFIXES = ("_history", "_as_of")  # the other forms of every table
# Words that DuckDB, and most SQL, take for their own where a bare name is due (tests compare with duckdb_keywords()).
SQL_KEYWORDS = frozenset(
    """all analyse analyze and anti any array as asc asof asymmetric at authorization binary both by case cast check
    collate collation column concurrently constraint create cross default deferrable desc describe distinct do else
    end except false fetch for foreign freeze from full glob group having ilike in initially inner intersect into is
    isnull join lambda lateral leading left like limit natural not notnull null offset on only or order outer overlaps
    pivot placing positional primary qualify references returning right select semi show similar some summarize
    symmetric table tablesample then to trailing true union unique unpack unpivot using variadic verbose when where
    window with""".split()  # noqa: SIM905, a list of a hundred quoted words reads worse
)
NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_STEP = r"[A-Za-z][A-Za-z0-9_-]*"
_PATH = re.compile(rf"{_STEP}(\.{_STEP})*")
_ROWS_FROM = re.compile(rf"({_STEP}(\[\])?\.)*{_STEP}(\{{\}})?")
_IGNORED = re.compile(rf"{_STEP}(\[\]|\{{\}})*(\.{_STEP}(\[\]|\{{\}})*)*")
_HEADER_PATTERNS: Mapping[str, tuple[re.Pattern[str], str]] = {
    "doc": (re.compile(".+"), "a sentence"),
    "service": (re.compile(r"[a-z][a-z0-9-]*"), 'a service of botocore such as "appstream"'),
    "operation": (re.compile(r"[A-Z][A-Za-z0-9]*"), 'an operation such as "DescribeImageBuilders"'),
    "items": (re.compile(rf"{_PATH.pattern}(\{{\}})?"), 'a path such as "ImageBuilders"'),
    "item_name": (NAME, 'lower_snake_case such as "image_builder"'),
}
HEADER_KEYS = frozenset({*_HEADER_PATTERNS, *CALL_KEYS, "ignored"})
RENAMED_KEYS = {"singular": "item_name", "born": "created_at_column", "each": "rows_from"}  # old word: new word
TABLE_KEYS = ("doc", "key", "created_at_column", "rows_from")
_COLUMN_KEYS = ("from", "type", "doc")
_COLUMN_EXAMPLE = "{ from = ..., type = ..., doc = ... }"
_CHANGE_COLUMN_NAMES = frozenset(c.name for c in CHANGE_COLUMNS)


def load_contracts(folder: Path | None = None) -> list[Contract]:
    """Return every contract of a folder, sorted by name; by default the packaged ones that are on without settings.

    Raises ContractError.
    """
    if folder is None:
        return [contract for contract in load_packaged_contracts() if contract.name in DEFAULT_RESOURCES]
    contracts = [load_contract(file) for file in sorted(folder.glob("*.toml"))]
    if not contracts:
        raise ContractError(f"{folder}: no contract (*.toml) here", fix="restore one or point to another folder")
    check_table_names(contracts)
    check_parents(contracts)
    return add_parent_keys(contracts)


def add_parent_keys(contracts: Sequence[Contract]) -> list[Contract]:
    """Return the contracts, those of follow-up calls with the join keys of the items above theirs."""
    by_name = {contract.name: contract for contract in contracts}
    return [_add_parent_keys(contract, by_name) for contract in contracts]


def _add_parent_keys(contract: Contract, by_name: Mapping[str, Contract]) -> Contract:
    """Return the contract of a follow-up call with the join keys of its parents, in each table that has their parts."""
    above = {name: other for name, other in by_name.items() if name != contract.name}  # ends a circle of parents
    parent = above.get(contract.calls.per or "")
    if parent is None:
        return contract
    own = {column: name for name, column in contract.item_table.input_columns.items()}
    found = [rename_join_key(key, own) for key in _add_parent_keys(parent, above).item_table.join_keys]
    in_children = dict(zip(contract.item_key, contract.parent_key, strict=True))
    item, *children = contract.tables
    keys = [key for key in found if key is not None]
    inherited = [key for key in (rename_join_key(key, in_children) for key in keys) if key is not None]
    tables = (_add_join_keys(item, keys), *(_add_join_keys(table, inherited) for table in children))
    return replace(contract, tables=tables)


def _add_join_keys(table: Table, keys: Iterable[JoinKey]) -> Table:
    names = {column.name for column in table.columns} | {key.name for key in table.join_keys}
    return replace(table, join_keys=(*table.join_keys, *(key for key in keys if key.name not in names)))


def load_packaged_contracts() -> list[Contract]:
    """Return every packaged contract, on or off, sorted by name; raises ContractError."""
    return load_contracts(find_resource_folder("schemas"))


def check_table_names(contracts: Iterable[Contract]) -> None:
    """Refuse two tables of one name, also in different files."""
    places = {t.name: "operational tables" for t in load_operational_tables()}
    for contract in contracts:
        for table in (*contract.tables, contract.changes_table):
            if table.name in places:
                raise ContractError(
                    f"{contract.file.name}: table [{table.name}] exists in {places[table.name]} already",
                    fix="rename one",
                )
            places[table.name] = contract.file.name


def check_parents(contracts: Iterable[Contract]) -> None:
    """Raise ContractError for a contract whose parent resource is missing, or lacks what a follow-up call needs."""
    by_name = {contract.name: contract for contract in contracts}
    for contract in by_name.values():
        if contract.calls.parent is not None:
            _check_parent(contract, by_name)


def _check_parent(contract: Contract, by_name: Mapping[str, Contract]) -> None:
    calls = contract.calls
    word = "per" if calls.per else "only_where"
    place = f'{contract.file.name}: {word} = "{calls.parent}"'
    parent = by_name.get(calls.parent or "")
    if parent is None:
        fix = suggest_correction(calls.parent or "", sorted(by_name)) or "add its contract, or switch it on"
        raise ContractError(f"{place} is no resource of this export", fix=fix)
    if calls.once_per != parent.calls.once_per:
        raise ContractError(f"{place} has another once_per", fix="both need the same scopes")
    chain = [contract.name]
    while parent is not None and parent.name not in chain:
        chain.append(parent.name)
        parent = by_name.get(parent.calls.parent or "")
    if parent is not None:
        raise ContractError(f"{place}: {' needs '.join([*chain, parent.name])}", fix="break the circle")
    if calls.per:
        _check_inputs_of_parent(contract, by_name[calls.per], place)


def _check_inputs_of_parent(contract: Contract, parent: Contract, place: str) -> None:
    columns = {c.name: c.type for c in parent.item_table.source_columns}
    inputs = contract.item_table.input_columns
    for name in sorted(contract.parent_columns):
        if columns.get(name) != "string":
            fix = suggest_correction(name, [n for n, kind in columns.items() if kind == "string"])
            raise ContractError(f"{place}: {{{name}}} is no string column of {parent.name}", fix=fix)
    for key in parent.item_key:
        if not any(inputs.get(own) == key for own in contract.item_key):
            line = f'{parent.item_name}_{key} = {{ from = "{{{key}}}", type = "string", doc = "..." }}'
            raise ContractError(f"{place}: the key lacks {key} of {parent.name}", fix=f"add {line}, also to key")


def load_contract(file: Path) -> Contract:
    """Return the contract of a file; raises ContractError with file, table, column and fix."""
    try:
        text = read_user_text(file)
    except (OSError, ValueError) as error:
        raise ContractError(f"{file.name}: not readable as TOML: {error}") from error
    return _parse_file_text(file, text)


@lru_cache(maxsize=256)  # a run loads the packaged contracts several times, and parsing them takes a tenth of a second
def _parse_file_text(file: Path, text: str) -> Contract:
    try:
        raw = tomllib.loads(text)
    except ValueError as error:
        raise ContractError(f"{file.name}: not readable as TOML: {error}") from error
    return _ContractReader(file, raw).read_contract()


def encode_contract(contract: Contract) -> bytes:
    """Return a contract as JSON for `decode_contract`, the same bytes whatever the layout of its file."""
    raw: dict[str, Any] = {word: getattr(contract, word) for word in _HEADER_PATTERNS}
    for table in contract.tables:
        columns = {c.name: {"from": c.source, "type": c.type, "doc": c.doc} for c in table.source_columns}
        own: dict[str, Any] = {"doc": table.doc}
        own |= {"rows_from": table.rows_from} if table.rows_from else {"key": contract.item_key}
        own |= {"created_at_column": table.created_at_column} if table.created_at_column else {}
        raw[table.name] = own | columns
    return msgspec.json.encode(
        raw | encode_call_rules(contract.calls) | ({"ignored": contract.ignored} if contract.ignored else {})
    )


def decode_contract(name: str, content: bytes) -> Contract:
    """Return the contract of a resource from its JSON, checked as a file is; raises ContractError."""
    try:
        raw = msgspec.json.decode(content, type=dict[str, Any])
        return _ContractReader(Path(f"{name}.toml"), raw).read_contract()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ContractError(f"{name}: not readable as JSON: {error}") from error


def parse_contract(file: Path, text: str) -> Contract:
    """Return the contract of a text, named after the file; raises ContractError and tomllib.TOMLDecodeError."""
    return _ContractReader(file, tomllib.loads(text)).read_contract()


class _ContractReader:
    """Builds a Contract from a parsed file; each error is one line."""

    def __init__(self, file: Path, raw: dict[str, Any]) -> None:
        self.file, self.raw = file, raw

    def raise_error(self, where: str, what: str, *, fix: str | None = None) -> NoReturn:
        line = " ".join(f"{where + ': ' if where else ''}{what}".split())  # names and values may have line breaks
        raise ContractError(f"{self.file.name}: {line}", fix=" ".join(fix.split()) if fix else None)

    def read_contract(self) -> Contract:
        name = self.file.stem
        if not NAME.fullmatch(name):
            self.raise_error(
                "", f'"{name}" is to be the resource\'s name, so it must be lower_snake_case', fix="rename the file"
            )
        head = self.read_header()
        bodies = {n: t for n, t in self.raw.items() if n not in HEADER_KEYS}
        if name not in bodies:
            self.raise_error("", f"no table [{name}]: the items' own table has the file's name")
        item = self.read_item_table(name, bodies.pop(name), head["item_name"])
        children = tuple(self.read_child_table(n, body, head["item_name"], item) for n, body in bodies.items())
        self.check_unique_paths("rows_from", ((f"[{t.name}]", t.rows_from or "") for t in children))
        calls = read_call_rules(self.raw, head["operation"], self.raise_error)
        ignored = self.read_ignored_paths()
        self.check_input_columns(calls.per, (item, *children))
        return Contract(name=name, tables=(item, *children), ignored=ignored, file=self.file, calls=calls, **head)

    def check_input_columns(self, per: str | None, tables: Sequence[Table]) -> None:
        """Refuse columns of the parent's row without `per`, in child tables, or of another type than string."""
        for table in tables:
            for name, column in table.input_columns.items():
                where = f"[{table.name}] {name}"
                if per is None:
                    self.raise_error(where, f'from = "{{{column}}}" reads a row of the resource in per', fix="add per")
                if table.rows_from is not None or table.get_column(name).type != "string":
                    self.raise_error(where, f'from = "{{{column}}}" is for string columns of [{self.file.stem}] only')

    def read_header(self) -> dict[str, Any]:
        self.check_renamed_keys("", self.raw)
        for word, value in self.raw.items():
            if word in HEADER_KEYS or isinstance(value, dict):
                continue
            if isinstance(value, list) and any(isinstance(v, dict) for v in value):
                self.raise_error("", f"[[{word}]] is a list of tables", fix=f"write [{word}]")
            self.raise_error("", f'unknown key "{word}"', fix=suggest_correction(word, sorted(HEADER_KEYS)))
        head = {word: self.read_string("", self.raw, word) for word in _HEADER_PATTERNS}
        for word, (pattern, example) in _HEADER_PATTERNS.items():
            if not pattern.fullmatch(head[word]):
                self.raise_error("", f'{word} = "{head[word]}" is not {example}')
        if not is_read_operation(head["service"], head["operation"]):
            what = (
                f'operation = "{head["operation"]}" is no read: only Describe, List and some Get operations are allowed'
            )
            self.raise_error("", what, fix="name an operation that lists")
        return head

    def check_renamed_keys(self, where: str, body: Mapping[str, Any]) -> None:
        """Refuse a key of version 0.3.0 and name its replacement; columns may have such names."""
        for old, new in RENAMED_KEYS.items():
            if old in body and not isinstance(body[old], dict):
                message, fix = describe_renamed(old, new)
                self.raise_error(where, message, fix=fix)

    def read_string(self, where: str, body: Mapping[str, Any], word: str) -> str:
        value = body.get(word)
        if not isinstance(value, str) or not value.strip():
            self.raise_error(where, f"{word} is missing or not a text", fix=f'add {word} = "..."')
        if not value.isprintable():
            self.raise_error(where, f"{word} has a line break or a control character", fix="write one line")
        return value

    def read_ignored_paths(self) -> dict[str, str]:
        ignored = self.raw.get("ignored", {})
        if not isinstance(ignored, dict):
            self.raise_error("", 'ignored must be a table: [ignored], then "Path" = "reason" lines')
        for path, reason in ignored.items():
            if not isinstance(reason, str) or not reason.strip():
                self.raise_error(f'[ignored] "{path}"', "needs a reason as text (quote a path with dots)")
            if not _IGNORED.fullmatch(path):
                self.raise_error(f'[ignored] "{path}"', 'is not a path such as "Some.Leaf" or "Tags[].Key"')
        return ignored

    def read_item_table(self, name: str, body: Mapping[str, Any], item_name: str) -> Table:
        where = f"[{name}]"
        self.check_renamed_keys(where, body)
        if "rows_from" in body:
            self.raise_error(where, "the items' own table has no rows_from", fix="take it out")
        own = self.read_columns(name, body)
        answered = [c for c in own if c.input_name is None]
        if not answered:
            self.raise_error(where, "no column reads AWS's answer", fix=f"add name = {_COLUMN_EXAMPLE}")
        if len(answered) > 1 and (text := next((c for c in answered if c.source == "."), None)):
            what = 'from = "." means that the items are texts, which have no other fields'
            self.raise_error(f"{where} {text.name}", what, fix="name a field, or make it the only column")
        key = self.read_key(where, body.get("key"), own)
        if "created_at_column" in body:
            self.check_column_reference(where, "created_at_column", body["created_at_column"], own, "timestamp")
        columns = (SNAPSHOT_ID, ACCOUNT_ID, REGION, *own, EXTRA_JSON, OBSERVED_AT)
        doc, created_at = self.read_string(where, body, "doc"), body.get("created_at_column")
        join_key = self.read_join_key(where, item_name, key, (c.name for c in columns))
        return Table(name, doc, columns, join_key.columns, name, None, created_at, join_keys=(join_key,))

    def read_key(self, where: str, key: object, columns: tuple[Column, ...]) -> list[str]:
        if not isinstance(key, list) or not key:
            fix = 'add key = ["name"]: the columns that identify an item within a scope'
            self.raise_error(where, "key is missing", fix=fix)
        for n, column in enumerate(key):
            self.check_column_reference(where, "key", column, columns, "string")
            if column in key[:n]:
                self.raise_error(where, f"key names {column} twice", fix="take one out")
            if column in _CHANGE_COLUMN_NAMES:
                self.raise_error(
                    where, f"key names {column}, which the table of changes has already", fix="rename the column"
                )
        return key

    def read_child_table(self, name: str, body: Mapping[str, Any], item_name: str, item: Table) -> Table:
        where = f"[{name}]"
        self.check_renamed_keys(where, body)
        rows_from = self.read_rows_from(name, body)
        own = self.read_columns(name, body)
        for word in ("key", "created_at_column"):
            if word in body:
                why = "a row here is identified by its position"
                self.raise_error(where, f"{word} belongs to [{self.file.stem}] alone; {why}")
        title = item_name.replace("_", " ")
        parents = tuple(Column(f"{item_name}_{k}", "string", f"The {title}: its {k}.") for k in item.key[2:])
        fixed = (SNAPSHOT_ID, ACCOUNT_ID, REGION, *parents, *_build_outer_position_columns(rows_from), POSITION)
        if doubled := {c.name for c in fixed} & {c.name for c in own}:
            what = "the table has this column already"
            self.raise_error(f"{where} {min(doubled)}", what, fix="choose another name")
        key, doc = tuple(c.name for c in fixed[1:]), self.read_string(where, body, "doc")
        columns = (*fixed, *own, OBSERVED_AT)
        join_key = self.read_join_key(where, item_name, (c.name for c in parents), (c.name for c in columns))
        return Table(name, doc, columns, key, self.file.stem, rows_from, join_keys=(join_key,))

    def read_join_key(self, where: str, item_name: str, key: Iterable[str], columns: Iterable[str]) -> JoinKey:
        """Return the table's key of the item; refuses a column that has its name."""
        join_key = build_join_key(item_name, key)
        if join_key.name in columns:
            what = "the catalog's views have this column already: account, region and key as one text"
            self.raise_error(f"{where} {join_key.name}", what, fix="choose another name, or another item_name")
        return join_key

    def read_rows_from(self, name: str, body: Mapping[str, Any]) -> str:
        where = f"[{name}]"
        if "rows_from" not in body and (fix := suggest_correction(name, ["ignored"])):
            self.raise_error(where, "is no table, for it has no rows_from", fix=fix)
        rows_from = self.read_string(where, body, "rows_from")
        if not _ROWS_FROM.fullmatch(rows_from):
            example = '"VpcConfig.SubnetIds" or "Groups[].Members", or to a map such as "Tags{}"'
            self.raise_error(where, f'rows_from = "{rows_from}" is not a path to a list such as {example}')
        return rows_from

    def check_column_reference(
        self, where: str, word: str, column: object, columns: tuple[Column, ...], kind: str
    ) -> None:
        found = find_column(columns, column)
        if found is None:
            fix = suggest_correction(str(column), [c.name for c in columns])
            self.raise_error(where, f'{word} names "{column}", which is no column here', fix=fix)
        if found.type != kind:
            self.raise_error(where, f"{word} names {column}, which is a {found.type}", fix=f"it must be a {kind}")

    def check_unique_paths(self, word: str, readers: Iterable[tuple[str, str]]) -> None:
        """Refuse the second of two tables, or columns, that read the same path."""
        first: dict[str, str] = {}
        for where, path in readers:
            if path in first:
                self.raise_error(where, f'{word} = "{path}" is read by {first[path]} already', fix="keep one")
            first[path] = where

    def read_columns(self, table: str, body: Mapping[str, Any]) -> tuple[Column, ...]:
        self.check_table_name(table)
        for word, value in body.items():
            is_word = word in TABLE_KEYS
            if is_word and isinstance(value, dict):
                self.raise_error(f"[{table}] {word}", "is a word of the grammar", fix="give the column another name")
            if not is_word and not isinstance(value, dict):
                fix = suggest_correction(word, list(TABLE_KEYS)) or f"a column is {word} = {_COLUMN_EXAMPLE}"
                self.raise_error(f"[{table}]", f'unknown key "{word}"', fix=fix)
        own = tuple(self.read_column(table, n, c) for n, c in body.items() if n not in TABLE_KEYS)
        if not own:
            self.raise_error(f"[{table}]", "no columns", fix=f"add name = {_COLUMN_EXAMPLE}")
        self.check_unique_paths("from", ((f"[{table}] {c.name}", c.source) for c in own))
        return own

    def check_table_name(self, table: str) -> None:
        if not NAME.fullmatch(table):
            self.raise_error(f"[{table}]", "a table's name must be lower_snake_case")
        if table in SQL_KEYWORDS:
            self.raise_error(f"[{table}]", "is a word of SQL", fix="choose another name")
        if table in RESERVED_TABLES or table.endswith(RESERVED_TABLE_SUFFIXES):
            self.raise_error(f"[{table}]", "views of the catalog have such names", fix="choose another")

    def read_column(self, table: str, name: str, body: Mapping[str, Any]) -> Column:
        where = f"[{table}] {name}"
        self.check_column_name(where, name)
        for word in body:
            if word not in _COLUMN_KEYS:
                self.raise_error(where, f'unknown key "{word}"', fix=suggest_correction(word, list(_COLUMN_KEYS)))
        source, kind = self.read_string(where, body, "from"), self.read_string(where, body, "type")
        if source != "." and not _PATH.fullmatch(source) and get_input_name(source) is None:
            what = f'from = "{source}" is not a path such as "VpcConfig.Name"'
            self.raise_error(where, what, fix="lists go into tables of their own (rows_from)")
        if kind not in TYPES:
            fix = suggest_correction(kind, list(TYPES))
            self.raise_error(where, f'type "{kind}" is not one of {", ".join(TYPES)}', fix=fix)
        return Column(name, kind, self.read_string(where, body, "doc"), source)

    def check_column_name(self, where: str, name: str) -> None:
        if not NAME.fullmatch(name):
            self.raise_error(where, "a column's name must be lower_snake_case")
        if name in RESERVED_COLUMNS:
            self.raise_error(where, "every table has this column already", fix="choose another name")
        if name in SQL_KEYWORDS:
            self.raise_error(where, "is a word of SQL", fix="choose another name")


def convert_to_snake_case(name: str) -> str:
    """Convert an AWS name: `DisableIMDSV1` → `disable_imdsv1`, `EniIPv6Addresses` → `eni_ipv6_addresses`."""
    name = re.sub(r"IP(?=v[46])", "Ip", name)
    name = re.sub(r"([A-Z]+)(?=[A-Z](?!s(?![a-z]))[a-z])", r"\1_", name)
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace("-", "_").lower()


def list_outer_positions(rows_from: str) -> tuple[str, ...]:
    """Return the position columns of outer lists: `Groups[].Members` has `groups_position`."""
    lists = [convert_to_snake_case(step.removesuffix("[]")) for step in rows_from.split(".") if step.endswith("[]")]
    earlier = [lists[:n].count(name) for n, name in enumerate(lists)]
    return tuple(
        f"{name}_{n + 1}_position" if n else f"{name}_position" for name, n in zip(lists, earlier, strict=True)
    )


def _build_outer_position_columns(rows_from: str) -> tuple[Column, ...]:
    return tuple(
        Column(name, "integer", f"Place of the {name.removesuffix('_position')} element in AWS's list, from 0.")
        for name in list_outer_positions(rows_from)
    )
