"""Read the files of `sql/`: a header of comments, and the statement.

-- running_image_builders: One row per ...          the file's name and its grain
--   a continued line is indented
-- reads: image_builder_state_spans                 the tables and views that it reads
-- region varchar: AWS region.                      a column, its DuckDB type and what it means (views and marts)
-- key: image_builder_key                          feeds: the column that is unique and never null; marts: columns
-- history: day                                     feeds: the column that [feeds] history_days limits
-- inputs: image_builder_span_months by month    feeds: what the rows of a month derive from (feeds/parts.py)
-- kept: resource, observed_at                     views, marts: all that they read of the last snapshots of days, which
                                                   is kept for later (catalog/compaction.py)
-- order: image_builder_key, way                   feeds: by what the query sorts its own rows, instead of by the key
-- also: image_builder as app_block_builder         packaged marts: the same mart over the items of another contract
-- newest_months: 2                                 the page: how many months it reads of facts
-- severity: warn                                   checks: error or warn
-- feeds: publish                                   checks of severity error: publish feeds nevertheless
-- replaces: image_builder_errors                   feeds: the contract's feed that this one is published instead of
-- question: Which builders run?                    named queries: the question that it answers
-- param hours: integer = 2 -- Minimum hours.       named queries: a parameter with type and default
-- values tag: select distinct tag_key from ...     named queries: the texts that a parameter may have, besides none
-- chart: usd by day, team                          named queries: the numbers to draw, and what they are by
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from appstream_export.contracts.model import Column
from appstream_export.errors import ContractError
from appstream_export.resources import find_resource_folder
from appstream_export.user_text import read_user_text

VIEW_FOLDERS = ("views", "marts")
"""Folders whose files become views of the catalog."""
SEVERITIES = ("error", "warn")
PARAM_TYPES = ("integer", "number", "text", "boolean", "date")
_LINE = re.compile(r"-- (?P<name>\w+)(?: (?P<type>[a-z]+(?:\(\d+,\d+\))?))?: (?P<text>.+)")
_PARAM = re.compile(r"-- param (?P<name>\w+): (?P<type>[a-z]+) = (?P<default>.*?) ?-- (?P<doc>.+)")
_VALUES = re.compile(r"-- values (?P<name>\w+): (?P<sql>.+)")
_ALSO = re.compile(r"^-- also: (?P<own>\w+) as (?P<other>\w+)(?: without (?P<column>\w+))?\n", re.MULTILINE)
_CHART = re.compile(r"(?P<value>\w+) by (?P<labels>\w+(?:, \w+)*)")
FEEDS_PUBLISH = "publish"
_WORDS = (
    "reads", "key", "history", "inputs", "kept", "order", "newest_months", "severity", "feeds", "question", "replaces",
    "chart",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter of a named query. `type` is one of PARAM_TYPES; `default` is text, as a user types it."""

    name: str
    type: str
    default: str
    doc: str
    values_sql: str | None = None
    """A statement that lists the texts that it may have, besides none; null if every text is allowed."""


@dataclass(frozen=True, slots=True)
class ChartColumns:
    """What the chart of a named query draws: a column of numbers, by columns that name each of them, a time first."""

    value: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SqlFile:
    """A file of `sql/`. `sql` is the statement and its header; `columns` have DuckDB's types (empty for queries)."""

    name: str
    doc: str
    reads: tuple[str, ...]
    sql: str
    columns: tuple[Column, ...] = ()
    params: tuple[Param, ...] = ()
    severity: str | None = None
    question: str | None = None
    place: str = ""
    """Where it lies, for people: `sql/marts/exposure.sql`."""
    key: str | None = None
    history: str | None = None
    """A feed's column of dates or times, if its rows are of more than the newest snapshot."""
    kept_columns: tuple[str, ...] = ()
    """Columns of a view's one history, if it reads only these, of the last snapshot of each day; else none."""
    blocks_feeds: bool = False
    """Whether feeds stay as they are where the check finds rows."""
    replaces: str | None = None
    """The contract's feed that this one is published instead of, if it has another name."""
    chart: ChartColumns | None = None
    inputs: tuple[tuple[str, str | None], ...] = ()
    """What the rows of a month of a feed derive from: sources with their column of days, or None if of all rows."""
    order: tuple[str, ...] = ()
    """The columns by which a feed's query sorts its rows itself; empty if a publication sorts them by the key."""
    newest_months: int | None = None
    """How many months a query of the page reads of facts; None if it reads all."""


@cache
def load_sql_files(folder: str) -> tuple[SqlFile, ...]:
    """Return the files of a folder below `sql/`, by name; empty if there is no such folder. Raises ContractError."""
    found = list[SqlFile]()
    for file in (find_resource_folder("sql") / folder).glob("*.sql"):
        text, place = _read_text(file), f"sql/{folder}/{file.name}"
        also = _ALSO.search(text)
        text = _ALSO.sub("", text)
        found.append(replace(parse_sql_text(file, text), place=place))
        if also:
            other = file.with_stem(_rename_item(file.stem, also))
            found.append(replace(parse_sql_text(other, _rename_item(text, also)), place=place))
    return tuple(sorted(found, key=lambda file: file.name))


