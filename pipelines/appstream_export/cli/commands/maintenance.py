"""`verify`, `repair`, `expire`, `gc` and `erase`: the maintenance of a warehouse."""

import argparse
import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from appstream_export.cli import console
from appstream_export.cli.log import log_event, log_failure
from appstream_export.cli.options import Commands, add_format_option, add_warehouse_command, parse_grace_period
from appstream_export.cli.target import Target, list_target_flags, resolve_target
from appstream_export.errors import SettingsError
from appstream_export.version import __version__

if TYPE_CHECKING:
    from appstream_export.lake.storage import Store

EXIT_UNPUBLISHED = 3  # committed, but the catalog is not published
MIN_SAFE_GRACE = timedelta(hours=2)  # a run sends requests for at most run_timeout_s, by default an hour


def add_parsers(commands: Commands) -> None:
    """Add the commands of this module."""
    doc = "Read every committed byte, report what has changed or is missing, and run the checks. Exit 1 on a problem."
    add_format_option(add_warehouse_command(commands, "verify", run_verify, doc), ("table", "json"))
    doc = "Commit the history without what is lost. Damaged manifests are moved aside. Exit 1 if a person must act."
    repair = add_warehouse_command(commands, "repair", run_repair, doc)
    doc = "Expire snapshots according to [lake.retention]. Their changes are retained; gc frees the space."
    expire = add_warehouse_command(commands, "expire", run_expire, doc)
    doc = "Delete files that no retained snapshot needs. They come from killed runs and expired snapshots."
    gc = add_warehouse_command(commands, "gc", run_gc, doc)
    doc = "Remove an account from every snapshot, and prove that it is gone. Remove it from the settings first."
    erase = add_warehouse_command(commands, "erase", run_erase, doc)
    erase.add_argument("--account", required=True, metavar="A", help="the account's 12 digits")
    for command in (gc, erase):
        doc = "retain unneeded files that are younger, for runs in progress: 90m, 24h, 7d (default: 24h)"
        command.add_argument("--grace", type=parse_grace_period, default="24h", metavar="T", help=doc)
    for command in (repair, expire, gc, erase):
        command.add_argument("--dry-run", action="store_true", help="only show what would happen")
        add_format_option(command, ("table", "json"))


def run_verify(args: argparse.Namespace) -> int:
    """Print what has changed since the commit, and which checks failed; exit code 1 on a problem."""
    from appstream_export.cli.output import print_json
    from appstream_export.cli.progress import show_progress_bar
    from appstream_export.cli.views import build_verify_object, has_passed, render_verify_lines
    from appstream_export.lake.catalog import SharedConnection, build_no_snapshot_error, run_checks
    from appstream_export.lake.maintenance import verify_warehouse
    from appstream_export.run import build_check_inputs

    target = resolve_target(args)
    store = target.open_store()
    contracts, root = target.load_contracts(store), target.settings.lake.catalog_root
    with show_progress_bar("verified") as progress:
        found = verify_warehouse(store, contracts, catalog_root=root, progress=progress)
    if not found.head and not found.problems:
        raise build_no_snapshot_error(store)
    checks = []
    # Checks read the files, so they run only if the files are intact.
    if found.is_sound:
        with SharedConnection(store, contracts) as shared, shared.open_newest("checks") as con:
            inputs = build_check_inputs(store, contracts, target.settings, compares_feeds=target.is_configured)
            checks = run_checks(con, contracts, inputs)
    if args.format == "json":
        print_json(build_verify_object(found, checks, str(store.root)))
    else:
        console.print_sanitized_lines(render_verify_lines(found, checks, str(store.root)))
    return 0 if has_passed(found, checks) else 1


def run_repair(args: argparse.Namespace) -> int:
    """Repair the warehouse, publish what shows it, and print what is left; exit code 1 where a person must act."""
    from dataclasses import asdict

    from appstream_export.cli.output import print_json
    from appstream_export.cli.views import render_repair_lines
    from appstream_export.lake.catalog import refresh_catalog
    from appstream_export.lake.maintenance import repair_warehouse
    from appstream_export.run import republish_outputs

    target, problems = resolve_target(args), list[str]()
    store = target.open_store(writing=not args.dry_run)
    contracts = target.load_contracts(store)
    result = repair_warehouse(store, contracts, tool_version=__version__, dry_run=args.dry_run)
    if result.seq:
        problem = refresh_catalog(store, contracts, root=target.settings.lake.catalog_root)
        settings = target.load_output_settings(store)
        problems += [*([problem] if problem else []), *republish_outputs(settings, contracts)]
    if args.format == "json":
        print_json(asdict(result) | {"problems": problems})
    else:
        console.print_sanitized_lines(render_repair_lines(result))
    for problem in problems:
        log_failure(problem)
    if result.remaining:
        return 1
    return EXIT_UNPUBLISHED if problems else 0


