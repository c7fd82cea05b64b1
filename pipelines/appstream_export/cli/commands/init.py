"""`init` and `settings`: the files that a first export needs, the schema of its settings, and what they are now."""

import argparse
from pathlib import Path

from appstream_export.cli import console
from appstream_export.cli.options import Commands, add_command, add_command_group, add_format_option, parse_path
from appstream_export.cli.target import find_named_warehouse


def add_parsers(commands: Commands) -> None:
    """Add `init`, and `settings` with its commands."""
    doc = "Write a commented configuration and IAM policies. Overwrites nothing."
    init = add_command(commands, "init", run_init, doc)
    partitions = ("aws", "aws-cn", "aws-us-gov")
    init.add_argument("--partition", choices=partitions, default="aws", help="of the accounts (default: aws)")
    init.add_argument(
        "--dir", type=parse_path, default=Path(), metavar="D", help="folder to write to (default: the current one)"
    )
    below = add_command_group(commands, "settings", "Show the settings in use, or the schema of their file.")
    doc = (
        "Show all settings in use, each with its source. The source is the line of the file, the environment variable, "
        "or default. The output is a settings file, with *** for secrets."
    )
    shown = add_command(below, "show", show_settings, doc)
    add_format_option(shown, ("toml", "json"), default="toml", default_doc="toml")
    doc = (
        "Print the JSON schema of the settings file. `init` writes it beside the settings, whose first line names it, "
        "so that editors with a TOML language server complete and check them. Print it again after an upgrade."
    )
    add_command(below, "schema", print_settings_schema, doc)


def show_settings(args: argparse.Namespace) -> int:
    """Print the settings with their sources."""
    from appstream_export.cli.output import print_json
    from appstream_export.cli.views import build_settings_object, render_settings_lines
    from appstream_export.settings_sources import read_effective_settings

    named = find_named_warehouse(argparse.Namespace(config=args.config, warehouse=None))
    settings = read_effective_settings(args.config, warehouse=named)
    if args.format == "json":
        print_json(build_settings_object(settings))
    else:
        console.print_lines(render_settings_lines(settings))
    return 0


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
