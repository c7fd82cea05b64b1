"""The prompt of `sql`: statements until `;`, commands with a dot, history, completion, a pager for long results."""

import io
import os
import pydoc
import re
import shutil
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import ANSI
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.lexers import PygmentsLexer
from pygments.lexers.sql import SqlLexer

from appstream_export.cli import console
from appstream_export.cli.options import FORMATS, parse_assignment
from appstream_export.cli.results import print_description, print_query, print_rows, print_tables
from appstream_export.cli.target import Target
from appstream_export.errors import ExportError, QueryError, suggest_correction
from appstream_export.version import __version__

if TYPE_CHECKING:
    from appstream_export.contracts import Contract

PROMPT, CONTINUED = "appstream> ", "       ...> "
HISTORY_FILE = "sql_history"
HELP = """\
A statement ends with ; and may have several lines. SELECT, FROM and EXPLAIN are allowed.
.tables               list every table and view
.schema TABLE         describe a table: its columns, its key, its joins
.query [NAME K=V ..]  run a named query; without a name, list them
.format [KIND]        show or set the format: table, json, ndjson, csv, md
.refresh              read the newest snapshot; until then, all statements read the same one
.help                 this text
.quit                 end, as Ctrl-D does
Tab completes, Ctrl-R searches the history, Ctrl-C stops a statement."""
# Quoted text and comments, in which a semicolon ends no statement; the last ones are not closed yet.
_CLOSED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/", re.S)
_OPEN = re.compile(r"['\"]|/\*")
_QUALIFIED = re.compile(r"(\w+)\.(\w*)$")
_SOURCES = re.compile(r"\b(?:from|join)\s+(\w+)(?:\s+(?:as\s+)?(\w+))?", re.IGNORECASE)
_PRINTED_FORMATS = [kind for kind in FORMATS if kind != "parquet"]
_KEYWORDS = tuple(
    """all and as asc between by case cast count desc describe distinct else end except exclude exists explain false
    filter from full group having ilike in inner intersect is join left like limit not null nulls offset on or order
    outer over partition pivot qualify right sample select show sum summarize then true union using values when where
    with""".split()  # noqa: SIM905
)


def run_prompt(target: Target, *, as_of: str | None, kind: str, limit: Mapping[str, Any]) -> int:
    """Read and run statements until the user ends the prompt; return the exit code 0."""
    shell = SqlShell(target, as_of, "table" if kind == "parquet" else kind, limit)
    with shell:
        session = build_session(shell)
        console.print_result(f"{console.PROG} {__version__}: {target.warehouse}")
        console.print_result(".help lists the commands, .quit ends.")
        while not shell.is_ended:
            try:
                text = session.prompt()
            except KeyboardInterrupt:
                continue  # as in a shell: Ctrl-C discards the line
            except EOFError:
                break
            shell.handle(text)
    return 0


def build_session(shell: "SqlShell") -> "PromptSession[str]":
    """Return the line editor of a shell: history, colours, completion, several lines until `;`."""
    session: PromptSession[str] = PromptSession(
        ANSI(console.style(PROMPT, "1")),
        history=open_history(os.environ),
        auto_suggest=AutoSuggestFromHistory(),
        completer=SqlCompleter(shell),
        complete_while_typing=False,
        lexer=PygmentsLexer(SqlLexer),
        prompt_continuation=CONTINUED,
        multiline=Condition(lambda: not is_complete(session.default_buffer.text)),
    )
    return session


def is_complete(text: str) -> bool:
    """Return whether Enter runs the text: it is empty, a command with a dot, or statements up to a `;`."""
    rest = _CLOSED.sub("", text)
    return not text.strip() or text.startswith(".") or (rest.rstrip().endswith(";") and not _OPEN.search(rest))