def run_expire(args: argparse.Namespace) -> int:
    """Expire snapshots, publish the catalog, and print the result; exit code 3 if the catalog is not published."""
    from datetime import UTC, datetime

    from appstream_export.cli.output import print_json
    from appstream_export.cli.views import build_expire_object, render_expire_lines
    from appstream_export.lake.catalog import refresh_catalog
    from appstream_export.lake.maintenance import expire_snapshots

    target = resolve_target(args)
    store, lake = target.open_store(writing=not args.dry_run), target.settings.lake
    result = expire_snapshots(
        store, now=datetime.now(UTC), policy=lake.retention, tool_version=__version__, dry_run=args.dry_run
    )
    contracts = target.load_contracts(store)
    problem = refresh_catalog(store, contracts, root=lake.catalog_root) if result.seq else None
    if args.format == "json":
        print_json(build_expire_object(result, lake.retention) | {"catalog_problem": problem})
    else:
        console.print_sanitized_lines(render_expire_lines(result, lake.retention, list_target_flags(args)))
    if problem:
        log_failure(problem)
    return EXIT_UNPUBLISHED if problem else 0


def run_gc(args: argparse.Namespace) -> int:
    """Delete files that no retained snapshot needs, and print their number and size."""
    from dataclasses import asdict
    from datetime import UTC, datetime

    from appstream_export.cli.output import print_json
    from appstream_export.cli.views import render_vacuum_lines
    from appstream_export.lake.maintenance import vacuum_warehouse

    target = resolve_target(args)
    store = target.open_store(writing=not args.dry_run)
    if args.grace < MIN_SAFE_GRACE and not args.dry_run:
        log_event(logging.WARNING, "a run in progress loses its files that are older than this grace period")
    result = vacuum_warehouse(
        store,
        target.load_contracts(store),
        now=datetime.now(UTC),
        grace=args.grace,
        dry_run=args.dry_run,
        catalog_root=target.settings.lake.catalog_root,
    )
    if args.format == "json":
        print_json(asdict(result))
    else:
        console.print_lines(render_vacuum_lines(result))
    return 0


def run_erase(args: argparse.Namespace) -> int:
    """Erase an account, publish all outputs again, and print the result; exit code 1 if data is left."""
    from datetime import UTC, datetime

    from appstream_export.cli.output import print_json
    from appstream_export.cli.views import build_erase_object, render_erase_lines
    from appstream_export.lake.maintenance import erase_account
    from appstream_export.run import republish_outputs

    target, problems = resolve_target(args), list[str]()
    store = target.open_store(writing=not args.dry_run)
    contracts = target.load_contracts(store)
    fix = find_account_exclusion(target, store, args.account)
    # Refuse before any change: otherwise the next run exports the account again.
    if fix and not args.dry_run:
        raise SettingsError(f"account {args.account}: the next run would bring it back", fix=f"{fix}, then erase it")
    result = erase_account(
        store,
        contracts,
        args.account,
        now=datetime.now(UTC),
        tool_version=__version__,
        grace=args.grace,
        dry_run=args.dry_run,
        catalog_root=target.settings.lake.catalog_root,
        republish=lambda: problems.extend(republish_outputs(target.load_output_settings(store), contracts)),
    )
    if args.format == "json":
        print_json(build_erase_object(result) | {"first": fix, "problems": problems})
    else:
        console.print_sanitized_lines(render_erase_lines(result, fix))
    for problem in problems:
        log_failure(problem)
    return 0 if args.dry_run or (result.is_gone and not problems) else 1


def find_account_exclusion(target: Target, store: "Store", account_id: str) -> str | None:
    """Return the change of settings that must come before an erase, or None if none is needed."""
    from appstream_export.cli.views import suggest_account_exclusion
    from appstream_export.lake.snapshots import load_head, load_head_rows

    newest = load_head(store)
    accounts = load_head_rows(store, newest, "accounts") if newest else []
    return suggest_account_exclusion(target.settings, accounts, account_id)
