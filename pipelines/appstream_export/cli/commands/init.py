"""`init`: write the files that a first export needs."""

import argparse
from pathlib import Path

from appstream_export.cli import console
from appstream_export.cli.options import Commands, add_command, parse_path


def add_parsers(commands: Commands) -> None:
    """Add `init`."""
    doc = "Write a commented configuration and IAM policies. Overwrites nothing."
    init = add_command(commands, "init", run_init, doc)
    partitions = ("aws", "aws-cn", "aws-us-gov")
    init.add_argument("--partition", choices=partitions, default="aws", help="of the accounts (default: aws)")
    init.add_argument(
        "--dir", type=parse_path, default=Path(), metavar="D", help="folder to write to (default: the current one)"
    )


def run_init(args: argparse.Namespace) -> int:
    """Write the files that are missing, and print the path of each."""
    from appstream_export.scaffold import CONFIG_FILE, write_scaffold_files

    for file, is_new in write_scaffold_files(args.dir, args.partition):
        console.print_result(f"wrote    {file}" if is_new else f"skipped  {file}: it already exists")
    console.print_result(
        f"next: fill in [[accounts]] in {args.dir / CONFIG_FILE}, then {console.format_command('doctor')}"
    )
    return 0
