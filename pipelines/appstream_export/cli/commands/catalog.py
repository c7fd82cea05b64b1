"""`catalog`: publish the DuckDB file of views, or write it to another file."""

import argparse

from appstream_export.cli import console
from appstream_export.cli.options import Commands, UsageError, add_warehouse_command, parse_path
from appstream_export.cli.target import resolve_target


def add_parsers(commands: Commands) -> None:
    """Add `catalog`."""
    doc = "Publish the catalog again, or write it to a file. For a bucket, print the SQL that DuckDB needs."
    catalog = add_warehouse_command(commands, "catalog", run_catalog, doc)
    catalog.add_argument(
        "-o", "--output", type=parse_path, metavar="FILE", help="write the catalog to FILE, and replace it"
    )
    seen = "path of the warehouse for its readers, such as /data in a container"
    catalog.add_argument("--root", metavar="R", help=seen)


def run_catalog(args: argparse.Namespace) -> int:
    """Publish the catalog, or write it to a file; print its path, and for a bucket the SQL that a reader needs."""
    from appstream_export.lake.catalog import export_catalog, publish_catalog, render_setup_lines

    target = resolve_target(args)
    store, root = target.open_store(), args.root or target.settings.lake.catalog_root
    contracts = target.load_contracts(store)
    if args.output:
        if args.root and not store.has_catalog_file:
            raise UsageError("--root applies only to folders", fix="omit it: a bucket has the same name everywhere")
        file = export_catalog(args.output, store, contracts, root=root)
        needs = f"-- wrote {file}; run these lines before you attach it"
        console.print_result(str(file) if store.has_catalog_file else needs)
    elif store.has_catalog_file:
        console.print_result(str(publish_catalog(store, contracts, root=root)))
    if not store.has_catalog_file:
        views = [] if args.output else contracts
        console.print_lines(render_setup_lines(store, target.settings.s3, views))
    return 0
