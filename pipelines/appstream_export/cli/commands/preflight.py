"""`doctor` and `plan`: check and estimate a run before it starts."""

import argparse

from appstream_export.cli import console
from appstream_export.cli.options import (
    Commands,
    add_command,
    add_format_option,
    add_limit_options,
    add_warehouse_option,
)
from appstream_export.cli.signals import handle_stop_signals
from appstream_export.cli.target import list_target_flags, read_run_settings


def add_parsers(commands: Commands) -> None:
    """Add `doctor` and `plan`."""
    doc = "Find out what would stop a run. Requests one page of every scope, commits nothing, and names each fix."
    doctor = add_command(commands, "doctor", run_doctor, doc)
    add_limit_options(doctor)
    doc = "Show what a run would request, and its cost. Requests only accounts and regions, and writes nothing."
    plan = add_command(commands, "plan", show_plan, doc)
    add_limit_options(plan).add_argument(
        "--retry-failed", action="store_true", help="only scopes that failed last time"
    )
    plan.add_argument("--accept-drop", action="store_true", help="accept a list of accounts that is short or empty")
    for command in (doctor, plan):
        add_warehouse_option(command)
        add_format_option(command, ("table", "json"))


def run_doctor(args: argparse.Namespace) -> int:
    """Print what would stop a run; exit code 1 if anything would."""
    from appstream_export.cli.output import print_json
    from appstream_export.cli.progress import show_run_progress
    from appstream_export.cli.views import build_doctor_objects, render_doctor_lines
    from appstream_export.preflight import check_readiness
    from appstream_export.run import Request, load_enabled_contracts

    settings = read_run_settings(args)
    request = Request(resources=args.resources, accounts=args.accounts, regions=args.regions)
    contracts = load_enabled_contracts(settings)
    with handle_stop_signals() as stop, show_run_progress(is_quiet=True) as listener:
        checkup = check_readiness(settings, contracts, request, listener=listener, stop=stop)
    if args.format == "json":
        print_json(build_doctor_objects(checkup))
    else:
        console.print_lines(render_doctor_lines(checkup))
    return checkup.exit_code


def show_plan(args: argparse.Namespace) -> int:
    """Print what a run would request; exit code 1 if discovery failed."""
    from appstream_export.cli.output import print_json
    from appstream_export.cli.views import build_plan_object, render_plan_lines
    from appstream_export.preflight import estimate_run
    from appstream_export.run import Request, load_enabled_contracts

    request = Request(
        resources=args.resources,
        accounts=args.accounts,
        regions=args.regions,
        retry_failed=args.retry_failed,
        accept_drop=args.accept_drop,
    )
    settings = read_run_settings(args)
    with handle_stop_signals() as stop:
        estimate = estimate_run(settings, load_enabled_contracts(settings), request, stop)
    if args.format == "json":
        print_json(build_plan_object(estimate))
    else:
        doctor = console.format_command("doctor", *list_target_flags(args))
        run = console.format_command("run", *list_run_flags(args))
        console.print_lines(render_plan_lines(estimate, run, doctor))
    return estimate.exit_code


def list_run_flags(args: argparse.Namespace) -> list[str]:
    """Return the flags that limit a run in the same way as this plan."""
    words = list_target_flags(args)
    for flag in ("resources", "accounts", "regions"):
        words += [f"--{flag}", ",".join(getattr(args, flag))] if getattr(args, flag) else []
    return words + [f"--{flag.replace('_', '-')}" for flag in ("retry_failed", "accept_drop") if getattr(args, flag)]
