"""`contracts`: check contracts against botocore, propose new ones, and render their docs."""

import argparse
from pathlib import Path

from appstream_export.cli import console
from appstream_export.cli.options import Commands, add_command, add_command_group, parse_path


def add_parsers(commands: Commands) -> None:
    """Add `contracts` and its commands."""
    below = add_command_group(commands, "contracts", "Check, propose and document the contracts of exported resources.")
    add_command(below, "lint", run_contracts_lint, "Check every contract against the installed botocore.")
    propose = add_command(below, "propose", run_contracts_propose, "Print a contract for another list operation.")
    propose.add_argument("service", metavar="SERVICE", help="the name in boto3, such as appstream")
    propose.add_argument("operation", metavar="OPERATION", help="such as DescribeFleets")
    doc = "Write the dictionary, a page per table, and the checks of table keys."
    render = add_command(below, "render", run_contracts_render, doc)
    render.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is stale")
    for flag, usual in (("--docs", "docs/tables"), ("--checks", "sql/checks")):
        render.add_argument(flag, type=parse_path, default=Path(usual), metavar="DIR", help="default: %(default)s")


def run_contracts_lint(_: argparse.Namespace) -> int:
    """Print how contracts and botocore differ; exit code 1 if they do."""
    from appstream_export.contracts import lint_contracts, load_contracts

    return console.print_verdict(lint_contracts(load_contracts()), "every contract matches the installed botocore")


def run_contracts_propose(args: argparse.Namespace) -> int:
    """Print a contract for a list operation."""
    from appstream_export.contracts import propose_contract

    console.print_result(propose_contract(args.service, args.operation).rstrip())
    return 0


def run_contracts_render(args: argparse.Namespace) -> int:
    """Write the files that are generated from contracts, or with --check print the stale ones."""
    from appstream_export.contracts import find_stale_files, load_contracts, write_rendered_files

    if args.check:
        passed = f"{args.docs} and {args.checks} match the contracts"
        return console.print_verdict(find_stale_files(load_contracts(), args.docs, args.checks), passed)
    for file in write_rendered_files(load_contracts(), args.docs, args.checks):
        console.print_result(str(file))
    return 0
