"""The words of a command line: argparse, with each error in one line and a suggestion where there is one."""

import argparse
import textwrap
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

from appstream_export.errors import ConfigurationError, suggest_spelling


class UsageError(ConfigurationError):
    """The command line itself is wrong."""


class _HelpFormatter(argparse.HelpFormatter):
    """Keeps line breaks of descriptions, and fits each line to the width."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(textwrap.fill(line, width, initial_indent=indent) for line in text.splitlines())


class Parser(argparse.ArgumentParser):
    """Raises Usage where argparse would print and exit; takes no abbreviated options."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, allow_abbrev=False, formatter_class=_HelpFormatter)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where the help is."""
        raise UsageError(f"{message}; see {self.prog} --help")

    def reject_argument(self, word: str) -> NoReturn:
        """Refuse a word that nothing here takes."""
        known = [flag for action in self._actions for flag in action.option_strings]
        kind = "option" if word.startswith("-") else "argument"
        near = suggest_spelling(word.partition("=")[0], known) if kind == "option" else ""
        self.error(f'unknown {kind} "{word}"{near}')

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Argparse lists all choices; the nearest one helps more."""
        choices = [str(choice) for choice in action.choices or ()]
        if choices and value not in choices:
            near = suggest_spelling(str(value), choices) or f"; choose from {', '.join(choices)}"
            raise argparse.ArgumentError(action, f'there is no "{value}"{near}')


def parse_list(text: str) -> tuple[str, ...]:
    """`a,b` as two words."""
    words = tuple(word.strip() for word in text.split(","))
    if not all(words):
        raise argparse.ArgumentTypeError(f'"{text}" is not a list such as A,B')
    return words


def parse_assignment(text: str) -> tuple[str, str]:
    """`name=value` as two words."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise argparse.ArgumentTypeError(f'"{text}" is not like hours=12')
    return name.strip(), value


def parse_positive_integer(text: str) -> int:
    """A whole number from 1."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'"{text}" is not a whole number from 1')
    return int(text)


def parse_port(text: str) -> int:
    """A TCP port; 0 takes a free one."""
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f'"{text}" is not a port from 0 to 65535')
    return int(text)


def parse_grace_period(text: str) -> timedelta:
    """A length of time: `90m`, `24h` or `7d`; `0` for none."""
    from appstream_export.settings import parse_duration  # most commands take no such word

    try:
        return timedelta() if text == "0" else parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def parse_path(text: str) -> Path:
    """A path, with ~ for the home folder."""
    return Path(text).expanduser()


def parse_warehouse(text: str) -> str:
    """A warehouse: a folder, from the root of the file system, or `s3://bucket/prefix`."""
    return text if "://" in text else str(Path(text).expanduser().absolute())