def _rename_item(text: str, also: re.Match[str]) -> str:
    """Return a text about items of another contract, whose table lacks the column of `without`: there it is null."""
    own, other, column = also["own"], also["other"], also["column"]
    text = re.sub(rf"\b\w+\.{column}\b", "null", text) if column else text
    return text.replace(own, other).replace(own.replace("_", " "), other.replace("_", " "))


def parse_sql_file(file: Path) -> SqlFile:
    """Return the parsed file; raises ContractError with its name and line."""
    return parse_sql_text(file, _read_text(file))


def _read_text(file: Path) -> str:
    try:
        return read_user_text(file)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ContractError(f"{file.name}: not readable as SQL: {why}") from error


def parse_sql_text(file: Path, text: str) -> SqlFile:
    """Return the parsed text; `file` gives its name and place. Raises ContractError with its name and line."""
    lines = list(_read_header_lines(text))
    if not lines or not lines[0][1].startswith(f"-- {file.stem}: "):
        raise ContractError(f'{file.name}: the header must begin with "-- {file.stem}: one row per ..."')
    words: dict[str, str] = {}
    columns, params, values = list[Column](), list[Param](), dict[str, str]()
    for number, line in lines:
        param, plain = _PARAM.fullmatch(line), _LINE.fullmatch(line)
        if param:
            params.append(Param(**param.groupdict()))
        elif listed := _VALUES.fullmatch(line):
            values[listed["name"]] = listed["sql"]
        elif plain and plain["type"]:
            columns.append(Column(plain["name"], plain["type"], plain["text"]))
        elif plain and plain["name"] in (file.stem, *_WORDS):
            words[plain["name"]] = plain["text"]
        else:
            raise ContractError(f'{file.name} line {number}: "{line}" is not a line of a header')
    if unknown := values.keys() - {param.name for param in params}:
        raise ContractError(f"{file.name}: values {min(unknown)}: there is no such param")
    known = tuple(replace(param, values_sql=values.get(param.name)) for param in params)
    return _build_sql_file(file, words, tuple(columns), known, text)


def strip_header(sql: str) -> str:
    """Return a statement without the comments of its header."""
    lines = sql.splitlines()
    body = next((number for number, line in enumerate(lines) if not line.startswith("-- ")), len(lines))
    return "\n".join(lines[body:]).strip()


def _build_sql_file(
    file: Path, words: Mapping[str, str], columns: tuple[Column, ...], params: tuple[Param, ...], text: str
) -> SqlFile:
    severity = words.get("severity")
    if severity not in (None, *SEVERITIES):
        raise ContractError(f'{file.name}: severity "{severity}" is none of {", ".join(SEVERITIES)}')
    if wrong := next((p for p in params if p.type not in PARAM_TYPES), None):
        raise ContractError(f'{file.name}: param {wrong.name}: "{wrong.type}" is none of {", ".join(PARAM_TYPES)}')
    reads, kept, order = (_split_names(words.get(word, "")) for word in ("reads", "kept", "order"))
    place = f"sql/{file.parent.name}/{file.name}"
    question, key, history, feeds = (words.get(name) for name in ("question", "key", "history", "feeds"))
    if feeds not in (None, FEEDS_PUBLISH):
        raise ContractError(f'{file.name}: feeds "{feeds}" is not {FEEDS_PUBLISH}')
    if kept and (len(reads) != 1 or not reads[0].endswith("_history")):
        raise ContractError(f"{file.name}: kept: it must read one history, and nothing else")
    if (chart := words.get("chart")) and not _CHART.fullmatch(chart):
        raise ContractError(f'{file.name}: chart "{chart}" is not like "usd by day"')
    blocks = severity == "error" and feeds is None
    return SqlFile(
        file.stem,
        words[file.stem],
        reads,
        text,
        columns,
        params,
        severity,
        question,
        place,
        key,
        history,
        kept,
        blocks,
        words.get("replaces"),
        _parse_chart(chart) if chart else None,
        _parse_inputs(words.get("inputs", "")),
        order,
        int(words["newest_months"]) if "newest_months" in words else None,
    )


def _split_names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _parse_chart(text: str) -> ChartColumns:
    value, labels = text.split(" by ")
    return ChartColumns(value, tuple(labels.split(", ")))


def _parse_inputs(text: str) -> tuple[tuple[str, str | None], ...]:
    """Return the sources and columns of `a by month, b`."""
    pairs = (part.strip().partition(" by ") for part in text.split(",") if part.strip())
    return tuple((source, column or None) for source, _, column in pairs)


def _read_header_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the header's entries with their line numbers; an indented line continues the one before."""
    number, pending = 0, ""
    for place, line in enumerate(text.splitlines(), 1):
        if not line.startswith("-- "):
            break
        if line.startswith("--   ") and pending:
            pending += " " + line[3:].strip()
            continue
        if pending:
            yield number, pending
        number, pending = place, line.rstrip()
    if pending:
        yield number, pending
