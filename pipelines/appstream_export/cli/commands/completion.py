"""`completion`: a script with which a shell completes commands, options, tables and named queries."""

import argparse
from collections.abc import Iterator, Sequence

from appstream_export.cli import console
from appstream_export.cli.commands import add_commands
from appstream_export.cli.commands.topics import TOPICS
from appstream_export.cli.options import (
    Commands,
    Parser,
    add_command,
    add_global_options,
    parse_path,
    parse_warehouse,
)

_INSTALL = """\
To install it:
  bash: appstream-export completion bash >
        ~/.local/share/bash-completion/completions/appstream-export
  zsh:  appstream-export completion zsh > DIR/_appstream-export
        DIR is a folder of $fpath, before compinit
  fish: appstream-export completion fish >
        ~/.config/fish/completions/appstream-export.fish"""


def add_parsers(commands: Commands) -> None:
    """Add `completion`."""
    doc = (
        "Print a script that completes commands in a shell. It holds the names of tables and named queries of your "
        "settings, and starts no program: print it again after an upgrade."
    )
    completion = add_command(commands, "completion", print_completion, f"{doc}\n\n{_INSTALL}")
    completion.add_argument("shell", choices=("bash", "zsh", "fish"), metavar="SHELL", help="bash, zsh or fish")


def print_completion(args: argparse.Namespace) -> int:
    """Print the script for a shell."""
    import shtab

    from appstream_export.cli.commands.reading import load_own_contracts
    from appstream_export.cli.views import list_entries
    from appstream_export.lake.catalog import load_named_queries

    contracts = load_own_contracts(argparse.Namespace(config=args.config, warehouse=None))
    names = {
        "table": [entry.name for entry in list_entries(contracts)],
        "name": [query.name for query in load_named_queries(contracts)],
        "topic": list(TOPICS),
        "resources": [contract.name for contract in contracts],
    }
    parser = build_complete_parser()
    for action in _list_actions(parser):
        if action.dest in names:
            action.choices = names[action.dest]
        elif action.type is parse_path:
            _set_completion(action, shtab.DIRECTORY if action.dest == "dir" else shtab.FILE)
        elif action.type is parse_warehouse:
            _set_completion(action, shtab.DIRECTORY)
    console.print_result(shtab.complete(parser, args.shell).rstrip())
    return 0


def build_complete_parser() -> Parser:
    """Return a parser with the options of all commands."""
    parser = Parser(prog=console.PROG)
    parser.add_argument("--version", action="version", version="")
    add_global_options(parser, is_command=False)
    add_commands(parser.add_subparsers(title="commands", metavar="COMMAND"))
    return parser


def _list_actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield each option and argument of a parser and of the commands below it."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            below: Sequence[argparse.ArgumentParser] = list(action.choices.values())
            for command in below:
                yield from _list_actions(command)


def _set_completion(action: argparse.Action, shells: object) -> None:
    action.complete = shells  # ty: ignore[missing-attribute]  # where shtab looks for it
