"""Options of the command line: argparse with one-line errors, value types, and options that commands share."""

import argparse
import re
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from appstream_export.cli import console
from appstream_export.cli.log import LOG_FORMATS
from appstream_export.errors import ConfigurationError, describe_renamed, suggest_correction
from appstream_export.location import S3_SCHEME, expand_user, validate_location
from appstream_export.settings_file import WAREHOUSE_VARIABLE

FORMATS = ("table", "json", "ndjson", "csv", "md", "parquet")
RENAMED_WORDS: Mapping[str, str] = {"thin": "expire", "--force": "--accept-drop"}
"""Commands and flags of version 0.3.0 with their new names."""


_HEADING = re.compile(r"^[a-z][a-z ]*:", re.MULTILINE)
_TEXT = re.compile(r"( +\S+ {2,}| *)")
_OPTION = re.compile(r"(?<![\w-])--?[a-z][\w-]*")


class UsageError(ConfigurationError):
    """The command line is not valid."""


class _HelpFormatter(argparse.HelpFormatter):
    """Help formatter that retains the line breaks of descriptions and wraps each line below its text.

    The text of a line such as `  4    nothing committed` begins after its first word.
    """

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        # Paths and commands are copied, so they break nowhere.
        wrap = textwrap.TextWrapper(width, initial_indent=indent, break_long_words=False, break_on_hyphens=False)
        lines = list[str]()
        for line in text.splitlines():
            found = _TEXT.match(line)
            wrap.subsequent_indent = indent + " " * (found.end() if found else 0)
            lines.append(wrap.fill(line))
        return "\n".join(lines)


class Parser(argparse.ArgumentParser):
    """Parser that raises UsageError instead of exiting, and accepts no abbreviated options."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, allow_abbrev=False, formatter_class=_HelpFormatter)

    def format_help(self) -> str:
        """Return the help, with headings and options in colour if stdout is a terminal that has colours."""
        text = super().format_help()
        if not console.has_colour(sys.stdout):
            return text
        text = _HEADING.sub(lambda found: console.style(found[0], "1"), text)
        return _OPTION.sub(lambda found: console.style(found[0], "36"), text)

    def error(self, message: str) -> NoReturn:
        """Raise UsageError with the message and the command that prints the help."""
        raise UsageError(message, fix=f"see {self.prog} --help")

    def reject_argument(self, word: str) -> NoReturn:
        """Raise UsageError for a word that no option or argument accepts."""
        known = [flag for action in self._actions for flag in action.option_strings]
        _refuse_renamed(word.partition("=")[0], known)
        kind = "option" if word.startswith("-") else "argument"
        near = suggest_correction(word.partition("=")[0], known) if kind == "option" else None
        self.error(f'unknown {kind} "{word}"' + (f"; {near}" if near else ""))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Raise ArgumentError for an unknown choice, with the nearest one instead of argparse's list of all."""
        choices = [str(choice) for choice in action.choices or ()]
        if choices and value not in choices:
            _refuse_renamed(str(value), choices)
            near = suggest_correction(str(value), choices) or f"choose from {', '.join(choices)}"
            raise argparse.ArgumentError(action, f'there is no "{value}"; {near}')


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"
Handler: TypeAlias = Callable[[argparse.Namespace], int]
"""A function that runs a command and returns its exit code."""


def add_command(commands: Commands, name: str, call: Handler | None, doc: str) -> Parser:
    """Add a command with help `doc`: the list of commands shows its first sentence, the command's page all of it."""
    first = doc.partition(". ")[0].rstrip(".")
    command: Parser = commands.add_parser(name, help=first[:1].lower() + first[1:], description=doc)
    command.set_defaults(call=call, parser=command)
    add_global_options(command, is_command=True)
    return command


def add_warehouse_command(commands: Commands, name: str, call: Handler, doc: str) -> Parser:
    """Add a command that works on a warehouse."""
    command = add_command(commands, name, call, doc)
    add_warehouse_option(command)
    return command


def add_command_group(commands: Commands, name: str, doc: str) -> Commands:
    """Add a command that has subcommands, and return the object to add them to."""
    return add_command(commands, name, None, doc).add_subparsers(title="commands", metavar="COMMAND")


