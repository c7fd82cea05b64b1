"""`feeds`: publish, verify and compare the files that dashboards read."""

import argparse

from appstream_export.cli import console
from appstream_export.cli.log import log_failure
from appstream_export.cli.options import Commands, add_command_group, add_warehouse_command
from appstream_export.cli.target import resolve_target


def add_parsers(commands: Commands) -> None:
    """Add `feeds` and its commands."""
    doc = "Publish, verify and compare the files that dashboards read. Each run publishes feeds too."
    below = add_command_group(commands, "feeds", doc)
    doc = "Publish the newest snapshot's feeds again. Exit 1 if a failed check blocks them."
    add_warehouse_command(below, "publish", run_feeds_publish, doc)
    doc = "Check published feeds against their description. Compares bytes, rows, columns and keys."
    verify = add_warehouse_command(below, "verify", run_feeds_verify, doc)
    verify.add_argument("generation", metavar="GENERATION", nargs="?", help="default: the served one")
    doc = "Show which feeds and columns a dashboard would miss. Exit 1 if one is missing or has another type or key."
    diff = add_warehouse_command(below, "diff", run_feeds_diff, doc)
    which = "a generation, a folder that holds one, current or next"
    diff.add_argument("old", metavar="OLD", nargs="?", default="current", help=f"{which} (default: %(default)s)")
    diff.add_argument("new", metavar="NEW", nargs="?", default="next", help="likewise; next is what would be published")


def run_feeds_publish(args: argparse.Namespace) -> int:
    """Publish the feeds of the newest snapshot; exit code 1 if a check blocks them."""
    from appstream_export.feeds import publish_feeds

    target = resolve_target(args)
    store = target.open_store()
    published = publish_feeds(store, target.load_contracts(store), target.load_output_settings(store).feeds)
    if published.problem:
        log_failure(published.problem)
    for version in filter(None, (published, published.star)):
        console.print_result(f"{len(version.rows)} feeds, {sum(version.rows.values()):,} rows: {version.place}")
    return 1 if published.problem else 0


def run_feeds_verify(args: argparse.Namespace) -> int:
    """Print how published feeds differ from their description; exit code 1 if they do."""
    from appstream_export.feeds import verify_feeds

    target = resolve_target(args)
    store, file_mode = target.open_store(), int(target.settings.feeds.file_mode, 8)
    problems = verify_feeds(store, args.generation, file_mode=file_mode)
    return console.print_verdict(problems, f"feeds of {args.generation or store.root} match datapackage.json")


def run_feeds_diff(args: argparse.Namespace) -> int:
    """Print how two generations differ; exit code 1 if a dashboard would break."""
    from appstream_export.feeds import diff_feeds

    target = resolve_target(args)
    store = target.open_store()
    settings = target.load_output_settings(store).feeds
    found = diff_feeds(store, target.load_contracts(store), settings, old=args.old, new=args.new)
    console.print_verdict(
        [str(difference) for difference in found], f"{args.new} has every feed and column of {args.old}"
    )
    return 1 if any(difference.is_breaking for difference in found) else 0
