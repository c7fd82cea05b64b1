"""`init` and `settings`: the files that a first export needs, and the schema of its settings."""

import argparse
from pathlib import Path

from appstream_export.cli import console
from appstream_export.cli.options import Commands, add_command, add_command_group, parse_path


def add_parsers(commands: Commands) -> None:
    """Add `init`, and `settings` with its command."""
    doc = "Write a commented configuration and IAM policies. Overwrites nothing."
    init = add_command(commands, "init", run_init, doc)
    partitions = ("aws", "aws-cn", "aws-us-gov")
    init.add_argument("--partition", choices=partitions, default="aws", help="of the accounts (default: aws)")
    init.add_argument(
        "--dir", type=parse_path, default=Path(), metavar="D", help="folder to write to (default: the current one)"
    )
    below = add_command_group(commands, "settings", "Describe the settings file for editors.")
    doc = (
        "Print the JSON schema of the settings file. `init` writes it beside the settings, whose first line names it, "
        "so that editors with a TOML language server complete and check them. Print it again after an upgrade."
    )
    add_command(below, "schema", print_settings_schema, doc)


def print_settings_schema(_: argparse.Namespace) -> int:
    """Print the schema."""
    from appstream_export.scaffold import render_settings_schema

    console.print_result(render_settings_schema().rstrip())
    return 0


def run_init(args: argparse.Namespace) -> int:
    """Write the files that are missing, and print the path of each."""
    from appstream_export.scaffold import CONFIG_FILE, write_scaffold_files

    for file, is_new in write_scaffold_files(args.dir, args.partition):
        console.print_result(f"wrote    {file}" if is_new else f"skipped  {file}: it already exists")
    console.print_result(
        f"next: fill in [[accounts]] in {args.dir / CONFIG_FILE}, then {console.format_command('doctor')}"
    )
    return 0
