"""Reads `schemas/*.toml` (schemas/README.md has the grammar on one page), or says in one line what is wrong where."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from appstream_export import resources
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
    Table,
    operational_tables,
)
from appstream_export.errors import BadContract, did_you_mean

TYPES = ("string", "integer", "boolean", "timestamp", "number", "json")
RESERVED = frozenset(
    """snapshot_id account_id region account_name is_stale observed_at snapshot_at extra_json
    position""".split()  # noqa: SIM905
)
TAKEN_TABLES = frozenset(  # views that no contract makes: those of sql/ (tests compare), and what feeds publish
    """agent_currency coverage export_runs exposure feed_status image_builder_daily image_builder_network
    image_builder_overview image_builder_state_spans running_image_builders scope_days""".split()  # noqa: SIM905
)
TAKEN_ENDINGS = ("_history", "_as_of")  # the other forms of every table
# Words that DuckDB, and most SQL, take for their own where a bare name is due (tests compare with duckdb_keywords()).
SQL_WORDS = frozenset(
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
_EACH = re.compile(rf"({_STEP}(\[\])?\.)*{_STEP}")
_IGNORED = re.compile(rf"{_STEP}(\[\])*(\.{_STEP}(\[\])*)*")
_HEAD: Mapping[str, tuple[re.Pattern[str], str]] = {
    "doc": (re.compile(".+"), "a sentence"),
    "service": (re.compile(r"[a-z][a-z0-9-]*"), 'a service of botocore such as "appstream"'),
    "operation": (re.compile(r"[A-Z][A-Za-z0-9]*"), 'an operation such as "DescribeImageBuilders"'),
    "items": (_PATH, 'a path such as "ImageBuilders"'),
    "singular": (NAME, 'lower_snake_case such as "image_builder"'),
}
HEAD_WORDS = frozenset({*_HEAD, "ignored"})
TABLE_WORDS = ("doc", "key", "born", "each")
_COLUMN_WORDS = ("from", "type", "doc")
_A_COLUMN = "{ from = ..., type = ..., doc = ... }"
_CHANGE_WORDS = frozenset(c.name for c in CHANGE_COLUMNS)


def load_all(folder: Path | None = None) -> list[Contract]:
    """Every contract of a folder (default: the ones that came along), by name; raises BadContract."""
    folder = folder or resources.folder("schemas")
    contracts = [load(file) for file in sorted(folder.glob("*.toml"))]
    if not contracts:
        raise BadContract(f"{folder}: no contract (*.toml) here; restore one or point to another folder")
    taken: dict[str, str] = {t.name: "operational tables" for t in operational_tables()}
    for contract in contracts:
        for table in (*contract.tables, contract.changes):
            if table.name in taken:
                raise BadContract(
                    f"{contract.file.name}: table [{table.name}] exists in {taken[table.name]} already; rename one"
                )
            taken[table.name] = contract.file.name
    return contracts


def load(file: Path) -> Contract:
    """One contract; raises BadContract naming file, table, column and fix."""
    try:
        raw = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadContract(f"{file.name}: not readable as TOML: {error}") from error
    return _Reader(file, raw).contract()


class _Reader:
    """Turns one parsed file into a Contract, or says in one line where it is wrong."""

    def __init__(self, file: Path, raw: dict[str, Any]) -> None:
        self.file, self.raw = file, raw

    def refuse(self, where: str, what: str) -> NoReturn:
        raise BadContract(f"{self.file.name}: {where + ': ' if where else ''}{what}")

    def contract(self) -> Contract:
        name = self.file.stem
        if not NAME.fullmatch(name):
            self.refuse("", f'"{name}" is to be the resource\'s name, so it must be lower_snake_case; rename the file')
        head = self.head()
        bodies = {n: t for n, t in self.raw.items() if n not in HEAD_WORDS}
        if name not in bodies:
            self.refuse("", f"no table [{name}]: the items' own table has the file's name")
        item = self.item_table(name, bodies.pop(name))
        children = tuple(self.child_table(n, body, head["singular"], item) for n, body in bodies.items())
        self.must_differ("each", ((f"[{t.name}]", t.each or "") for t in children))
        return Contract(name=name, tables=(item, *children), ignored=self.ignored(), file=self.file, **head)

    def head(self) -> dict[str, str]:
        for word, value in self.raw.items():
            if word in HEAD_WORDS or isinstance(value, dict):
                continue
            if isinstance(value, list) and any(isinstance(v, dict) for v in value):
                self.refuse("", f"[[{word}]] is a list of tables; write [{word}]")
            self.refuse("", f'unknown key "{word}"{did_you_mean(word, sorted(_HEAD))}')
        head = {word: self.text("", self.raw, word) for word in _HEAD}
        for word, (pattern, example) in _HEAD.items():
            if not pattern.fullmatch(head[word]):
                self.refuse("", f'{word} = "{head[word]}" is not {example}')
        return head

    def text(self, where: str, body: Mapping[str, Any], word: str) -> str:
        value = body.get(word)
        if not isinstance(value, str) or not value.strip():
            self.refuse(where, f'{word} is missing or not a text; add {word} = "..."')
        if not value.isprintable():
            self.refuse(where, f"{word} has a line break or a control character; write one line")
        return value

    def ignored(self) -> dict[str, str]:
        ignored = self.raw.get("ignored", {})
        if not isinstance(ignored, dict):
            self.refuse("", 'ignored must be a table: [ignored], then "Path" = "reason" lines')
        for path, reason in ignored.items():
            if not isinstance(reason, str) or not reason.strip():
                self.refuse(f'[ignored] "{path}"', "needs a reason as text (a path with dots stands in quotes)")
            if not _IGNORED.fullmatch(path):
                self.refuse(f'[ignored] "{path}"', 'is not a path such as "Some.Leaf" or "Tags[].Key"')
        return ignored

    def item_table(self, name: str, body: Mapping[str, Any]) -> Table:
        where = f"[{name}]"
        if "each" in body:
            self.refuse(where, "the items' own table has no each; take it out")
        own = self.columns(name, body)
        key = self.key(where, body.get("key"), own)
        if "born" in body:
            self.must_be(where, "born", body["born"], own, "timestamp")
        columns = (SNAPSHOT_ID, ACCOUNT_ID, REGION, *own, EXTRA_JSON, OBSERVED_AT)
        doc = self.text(where, body, "doc")
        return Table(name, doc, columns, ("account_id", "region", *key), name, None, body.get("born"))

    def key(self, where: str, key: object, own: tuple[Column, ...]) -> list[str]:
        if not isinstance(key, list) or not key:
            self.refuse(where, 'key is missing; add key = ["name"]: the columns that tell items of a scope apart')
        for n, column in enumerate(key):
            self.must_be(where, "key", column, own, "string")
            if column in key[:n]:
                self.refuse(where, f"key names {column} twice; take one out")
            if column in _CHANGE_WORDS:
                self.refuse(where, f"key names {column}, which the table of changes has already; rename the column")
        return key

    def child_table(self, name: str, body: Mapping[str, Any], singular: str, item: Table) -> Table:
        where = f"[{name}]"
        if "each" not in body and did_you_mean(name, ["ignored"]):
            self.refuse(where, f"is no table, for it has no each{did_you_mean(name, ['ignored'])}")
        each = self.text(where, body, "each")
        if not _EACH.fullmatch(each):
            example = '"VpcConfig.SubnetIds" or "Groups[].Members"'
            self.refuse(where, f'each = "{each}" is not a path to a list such as {example}')
        own = self.columns(name, body)
        for word in ("key", "born"):
            if word in body:
                self.refuse(where, f"{word} belongs to [{self.file.stem}] alone; a row here is told by its position")
        what = singular.replace("_", " ")
        parents = tuple(Column(f"{singular}_{k}", "string", f"The {what}: its {k}.") for k in item.key[2:])
        fixed = (SNAPSHOT_ID, ACCOUNT_ID, REGION, *parents, *_outer_positions(each), POSITION)
        taken = {c.name for c in fixed} & {c.name for c in own}
        if taken:
            self.refuse(f"{where} {min(taken)}", "the table has this column already; choose another name")
        key = tuple(c.name for c in fixed[1:])
        return Table(name, self.text(where, body, "doc"), (*fixed, *own, OBSERVED_AT), key, self.file.stem, each)

    def must_be(self, where: str, word: str, column: object, own: tuple[Column, ...], kind: str) -> None:
        found = next((c for c in own if c.name == column), None)
        if found is None:
            hint = did_you_mean(str(column), [c.name for c in own])
            self.refuse(where, f'{word} names "{column}", which is no column here{hint}')
        if found.type != kind:
            self.refuse(where, f"{word} names {column}, which is a {found.type}; it must be a {kind}")

    def must_differ(self, word: str, readers: Iterable[tuple[str, str]]) -> None:
        """Refuse the second of two tables, or columns, that read the same path."""
        first: dict[str, str] = {}
        for where, path in readers:
            if path in first:
                self.refuse(where, f'{word} = "{path}" is read by {first[path]} already; keep one')
            first[path] = where

    def columns(self, table: str, body: Mapping[str, Any]) -> tuple[Column, ...]:
        self.table_name(table)
        for word, value in body.items():
            is_word = word in TABLE_WORDS
            if is_word and isinstance(value, dict):
                self.refuse(f"[{table}] {word}", "is a word of the grammar; give the column another name")
            if not is_word and not isinstance(value, dict):
                hint = did_you_mean(word, list(TABLE_WORDS)) or f"; a column is {word} = {_A_COLUMN}"
                self.refuse(f"[{table}]", f'unknown key "{word}"{hint}')
        own = tuple(self.column(table, n, c) for n, c in body.items() if n not in TABLE_WORDS)
        if not own:
            self.refuse(f"[{table}]", f"no columns; add name = {_A_COLUMN}")
        self.must_differ("from", ((f"[{table}] {c.name}", c.source) for c in own))
        return own

    def table_name(self, table: str) -> None:
        if not NAME.fullmatch(table):
            self.refuse(f"[{table}]", "a table's name must be lower_snake_case")
        if table in SQL_WORDS:
            self.refuse(f"[{table}]", "is a word of SQL; choose another name")
        if table in TAKEN_TABLES or table.endswith(TAKEN_ENDINGS):
            self.refuse(f"[{table}]", "views of the catalog have such names; choose another")

    def column(self, table: str, name: str, body: Mapping[str, Any]) -> Column:
        where = f"[{table}] {name}"
        self.column_name(where, name)
        for word in body:
            if word not in _COLUMN_WORDS:
                self.refuse(where, f'unknown key "{word}"{did_you_mean(word, list(_COLUMN_WORDS))}')
        source, kind = self.text(where, body, "from"), self.text(where, body, "type")
        if source != "." and not _PATH.fullmatch(source):
            hint = "lists go into tables of their own (each)"
            self.refuse(where, f'from = "{source}" is not a path such as "VpcConfig.Name"; {hint}')
        if source == "." and table == self.file.stem:
            self.refuse(where, 'from = "." means an element of a list; here name a field')
        if kind not in TYPES:
            self.refuse(where, f'type "{kind}" is not one of {", ".join(TYPES)}{did_you_mean(kind, list(TYPES))}')
        return Column(name, kind, self.text(where, body, "doc"), source)

    def column_name(self, where: str, name: str) -> None:
        if not NAME.fullmatch(name):
            self.refuse(where, "a column's name must be lower_snake_case")
        if name in RESERVED:
            self.refuse(where, "every table has this column already; choose another name")
        if name in SQL_WORDS:
            self.refuse(where, "is a word of SQL; choose another name")


def snake(name: str) -> str:
    """AWS's name in our spelling: `DisableIMDSV1` → `disable_imdsv1`, `EniIPv6Addresses` → `eni_ipv6_addresses`."""
    name = re.sub(r"IP(?=v[46])", "Ip", name)
    name = re.sub(r"([A-Z]+)(?=[A-Z](?!s(?![a-z]))[a-z])", r"\1_", name)
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace("-", "_").lower()


def outer_positions(each: str) -> tuple[str, ...]:
    """Names of the positions before `position`: `Groups[].Members` has `groups_position`."""
    lists = [snake(step.removesuffix("[]")) for step in each.split(".") if step.endswith("[]")]
    again = [lists[:n].count(name) for n, name in enumerate(lists)]
    return tuple(f"{name}_{n + 1}_position" if n else f"{name}_position" for name, n in zip(lists, again, strict=True))


def _outer_positions(each: str) -> tuple[Column, ...]:
    return tuple(
        Column(name, "integer", f"Place of the {name.removesuffix('_position')} element in AWS's list, from 0.")
        for name in outer_positions(each)
    )
