"""`contracts`: check contracts and users' SQL, propose new contracts, and render their docs."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from appstream_export.cli import console
from appstream_export.cli.options import Commands, UsageError, add_command, add_command_group, parse_path
from appstream_export.cli.target import find_configuration
from appstream_export.resources import find_resource_folder

if TYPE_CHECKING:
    from appstream_export.settings import Settings

DOCS, CHECKS = Path("docs/tables"), Path("sql/checks")


def add_parsers(commands: Commands) -> None:
    """Add `contracts` and its commands."""
    below = add_command_group(commands, "contracts", "Check, propose and document the contracts of exported resources.")
    doc = "Check every contract against the installed botocore. Tries your own SQL on empty tables."
    add_command(below, "lint", run_contracts_lint, doc)
    doc = "Print the policy that the role in each account needs, for the resources that are on."
    add_command(below, "iam", print_reader_policy, doc)
    propose = add_command(below, "propose", run_contracts_propose, "Print a contract for another list operation.")
    propose.add_argument("service", metavar="SERVICE", help="the name in boto3, such as appstream")
    propose.add_argument("operation", metavar="OPERATION", help="such as DescribeFleets")
    doc = "Write the dictionary, a page per table, to a folder. In a checkout also the checks of table keys."
    render = add_command(below, "render", run_contracts_render, doc)
    render.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is stale")
    doc = "write the pages of the resources that are on, and your views, to this folder"
    render.add_argument("-o", "--output", type=parse_path, metavar="DIR", help=doc)
    for flag, usual in (("--docs", DOCS), ("--checks", CHECKS)):
        help_text = f"of the packaged contracts (in a checkout: {usual})"
        render.add_argument(flag, type=parse_path, metavar="DIR", help=help_text)


def run_contracts_lint(args: argparse.Namespace) -> int:
    """Print how contracts and botocore differ, and mistakes in the user's SQL; exit code 1 if there are any."""
    from appstream_export.contracts import lint_contracts
    from appstream_export.lake.catalog import find_user_sql_problems
    from appstream_export.run import load_enabled_contracts, load_known_contracts

    settings = find_settings_or_default(args)
    every = load_known_contracts(settings)
    problems = [*lint_contracts(every), *find_user_sql_problems(load_enabled_contracts(settings), every)]
    return console.print_verdict(problems, "every contract matches the installed botocore")


def print_reader_policy(args: argparse.Namespace) -> int:
    """Print the IAM policy of the enabled contracts."""
    import json

    from appstream_export.contracts import build_iam_policy, list_member_actions
    from appstream_export.run import load_enabled_contracts

    contracts = load_enabled_contracts(find_settings_or_default(args))
    console.print_result(json.dumps(build_iam_policy(list_member_actions(contracts)), indent=2))
    return 0


def run_contracts_propose(args: argparse.Namespace) -> int:
    """Print a contract for a list operation."""
    from appstream_export.contracts import propose_contract

    own = find_settings_or_default(args).contracts.folder
    folder = Path(own).name if own else "schemas" if is_checkout() else "contracts"
    console.print_result(propose_contract(args.service, args.operation, folder).rstrip())
    return 0


def run_contracts_render(args: argparse.Namespace) -> int:
    """Write the files that are generated from contracts, or with --check print the stale ones."""
    from appstream_export.contracts import find_stale_files, load_packaged_contracts, write_rendered_files
    from appstream_export.feeds import FEEDS_PAGE, render_feeds_page
    from appstream_export.run import load_enabled_contracts

    enabled = load_enabled_contracts(find_settings_or_default(args))
    contracts, pages = enabled if args.output else load_packaged_contracts(), {FEEDS_PAGE: render_feeds_page(enabled)}
    docs, checks = resolve_render_folders(args)
    if args.check:
        passed = f"{' and '.join(map(str, filter(None, (docs, checks))))} match the contracts"
        return console.print_verdict(find_stale_files(contracts, docs, checks, pages), passed)
    for file in write_rendered_files(contracts, docs, checks, pages):
        console.print_result(str(file))
    return 0


def resolve_render_folders(args: argparse.Namespace) -> tuple[Path, Path | None]:
    """Return the folders for docs and checks; raises UsageError if nothing says where to write."""
    if args.output:
        if args.docs or args.checks:
            raise UsageError("--output does not go with --docs and --checks", fix="name one folder: --output DIR")
        return args.output, None
    if args.docs or is_checkout():
        return args.docs or DOCS, args.checks or (None if args.docs else CHECKS)
    raise UsageError("no folder to write to", fix="name one: --output DIR")


def is_checkout() -> bool:
    """Return whether the current folder is the source of this program, whose generated files are in place."""
    return find_resource_folder("schemas").resolve() == Path("schemas").resolve()


def find_settings_or_default(args: argparse.Namespace) -> "Settings":
    """Return the settings of the configuration, or the defaults if there is none."""
    from appstream_export.settings import Settings

    return find_configuration(args.config) or Settings()
