"""`run`: request all scopes, and commit a snapshot."""

import argparse
import logging
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from appstream_export.cli import console
from appstream_export.cli.log import is_json_log, log_event, log_failure
from appstream_export.cli.options import (
    Commands,
    add_command,
    add_format_option,
    add_limit_options,
    add_warehouse_option,
    parse_list,
    parse_positive_integer,
)
from appstream_export.cli.signals import handle_stop_signals
from appstream_export.cli.target import find_named_warehouse, list_target_flags, read_run_settings
from appstream_export.errors import ExportError

if TYPE_CHECKING:
    from appstream_export.cli.views import RunSummary
    from appstream_export.run import Request
    from appstream_export.settings import Settings

EXIT_RESULT_LOST = 3  # committed, but the result could not be written


def add_parsers(commands: Commands) -> None:
    """Add `run`."""
    doc = "Export from AWS, commit a snapshot, and publish it. Scopes that fail or are left out retain their last rows."
    run = add_command(commands, "run", run_export, doc)
    limits = add_limit_options(run)
    limits.add_argument("--retry-failed", action="store_true", help="only scopes that failed last time")
    limits.add_argument("--names", type=parse_list, default=(), metavar="N,..", help="only items of these names")
    limits.add_argument("--max-items", type=parse_positive_integer, metavar="N", help="at most N items per scope")
    limits.add_argument("--starting-token", metavar="T", help="continue a scope that --max-items stopped")
    run.add_argument(
        "--page-size", type=parse_positive_integer, metavar="N", help="items per page (default: AWS's default)"
    )
    run.add_argument("--accept-drop", action="store_true", help="accept a drop in items that the guard blocked")
    run.add_argument("--no-publish", action="store_true", help="commit, but do not publish catalog, feeds and report")
    add_warehouse_option(run)
    add_format_option(run, ("table", "json"))


def run_export(args: argparse.Namespace) -> int:
    """Run an export, and print its result."""
    from appstream_export.run import choose_arrow_memory

    choose_arrow_memory()  # what the next line imports loads Arrow
    from appstream_export.run import monitor_run

    settings = _read_reported_settings(args)
    with monitor_run(settings) as monitor:
        summary = _execute_request(args, settings)
        monitor.end(summary.result, summary.exit_code)
    return _print_run(args, summary)


def _read_reported_settings(args: argparse.Namespace) -> "Settings":
    """Return the settings; if they are wrong, report the refused run as far as they say where."""
    try:
        return read_run_settings(args)
    except ExportError as error:
        from appstream_export.run import report_refused_run

        warehouse = None
        with suppress(ExportError):
            warehouse = find_named_warehouse(args)
        report_refused_run(args.config, error, warehouse=warehouse)
        raise


def _execute_request(args: argparse.Namespace, settings: "Settings") -> "RunSummary":
    from appstream_export.cli.progress import show_run_progress
    from appstream_export.cli.views import summarize_run
    from appstream_export.run import execute_run, load_enabled_contracts

    contracts = load_enabled_contracts(settings)
    with handle_stop_signals() as stop:
        with show_run_progress(with_resource=len(contracts) > 1) as listener:
            result = execute_run(settings, contracts, build_run_request(args), listener=listener, stop=stop)
        return summarize_run(result, contracts, settings.warehouse, list_target_flags(args), s3=settings.s3)


def _print_run(args: argparse.Namespace, summary: "RunSummary") -> int:
    """Print the result of a run and return its exit code. A JSON log has it as its last record, and no summary."""
    from appstream_export.cli.views import build_run_object, render_run_lines

    code, is_json = summary.exit_code, is_json_log()
    level = logging.ERROR if code else logging.INFO
    if is_json or not console.is_terminal(sys.stderr):
        log_event(level, f"run ended with exit code {code}", build_run_object(summary) if is_json else None)
    if args.format == "json":
        return _print_object(build_run_object(summary), code)
    if not is_json and (code or not args.quiet):
        console.print_summary(render_run_lines(summary))
    return code


def _print_object(value: object, code: int) -> int:
    """Print a run's object and return its exit code: 3 instead of 0 if the object could not be written."""
    from appstream_export.cli.output import print_json

    try:
        print_json(value)
        console.flush_output()
    except console.OutputError as error:
        log_failure(str(error))
        return code or EXIT_RESULT_LOST
    return code


def build_run_request(args: argparse.Namespace) -> "Request":
    """Build the request of a run from its flags."""
    from appstream_export.model import ScanOptions
    from appstream_export.run import Request

    options = ScanOptions(
        names=args.names,
        page_size=args.page_size,
        max_items=args.max_items,
        starting_token=args.starting_token,
    )
    return Request(
        resources=args.resources,
        accounts=args.accounts,
        regions=args.regions,
        scan_options=options,
        retry_failed=args.retry_failed,
        accept_drop=args.accept_drop,
        publish=not args.no_publish,
    )
