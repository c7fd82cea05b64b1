"""`help`: pages of the documentation, which travel in the package."""

import argparse
import io
import os
import pydoc
import sys
from collections.abc import Mapping

from appstream_export.cli import console
from appstream_export.cli.options import Commands, UsageError, add_command
from appstream_export.errors import suggest_correction
from appstream_export.resources import find_resource_folder

TOPICS: Mapping[str, tuple[str, str]] = {
    "settings": ("operations.md", "### Where settings come from"),
    "accounts": ("operations.md", "## Accounts and regions"),
    "retries": ("operations.md", "## Retries and deadlines"),
    "schedule": ("operations.md", "## Scheduled runs"),
    "maintenance": ("operations.md", "## Maintain the warehouse"),
    "past": ("operations.md", "## Query the past"),
    "s3": ("operations.md", "## A warehouse on S3"),
    "sql": ("sql.md", "# SQL"),
    "dashboards": ("connect.md", "# Connect a dashboard"),
    "resources": ("resources.md", "# "),
    "security": ("security.md", "# Security"),
}
"""The file and the heading of each topic."""


def add_parsers(commands: Commands) -> None:
    """Add `help`."""
    doc = (
        "Show a topic of the documentation. Without a topic, list them. For a command: appstream-export COMMAND --help."
    )
    topic = add_command(commands, "help", show_topic, doc)
    topic.add_argument("topic", nargs="?", metavar="TOPIC", help=f"one of {', '.join(TOPICS)}")


def show_topic(args: argparse.Namespace) -> int:
    """Print the text of a topic, or the list of all topics."""
    if args.topic is None:
        for name in TOPICS:
            console.print_result(f"{name:<12} {read_topic(name).splitlines()[0].lstrip('# ')}")
        return 0
    if args.topic not in TOPICS:
        near = suggest_correction(args.topic, [*TOPICS]) or "list them with: appstream-export help"
        raise UsageError(f'there is no topic "{args.topic}"', fix=near)
    text = read_topic(args.topic)
    if not console.is_terminal(sys.stdout):
        console.print_result(text.rstrip())
        return 0
    os.environ.setdefault("LESS", "FRX")
    pydoc.pager(_render_markdown(text))
    return 0


def read_topic(name: str) -> str:
    """Return the section of a topic, up to the next heading of its level or above."""
    file, heading = TOPICS[name]
    level, found, is_code = heading.split(" ")[0], list[str](), False
    for line in (find_resource_folder("docs") / file).read_text("utf-8").splitlines():
        is_heading = not is_code and line.startswith("#") and len(line.split(" ")[0]) <= len(level)
        if found and is_heading:
            break
        if found or (is_heading and line.startswith(heading)):
            found.append(line)
        is_code ^= line.startswith("```")
    return "\n".join(found) + "\n"


def _render_markdown(text: str) -> str:
    from rich.console import Console
    from rich.markdown import Markdown

    page = io.StringIO()
    colours = console.has_colour(sys.stdout)
    rich = Console(file=page, width=console.get_terminal_width(), force_terminal=colours, no_color=not colours)
    rich.print(Markdown(text, hyperlinks=False))
    return page.getvalue()