def add_global_options(parser: Parser, *, is_command: bool) -> None:
    """Add the options that are accepted both before and after the command."""
    # The parser of a command gets SUPPRESS as default: else it would overwrite a value given before the command.
    unset: Any = argparse.SUPPRESS if is_command else None
    options = parser.add_argument_group("for every command")
    doc = "settings (default: APPSTREAM_EXPORT_CONFIG, else appstream-export.toml here or above: help settings)"
    options.add_argument("--config", type=parse_path, metavar="FILE", default=unset, help=doc)
    options.add_argument("-q", "--quiet", action="store_true", default=unset, help="no progress; run: no summary if ok")
    options.add_argument("-v", "--verbose", action="store_true", default=unset, help="also log details, and each scope")
    options.add_argument("--debug", action="store_true", default=unset, help="show tracebacks and the full log")
    doc = "text (lines with time and level) or json, on stderr (default: APPSTREAM_EXPORT_LOG_FORMAT, else text)"
    options.add_argument("--log-format", choices=LOG_FORMATS, metavar="KIND", default=unset, help=doc)


def add_warehouse_option(command: Parser) -> None:
    """Add `--warehouse`; `cli.target` reads it."""
    doc = f"default: {WAREHOUSE_VARIABLE}, else the one in the settings"
    command.add_argument("--warehouse", type=parse_warehouse, metavar="PATH", help=doc)


def add_limit_options(command: Parser) -> "argparse._ArgumentGroup":
    """Add `--resources`, `--accounts` and `--regions`, and return their group for further limits."""
    limits = command.add_argument_group("limits")
    doc = "only these resources, due or not"
    limits.add_argument("--resources", type=parse_list, default=(), metavar="R,..", help=doc)
    limits.add_argument("--accounts", type=parse_list, default=(), metavar="A,..", help="only these accounts")
    limits.add_argument("--regions", type=parse_list, default=(), metavar="R,..", help="only these regions")
    return limits


def add_as_of_option(command: Parser) -> None:
    """Add `--as-of`."""
    doc = "the state at that time, such as 2026-01-31 (end of the day, UTC) or 2026-01-31T12:00Z"
    command.add_argument("--as-of", metavar="TIME", help=doc)


class _StoreJson(argparse.Action):
    """Store the format json, and that it was named by this option."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        """Set the format, and the option that named it."""
        del parser, values
        namespace.format, namespace.format_option = "json", option_string


def add_format_option(
    command: Parser, formats: Sequence[str] = FORMATS, *, default: str | None = "table", default_doc: str = "table"
) -> None:
    """Add `--format` and its short form `--json`."""
    kinds = command.add_mutually_exclusive_group()
    doc = f"{', '.join(formats)} (default: {default_doc})"
    kinds.add_argument("--format", choices=formats, default=default, metavar="KIND", help=doc)
    kinds.add_argument("--json", action=_StoreJson, nargs=0, dest="format", help="short for --format json")


def add_result_options(command: Parser) -> None:
    """Add `--output` and `--format`; the format is None if none is named, because the file's suffix may name it."""
    doc = "write the result to this file instead, complete or not at all; the suffix names the format"
    command.add_argument("-o", "--output", type=parse_path, metavar="FILE", help=doc)
    add_format_option(command, default=None, default_doc="the suffix of -o, else table")


def parse_list(text: str) -> tuple[str, ...]:
    """Parse `a,b` as two words; raises ArgumentTypeError for an empty word."""
    words = tuple(word.strip() for word in text.split(","))
    if not all(words):
        raise argparse.ArgumentTypeError(f'"{text}" is not a list such as A,B')
    return words


def parse_assignment(text: str) -> tuple[str, str]:
    """Parse `name=value` as two words."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise argparse.ArgumentTypeError(f'"{text}" is not like hours=12')
    return name.strip(), value


def parse_positive_integer(text: str) -> int:
    """Parse a whole number from 1."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'"{text}" is not a whole number from 1')
    return int(text)


def parse_port(text: str) -> int:
    """Parse a TCP port; 0 selects a free port."""
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f'"{text}" is not a port from 0 to 65535')
    return int(text)


def parse_grace_period(text: str) -> timedelta:
    """Parse a duration: `90m`, `24h`, `7d`, or `0` for none."""
    from appstream_export.settings import parse_duration  # slow to import, and few commands need it

    try:
        return timedelta() if text == "0" else parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def parse_path(text: str) -> Path:
    """Parse a path, with ~ for the home folder."""
    return expand_user(text)


def parse_warehouse(text: str) -> str:
    """Parse a warehouse: a folder, made absolute, or `s3://bucket/prefix` without a last slash; raises SettingsError.

    It refuses other URLs before any request or write.
    """
    validate_location(text)
    if not text.startswith(S3_SCHEME):
        return str(expand_user(text).absolute())
    # Stripping "s3://" would remove a part of the scheme.
    shorter = text.rstrip("/")
    return shorter if "://" in shorter else text


def _refuse_renamed(word: str, choices: Sequence[str]) -> None:
    """Raise UsageError if `word` is the old name of one of `choices`."""
    new = RENAMED_WORDS.get(word)
    if new is not None and new in choices:
        message, fix = describe_renamed(word, new)
        raise UsageError(message, fix=fix)