def open_history(environ: Mapping[str, str]) -> History:
    """Return the history of earlier sessions; of this session alone if its file cannot be written."""
    try:
        state = Path(environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser()
        file = state / console.PROG / HISTORY_FILE
        file.parent.mkdir(parents=True, exist_ok=True)
        # Statements may hold what only their author should see.
        os.close(os.open(file, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
        return FileHistory(file)
    except (OSError, RuntimeError):  # RuntimeError: there is no home folder
        return InMemoryHistory()


@dataclass
class SqlShell:
    """The state of a prompt: a warehouse's connection, its tables, and the format of results."""

    target: Target
    as_of: str | None
    kind: str
    limit: Mapping[str, Any] = field(default_factory=dict)
    is_ended: bool = False
    _connection: Any = None

    def __enter__(self) -> "SqlShell":
        self._refresh("")
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def handle(self, text: str) -> None:
        """Run what the user entered; a failure is a line on stderr, and the prompt goes on."""
        try:
            print_paged(lambda: self._handle(text.strip()))
        except ExportError as error:
            for line in error.lines:
                console.log_line(console.render_problem(line))
        except KeyboardInterrupt:
            console.log_line("stopped")

    @cached_property
    def contracts(self) -> "Sequence[Contract]":
        """The contracts of the warehouse."""
        return self.target.load_contracts(self.target.open_store())

    @cached_property
    def columns(self) -> Mapping[str, Sequence[str]]:
        """The columns of each table and view."""
        from appstream_export.cli.views import list_entries

        return {entry.name: [name for name, _, _ in entry.columns] for entry in list_entries(self.contracts)}

    @cached_property
    def named_queries(self) -> Sequence[str]:
        """The names of the named queries."""
        from appstream_export.lake.catalog import load_named_queries

        return [query.name for query in load_named_queries(self.contracts)]

    @property
    def commands(self) -> Mapping[str, Callable[[str], object]]:
        """The commands with a dot. Each gets the text after its name."""
        return {
            ".tables": lambda _: print_tables(self.contracts, self.kind),
            ".schema": self._describe,
            ".query": self._run_named_query,
            ".format": self._set_format,
            ".refresh": self._refresh,
            ".help": lambda _: console.print_lines(HELP.splitlines()),
            ".quit": self._end,
            ".exit": self._end,
        }

    def _handle(self, text: str) -> None:
        if text.startswith("."):
            name, _, rest = text.rstrip(";").partition(" ")
            if name not in self.commands:
                near = suggest_correction(name, list(self.commands)) or "list the commands: .help"
                raise QueryError(f'there is no command "{name}"', fix=near)
            self.commands[name](rest.strip())
            return
        from appstream_export.lake.catalog import split_statements

        for statement in split_statements(self._connection, text):
            print_query(self._connection, statement, kind=self.kind)

    def _refresh(self, _: str) -> None:
        """Connect to the newest snapshot, or to that of --as-of."""
        from appstream_export.lake.catalog import connect_warehouse

        target, own = self.target, self.target.load_own_contracts
        fresh = connect_warehouse(target.warehouse, s3=target.s3, as_of=self.as_of, load_contracts=own, **self.limit)
        if self._connection is not None:
            self._connection.close()
        self._connection = fresh

    def _describe(self, table: str) -> None:
        if table:
            print_description(self.contracts, table, self.kind)
        else:
            print_tables(self.contracts, self.kind)

    def _run_named_query(self, text: str) -> None:
        from appstream_export.cli.views import list_named_queries
        from appstream_export.lake.catalog import get_named_query, load_named_queries, parse_parameters

        name, *given = text.split() or [""]
        if not name:
            found = list_named_queries(load_named_queries(self.contracts), is_brief=self.kind == "table")
            print_rows(found, self.kind)
            return
        query = get_named_query(name, self.contracts)
        try:
            parameters = parse_parameters(query, dict(map(parse_assignment, given)))
        except ArgumentTypeError as error:
            raise QueryError(str(error)) from error
        print_query(self._connection, query.sql, parameters, kind=self.kind)

    def _set_format(self, kind: str) -> None:
        if kind and kind not in _PRINTED_FORMATS:
            near = suggest_correction(kind, _PRINTED_FORMATS) or f"choose from {', '.join(_PRINTED_FORMATS)}"
            raise QueryError(f'there is no format "{kind}" here', fix=near)
        self.kind = kind or self.kind
        console.print_result(f"format: {self.kind}")

    def _end(self, _: str) -> None:
        self.is_ended = True


class SqlCompleter(Completer):
    """Completion of commands, tables, named queries, the columns of the tables in the text, and keywords."""

    def __init__(self, shell: SqlShell) -> None:
        self._shell = shell

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:  # noqa: ARG002
        """Yield the words that may continue the text before the cursor."""
        before = document.text_before_cursor
        word = re.search(r"\.?\w*$" if before.startswith(".") and " " not in before else r"\w*$", before)
        typed = word[0] if word else ""
        seen = set[str]()
        for meta, candidates in self._list_candidates(before, document.text):
            for candidate in candidates:
                if candidate.startswith(typed.lower()) and candidate not in seen:
                    seen.add(candidate)
                    yield Completion(candidate, -len(typed), display_meta=meta)

    def _list_candidates(self, before: str, text: str) -> Iterator[tuple[str, Sequence[str]]]:
        """Yield kinds of words with the words, the likeliest first."""
        shell = self._shell
        if before.startswith("."):
            name, has_argument, _ = before.partition(" ")
            arguments = {".schema": [*shell.columns], ".query": shell.named_queries, ".format": _PRINTED_FORMATS}
            yield "", arguments.get(name, []) if has_argument else sorted(shell.commands)
            return
        sources = {alias or table: table for table, alias in _SOURCES.findall(text)}
        if qualified := _QUALIFIED.search(before):
            yield "column", shell.columns.get(sources.get(qualified[1], qualified[1]), [])
            return
        if re.search(r"\b(from|join)\s+\w*$", before, re.IGNORECASE):
            yield "table", [*shell.columns]
            return
        for table in {*sources.values(), *re.findall(r"\b(?:from|join)\s+(\w+)", text, re.IGNORECASE)}:
            yield f"column of {table}", shell.columns.get(table, [])
        yield "table", [*shell.columns]
        yield "", _KEYWORDS


class PageBuffer(io.StringIO):
    """Text that is printed to the terminal later, so it is styled as on the terminal."""

    def isatty(self) -> bool:
        """Return whether stdout, which gets the text, is a terminal."""
        return console.is_terminal(sys.__stdout__) if sys.__stdout__ else False


def print_paged(write: Callable[[], object]) -> None:
    """Print what `write` prints; through a pager if it is longer than the screen. PAGER and LESS apply."""
    page = PageBuffer()
    try:
        with redirect_stdout(page):
            write()
    finally:
        text = page.getvalue()
        if text.count("\n") < shutil.get_terminal_size((80, 24)).lines:
            sys.stdout.write(text)
        else:
            os.environ.setdefault("LESS", "FRX")  # as git does: colours, and the text stays on the screen
            pydoc.pager(text)
