"""Commands: each module holds the handlers and parsers of a group, and is imported when it is needed."""

from collections.abc import Mapping
from importlib import import_module

from appstream_export.cli.options import Commands

COMMAND_MODULES: Mapping[str, str] = {
    "demo": "demo emulate",
    "init": "init settings",
    "preflight": "doctor plan",
    "run": "run",
    "reading": "status sql query tables describe",
    "catalog": "catalog",
    "feeds": "feeds",
    "report": "report dashboard",
    "maintenance": "verify repair expire gc erase",
    "contracts": "contracts",
    "completion": "completion",
    "topics": "help",
}
"""Modules of this folder with the names of their commands, in the order of the help."""


def add_commands(commands: Commands, first: str = "") -> None:
    """Add the commands of the module that defines `first`, or of all modules if none does.

    Adding a command takes half a millisecond, so a known command adds only its module.
    """
    known = [module for module, names in COMMAND_MODULES.items() if first in names.split()]
    for module in known or COMMAND_MODULES:
        import_module(f"{__name__}.{module}").add_parsers(commands)
