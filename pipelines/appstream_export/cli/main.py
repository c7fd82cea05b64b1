"""The command line: `appstream-export COMMAND`. Each command reads its words, calls one function, tells how it ended.

Nothing heavy is imported here: a command imports its stage when it runs, so that help and SQL come at once.
"""

import argparse
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from appstream_export.cli import console
from appstream_export.cli.options import (
    Parser,
    UsageError,
    parse_assignment,
    parse_grace_period,
    parse_list,
    parse_path,
    parse_port,
    parse_positive_integer,
    parse_warehouse,
)
from appstream_export.cli.signals import SIGNAL_EXIT_BASE, SignalInterrupt, handle_stop_signals, run_interruptible_query
from appstream_export.errors import ExportError, SettingsError
from appstream_export.version import __version__

if TYPE_CHECKING:
    import pyarrow as pa

    from appstream_export.lake.storage import Store
    from appstream_export.run import Request
    from appstream_export.settings import FeedsSettings, S3Settings, Settings

PROG = "appstream-export"
EXIT_BUG = 70
WAREHOUSE_VARIABLE = "APPSTREAM_EXPORT_WAREHOUSE"
MIN_SAFE_GRACE = timedelta(hours=2)  # a run asks for at most run_timeout_s, an hour by default, and then commits
FORMATS = ("table", "json", "ndjson", "csv", "md", "parquet")
EPILOG = """\
exit codes:
  0    ok
  1    the answer is no: doctor, plan (discovery failed), verify,
       erase (something is left), contracts lint, contracts render --check,
       feeds verify, feeds diff
  2    usage or configuration, before any write
  3    committed, but too many scopes failed ([extract] max_failed_ratio), or a check did
  4    nothing committed
  70   a bug
  130, 143  interrupted, nothing committed; in the midst of the commit: all or nothing, see status

AppStream 2.0 is also called Amazon WorkSpaces Applications."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; whatever is foreseeable ends in one line on stderr."""
    console.configure_streams()
    is_debug = "--debug" in (sys.argv if argv is None else argv)
    try:
        code = _dispatch_command(argv)
        console.flush_output()
    except (ExportError, SignalInterrupt) as error:
        code = _report_failure(error, str(error), error.exit_code, is_debug=is_debug)
    except KeyboardInterrupt:
        code = SIGNAL_EXIT_BASE + signal.SIGINT
    except SystemExit as ended:  # argparse, after --help and --version
        code = ended.code if isinstance(ended.code, int) else 0
    except Exception as error:  # noqa: BLE001 - the outermost place, where it can only be a bug
        code = _report_failure(error, _format_bug(error), EXIT_BUG, is_debug=is_debug)
    return code


def _dispatch_command(argv: Sequence[str] | None) -> int:
    words = sys.argv[1:] if argv is None else argv
    args, extra = build_parser(words[0] if words else "").parse_known_args(words)
    if extra:
        args.parser.reject_argument(extra[0])
    if args.call is None:
        console.log_line(args.parser.format_help().rstrip())
        return UsageError.exit_code
    _configure_logging(logging.DEBUG if args.debug else logging.WARNING)
    return args.call(args)


def _report_failure(error: Exception, text: str, code: int, *, is_debug: bool) -> int:
    if is_debug:
        console.log_line("".join(traceback.format_exception(error)).rstrip())
    console.log_line(f"{PROG}: {console.strip_control_characters(text)}")
    return code


def _format_bug(error: Exception) -> str:
    at = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(at.filename).name}:{at.lineno}"
    return f"this is a bug: {type(error).__name__} at {place}: {error}; rerun with --debug and report what it prints"


class _StderrHandler(logging.Handler):
    """Our own log lines, where progress goes. Botocore's stay out: at DEBUG they hold credentials."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        console.log_line(console.strip_control_characters(f"{record.levelname.lower()}: {record.getMessage()}"))


def _configure_logging(level: int) -> None:
    log = logging.getLogger("appstream_export")
    log.handlers[:] = [_StderrHandler()]
    log.setLevel(level)


# ---- commands


def run_demo(args: argparse.Namespace) -> int:
    from appstream_export.demo import play_demo

    with handle_stop_signals() as stop:
        play_demo(args.dir, stop)
    return 0


def run_emulator(args: argparse.Namespace) -> int:
    from appstream_export.demo import serve_emulator

    with handle_stop_signals(announce=False) as stop:
        serve_emulator(args.dir, args.port, stop)
    return 0


def run_init(args: argparse.Namespace) -> int:
    from appstream_export.scaffold import CONFIG_FILE, write_scaffold_files

    for file, is_new in write_scaffold_files(args.dir):
        console.print_result(f"wrote    {file}" if is_new else f"skipped  {file}: it is there already")
    console.print_result(
        f"next: fill in [[accounts]] in {args.dir / CONFIG_FILE}, then {console.format_command('doctor')}"
    )
    return 0


def run_doctor(args: argparse.Namespace) -> int:
    from appstream_export.cli.progress import show_run_progress
    from appstream_export.cli.views import build_doctor_objects, render_doctor_lines
    from appstream_export.contracts import load_contracts
    from appstream_export.preflight import check_readiness
    from appstream_export.run import Request
    from appstream_export.settings import read_settings

    loaded, request = (
        override_warehouse(args.warehouse, read_settings(args.config)),
        Request(accounts=args.accounts, regions=args.regions),
    )
    with handle_stop_signals() as stop, show_run_progress(is_quiet=True) as watch:
        checkup = check_readiness(loaded, load_contracts(), request, listener=watch, stop=stop)
    if args.format == "json":
        print_json(build_doctor_objects(checkup))
    else:
        print_lines(render_doctor_lines(checkup))
    return checkup.exit_code


def show_plan(args: argparse.Namespace) -> int:
    from appstream_export.cli.views import build_plan_object, render_plan_lines
    from appstream_export.contracts import load_contracts
    from appstream_export.preflight import estimate_run
    from appstream_export.run import Request
    from appstream_export.settings import read_settings

    limits = {
        "accounts": args.accounts,
        "regions": args.regions,
        "retry_failed": args.retry_failed,
        "accept_drop": args.force,
    }
    loaded = override_warehouse(args.warehouse, read_settings(args.config))
    with handle_stop_signals() as stop:
        foreseen = estimate_run(loaded, load_contracts(), Request(**limits), stop)
    if args.format == "json":
        print_json(build_plan_object(foreseen))
    else:
        doctor = console.format_command("doctor", *target_flags(args))
        print_lines(render_plan_lines(foreseen, console.format_command("run", *repeat_flags(args)), doctor))
    return foreseen.exit_code


def run_export(args: argparse.Namespace) -> int:
    from appstream_export.cli.progress import show_run_progress
    from appstream_export.cli.views import build_run_object, render_run_lines, summarize_run
    from appstream_export.contracts import load_contracts
    from appstream_export.run import execute_run
    from appstream_export.settings import read_settings

    loaded, contracts = override_warehouse(args.warehouse, read_settings(args.config)), load_contracts()
    with handle_stop_signals() as stop, show_run_progress() as watch:
        result = execute_run(loaded, contracts, build_run_request(args), listener=watch, stop=stop)
    told = summarize_run(result, contracts, loaded.warehouse, target_flags(args), s3=loaded.s3)
    if args.format == "json":
        print_json(build_run_object(told))
    else:
        print_lines(render_run_lines(told))
    return result.exit_code


def show_status(args: argparse.Namespace) -> int:
    from appstream_export.cli.views import build_status_object, load_status, print_status

    standing = load_status(*resolve_warehouse(args))
    if args.format == "json":
        print_json(build_status_object(standing))
    else:
        print_status(standing)
    return 0


def execute_sql(args: argparse.Namespace) -> int:
    from appstream_export.lake.catalog import connect_warehouse, run_query

    sql = sys.stdin.read() if args.sql == "-" else args.sql
    warehouse, s3 = resolve_warehouse(args)
    with connect_warehouse(warehouse, s3=s3, as_of=args.as_of) as con:
        found = run_interruptible_query(lambda: run_query(con, sql), con.interrupt)
    return print_rows(found, args.format)


def execute_named_query(args: argparse.Namespace) -> int:
    from appstream_export.cli.views import list_named_queries
    from appstream_export.lake.catalog import (
        connect_warehouse,
        get_named_query,
        load_named_queries,
        parse_parameters,
        run_query,
    )

    if args.name is None:
        return print_rows(list_named_queries(load_named_queries(), is_brief=args.format == "table"), args.format)
    asked = get_named_query(args.name)
    given = parse_parameters(asked, dict(args.param))
    if args.sql:
        console.print_result(asked.sql.rstrip())
        return 0
    warehouse, s3 = resolve_warehouse(args)
    with connect_warehouse(warehouse, s3=s3, as_of=args.as_of) as con:
        found = run_interruptible_query(lambda: run_query(con, asked.sql, given), con.interrupt)
    return print_rows(found, args.format)


def show_tables(args: argparse.Namespace) -> int:
    from appstream_export.cli.views import build_tables_overview

    return print_rows(build_tables_overview(is_brief=args.format == "table"), args.format)


def describe_table(args: argparse.Namespace) -> int:
    from appstream_export.cli.views import find_entry, list_entry_columns

    found = find_entry(args.table)
    if args.format != "table":
        return print_rows(list_entry_columns(found), args.format)
    console.print_result(f"{console.style(found.name, '1')}: {found.doc}")
    if found.key:
        console.print_result(f"Key within a snapshot: {', '.join(found.key)}.")
    console.print_result()
    print_rows(list_entry_columns(found), "table")
    if found.join:
        console.print_result(f"\nTogether with what its rows belong to:\n\n{found.join}")
    return 0


def run_catalog(args: argparse.Namespace) -> int:
    from appstream_export.contracts import load_contracts
    from appstream_export.lake.catalog import export_catalog, publish_catalog

    store, loaded = open_target(args)
    root = args.root or loaded.lake.catalog_root
    if args.output:
        if args.root and not store.has_catalog_file:
            raise UsageError("--root is for folders; a bucket has the same name everywhere")
        file = export_catalog(args.output, store, load_contracts(), root=root)
        needs = f"-- wrote {file}; whoever attaches it needs these lines first"
        console.print_result(str(file) if store.has_catalog_file else needs)
    elif store.has_catalog_file:
        console.print_result(str(publish_catalog(store, load_contracts(), root=root)))
    if not store.has_catalog_file:
        from appstream_export.lake.catalog import render_setup_lines

        print_lines(render_setup_lines(store, loaded.s3, [] if args.output else load_contracts()))
    return 0


def run_verify(args: argparse.Namespace) -> int:
    from appstream_export.cli.progress import show_progress_bar
    from appstream_export.cli.views import build_verify_object, has_passed, render_verify_lines
    from appstream_export.lake.catalog import CheckResult, build_no_snapshot_error, connect_warehouse, run_checks
    from appstream_export.lake.maintenance import verify_warehouse

    store, loaded = open_target(args)
    with show_progress_bar("verified") as progress:
        found = verify_warehouse(store, progress=progress)
    if not found.head and not found.problems:
        raise build_no_snapshot_error(store)
    checked: list[CheckResult] = []
    if found.is_sound:
        with connect_warehouse(loaded.warehouse, s3=loaded.s3) as con:
            checked = run_checks(con)
    if args.format == "json":
        print_json(build_verify_object(found, checked, str(store.root)))
    else:
        print_sanitized_lines(render_verify_lines(found, checked, str(store.root)))
    return 0 if has_passed(found, checked) else 1


def run_expire(args: argparse.Namespace) -> int:
    from dataclasses import asdict
    from datetime import UTC, datetime

    from msgspec.structs import asdict as fields

    from appstream_export.cli.views import render_expire_lines
    from appstream_export.contracts import load_contracts
    from appstream_export.lake.catalog import refresh_catalog
    from appstream_export.lake.maintenance import expire_snapshots

    store, loaded = open_target(args, writing=not args.dry_run)
    policy = loaded.lake.retention
    done = expire_snapshots(store, now=datetime.now(UTC), policy=policy, tool_version=__version__, dry_run=args.dry_run)
    problem = refresh_catalog(store, load_contracts(), root=loaded.lake.catalog_root) if done.seq else None
    if args.format == "json":
        print_json(asdict(done) | {"retention": fields(policy), "catalog_problem": problem})
    else:
        print_sanitized_lines(render_expire_lines(done, policy, target_flags(args)))
    if problem:
        console.log_line(f"{PROG}: {console.strip_control_characters(problem)}")
    return 0


def run_gc(args: argparse.Namespace) -> int:
    from dataclasses import asdict
    from datetime import UTC, datetime

    from appstream_export.contracts import load_contracts
    from appstream_export.lake.maintenance import vacuum_warehouse

    store, loaded = open_target(args, writing=not args.dry_run)
    if args.grace < MIN_SAFE_GRACE and not args.dry_run:
        console.log_line("a run that is under way loses what it has written so far, if that is older than this grace")
    done = vacuum_warehouse(
        store,
        load_contracts(),
        now=datetime.now(UTC),
        grace=args.grace,
        dry_run=args.dry_run,
        catalog_root=loaded.lake.catalog_root,
    )
    if args.format == "json":
        print_json(asdict(done))
    else:
        console.print_result(str(done))
    return 0


def run_erase(args: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from appstream_export.cli.views import build_erase_object, render_erase_lines, suggest_account_exclusion
    from appstream_export.contracts import load_contracts
    from appstream_export.lake.maintenance import erase_account
    from appstream_export.lake.snapshots import load_head, load_head_rows
    from appstream_export.run import republish_outputs

    (store, loaded), problems, contracts = open_target(args, writing=not args.dry_run), list[str](), load_contracts()
    newest = load_head(store)
    known = load_head_rows(store, newest, "accounts") if newest else []
    if (fix := suggest_account_exclusion(loaded, known, args.account)) and not args.dry_run:
        raise SettingsError(f"account {args.account}: the next run would bring it back; {fix}, then erase it")
    done = erase_account(
        store,
        contracts,
        args.account,
        now=datetime.now(UTC),
        tool_version=__version__,
        grace=args.grace,
        dry_run=args.dry_run,
        catalog_root=loaded.lake.catalog_root,
        republish=lambda: problems.extend(republish_outputs(loaded, contracts)),
    )
    if args.format == "json":
        print_json(build_erase_object(done) | {"first": fix, "problems": problems})
    else:
        print_sanitized_lines(render_erase_lines(done))
        if fix:
            console.print_result(f"first {fix}: the next run would bring it back")
    for problem in problems:
        console.log_line(f"{PROG}: {console.strip_control_characters(problem)}")
    return 0 if args.dry_run or (done.is_gone and not problems) else 1


def run_feeds_publish(args: argparse.Namespace) -> int:
    from appstream_export.contracts import load_contracts
    from appstream_export.feeds import publish_feeds

    store, settings = open_feeds_target(args)
    published = publish_feeds(store, load_contracts(), settings, rebuild=True)
    if published.problem:
        console.log_line(f"{PROG}: {console.strip_control_characters(published.problem)}")
    console.print_result(f"{len(published.rows)} feeds, {sum(published.rows.values()):,} rows: {published.place}")
    return 1 if published.problem else 0


def run_feeds_verify(args: argparse.Namespace) -> int:
    from appstream_export.feeds import verify_feeds

    store, settings = open_feeds_target(args)
    problems = verify_feeds(store, args.generation, file_mode=int(settings.file_mode, 8))
    return print_verdict(problems, f"feeds of {args.generation or store.root} are what datapackage.json says")


def run_feeds_diff(args: argparse.Namespace) -> int:
    from appstream_export.contracts import load_contracts
    from appstream_export.feeds import diff_feeds

    store, settings = open_feeds_target(args)
    found = diff_feeds(store, load_contracts(), settings, old=args.old, new=args.new)
    print_verdict([str(difference) for difference in found], f"{args.new} has every feed and column of {args.old}")
    return 1 if any(difference.is_breaking for difference in found) else 0


def run_report(args: argparse.Namespace) -> int:
    from appstream_export.feeds import publish_report, render_report
    from appstream_export.lake.catalog import connect_warehouse, run_query
    from appstream_export.lake.storage import open_store
    from appstream_export.settings import Settings, read_settings

    loaded = Settings() if get_warehouse_override(args) else read_settings(args.config)
    warehouse, s3 = resolve_warehouse(args)
    with connect_warehouse(warehouse, s3=s3) as con:
        if args.output is None:
            place = publish_report(open_store(warehouse, s3=s3), lambda sql: run_query(con, sql), loaded)
        else:
            page = render_report(lambda sql: run_query(con, sql), freshness_interval=loaded.lake.freshness_timedelta)
            place = write_output_file(args.output, page)
    console.print_result(place)
    return 0


def export_superset_bundle(args: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from appstream_export.contracts import load_contracts
    from appstream_export.feeds import FEEDS_DATABASE_FILE, FEEDS_ROOT, build_feeds, build_superset_bundle

    store, settings = open_feeds_target(args)
    root = args.root or str(store.root)
    if "://" in root:
        raise SettingsError(
            f"Superset opens bi.duckdb as a file: copy {root}/{FEEDS_ROOT} to its disk, and say where: --root R"
        )
    database = f"{root.rstrip('/')}/{FEEDS_ROOT}/{FEEDS_DATABASE_FILE}"
    made = build_superset_bundle(build_feeds(load_contracts(), settings.account_labels), database, datetime.now(UTC))
    console.print_result(write_output_file(args.output, made))
    console.print_result(f"import it:  superset import-dashboards -u ADMIN -p {args.output}")
    return 0


def write_output_file(file: Path, content: str | bytes) -> str:
    try:
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror}; name a file that can be written: -o FILE") from error
    return str(file)


def run_contracts_lint(_: argparse.Namespace) -> int:
    from appstream_export.contracts import lint_contracts, load_contracts

    return print_verdict(lint_contracts(load_contracts()), "every contract fits the installed botocore")


def run_contracts_propose(args: argparse.Namespace) -> int:
    from appstream_export.contracts import propose_contract

    console.print_result(propose_contract(args.service, args.operation).rstrip())
    return 0


def run_contracts_render(args: argparse.Namespace) -> int:
    from appstream_export.contracts import find_stale_files, load_contracts, write_rendered_files

    if args.check:
        fine = f"{args.docs} and {args.checks} say what the contracts say"
        return print_verdict(find_stale_files(load_contracts(), args.docs, args.checks), fine)
    for file in write_rendered_files(load_contracts(), args.docs, args.checks):
        console.print_result(str(file))
    return 0


# ---- what commands share


def print_verdict(problems: Sequence[str], fine: str) -> int:
    for line in problems or [fine]:
        console.print_result(console.strip_control_characters(line))
    return 1 if problems else 0


def print_rows(table: "pa.Table", kind: str) -> int:
    from appstream_export.cli.output import write_result

    write_result(table, kind)
    return 0


def print_json(value: object) -> None:
    from appstream_export.cli.output import encode_json

    console.print_result_bytes(encode_json(value) + b"\n")


def print_sanitized_lines(lines: Iterable[str]) -> None:
    print_lines(map(console.strip_control_characters, lines))


def print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        console.print_result(line)


def get_warehouse_override(args: argparse.Namespace) -> str | None:
    """The warehouse as named apart from a configuration; a --config that is typed is nearer than the environment."""
    named = None if args.config else os.environ.get(WAREHOUSE_VARIABLE)
    return args.warehouse or (parse_warehouse(named) if named else None)


def resolve_warehouse(args: argparse.Namespace) -> "tuple[str, S3Settings | None]":
    """Where it is, and how it is reached if that is a bucket (None: as boto3 reaches any bucket)."""
    if named := get_warehouse_override(args):
        return named, None
    from appstream_export.settings import DEFAULT_FILE, find_settings_file, read_settings

    if find_settings_file(args.config, os.environ) is None:
        fix = f"name it with --warehouse PATH or {WAREHOUSE_VARIABLE}, or work beside an {DEFAULT_FILE}"
        raise SettingsError(f"which warehouse? {fix}; to see one made: {console.format_command('demo')}")
    loaded = read_settings(args.config)
    return loaded.warehouse, loaded.s3


def open_target(args: argparse.Namespace, *, writing: bool = False) -> "tuple[Store, Settings]":
    """The warehouse, and settings that name it: those of the configuration, unless that is about another one.

    So a warehouse that is named and configured is kept as it is configured: by its retention, with its modes and keys.
    """
    from appstream_export.lake.storage import open_store
    from appstream_export.settings import Settings, find_settings_file, read_settings

    found, _ = resolve_warehouse(args)
    file = find_settings_file(args.config, os.environ)
    loaded = read_settings(args.config) if file else None
    if loaded is None or not is_same_warehouse(loaded.warehouse, found):
        loaded = Settings(warehouse=found)
    mode, s3 = int(loaded.lake.file_mode, 8), loaded.s3
    store = open_store(found, file_mode=mode, s3=s3)
    return open_store(found, file_mode=mode, create=True, s3=s3) if writing else store, loaded


def is_same_warehouse(one: str, other: str) -> bool:
    if "://" in one or "://" in other:
        return one.rstrip("/") == other.rstrip("/")
    return Path(one).resolve() == Path(other).resolve()


def open_feeds_target(args: argparse.Namespace) -> "tuple[Store, FeedsSettings]":
    """The warehouse whose feeds are meant, and how they are published: as a configuration at hand says of it."""
    from appstream_export.lake.storage import open_store
    from appstream_export.settings import (
        FeedsSettings,
        LakeSettings,
        find_settings_file,
        read_settings,
        resolve_location,
    )

    warehouse, s3 = resolve_warehouse(args)
    loaded = read_settings(args.config) if find_settings_file(args.config, os.environ) else None
    lake, feeds = LakeSettings(), FeedsSettings()
    if loaded and loaded.warehouse == resolve_location(warehouse, Path.cwd()):
        lake, feeds, s3 = loaded.lake, loaded.feeds, loaded.s3
    return open_store(warehouse, file_mode=int(lake.file_mode, 8), s3=s3), feeds


def override_warehouse(warehouse: str | None, loaded: "Settings") -> "Settings":
    from msgspec.structs import replace

    return replace(loaded, warehouse=warehouse) if warehouse else loaded


def build_run_request(args: argparse.Namespace) -> "Request":
    from appstream_export.model import ScanOptions
    from appstream_export.run import Request

    ask = ScanOptions(
        names=args.names,
        page_size=args.page_size,
        max_items=args.max_items,
        starting_token=args.starting_token,
    )
    return Request(
        accounts=args.accounts,
        regions=args.regions,
        scan_options=ask,
        retry_failed=args.retry_failed,
        accept_drop=args.force,
        publish=not args.no_publish,
    )


def target_flags(args: argparse.Namespace) -> list[str]:
    """The words by which another command finds the same configuration and the same warehouse."""
    words = ["--config", str(args.config)] if args.config else []
    return words + (["--warehouse", args.warehouse] if args.warehouse else [])


def repeat_flags(args: argparse.Namespace) -> list[str]:
    """What limits a plan limits the run."""
    words = target_flags(args)
    for flag in ("accounts", "regions"):
        words += [f"--{flag}", ",".join(getattr(args, flag))] if getattr(args, flag) else []
    return words + [f"--{flag.replace('_', '-')}" for flag in ("retry_failed", "force") if getattr(args, flag)]


# ---- the words


def build_parser(first: str = "") -> Parser:
    """Of all commands, or of those beside `first` where that is one: each takes half a millisecond to describe."""
    parser = Parser(
        prog=PROG,
        description="Every AppStream 2.0 image builder of your accounts and regions, as Parquet and DuckDB.",
        epilog=EPILOG,
    )
    parser.set_defaults(call=None, parser=parser)
    parser.add_argument("--version", action="version", version=f"{PROG} {__version__}")
    add_global_options(parser, config=None, debug=False)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    beside = [add for add, names in COMMAND_GROUPS.items() if first in names.split()]
    for add in beside or COMMAND_GROUPS:
        add(commands)
    return parser


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


def add_command(commands: Commands, name: str, call: Callable[[argparse.Namespace], int] | None, doc: str) -> Parser:
    """A command whose help is `doc`: its first sentence in the list, all of it on its own page."""
    first = doc.partition(". ")[0].rstrip(".")
    command: Parser = commands.add_parser(name, help=first[:1].lower() + first[1:], description=doc)
    command.set_defaults(call=call, parser=command)
    add_global_options(command, config=argparse.SUPPRESS, debug=argparse.SUPPRESS)
    return command


def add_global_options(parser: Parser, *, config: object, debug: object) -> None:
    """Options that may stand before and after the command; SUPPRESS keeps the later place from undoing the earlier."""
    options = parser.add_argument_group("everywhere")
    doc = "settings (default: APPSTREAM_EXPORT_CONFIG, else ./appstream-export.toml)"
    options.add_argument("--config", type=parse_path, metavar="FILE", default=config, help=doc)
    options.add_argument("--debug", action="store_true", default=debug, help="tracebacks, and our own log in full")


def add_starting_commands(commands: Commands) -> None:
    doc = "See it work on an emulated AWS. Runs several times as its life goes on, then prints what it found."
    demo = add_command(commands, "demo", run_demo, doc)
    demo.add_argument("--dir", type=parse_path, default=Path("appstream-export-demo"), metavar="D",
                      help="where its settings and warehouse go (default: %(default)s)")  # fmt: skip
    doc = "Serve the emulated AWS on 127.0.0.1 until Ctrl-C. With --dir the one of that demo, as its last run saw it."
    emulate = add_command(commands, "emulate", run_emulator, doc)
    emulate.add_argument("--dir", type=parse_path, metavar="D", help="the demo's folder")
    emulate.add_argument("--port", type=parse_port, metavar="P", help="default: the demo's, or a free one")
    doc = "Write a commented configuration and IAM policies. Overwrites nothing."
    init = add_command(commands, "init", run_init, doc)
    init.add_argument("--dir", type=parse_path, default=Path(), metavar="D", help="where to (default: here)")


def add_run_command(commands: Commands) -> None:
    doc = "Ask AWS, commit a snapshot, publish what shows it. What is not asked or fails keeps its last good rows."
    run = add_command(commands, "run", run_export, doc)
    limits = add_limit_options(run)
    limits.add_argument("--retry-failed", action="store_true", help="only what failed last time")
    limits.add_argument("--names", type=parse_list, default=(), metavar="N,..", help="only items of these names")
    limits.add_argument("--max-items", type=parse_positive_integer, metavar="N", help="at most N items per scope")
    limits.add_argument("--starting-token", metavar="T", help="go on where --max-items cut a scope")
    run.add_argument(
        "--page-size", type=parse_positive_integer, metavar="N", help="items per page (default: AWS's own)"
    )
    run.add_argument("--force", action="store_true", help="believe a fall in items that the guard holds back")
    run.add_argument("--no-publish", action="store_true", help="commit, but leave catalog and feeds as they are")
    run.add_argument("--warehouse", type=parse_warehouse, metavar="PATH", help="instead of the settings' warehouse")
    add_format_option(run, ("table", "json"))


def add_limit_options(command: Parser) -> "argparse._ArgumentGroup":
    limits = command.add_argument_group("ask less")
    limits.add_argument("--accounts", type=parse_list, default=(), metavar="A,..", help="only these accounts")
    limits.add_argument("--regions", type=parse_list, default=(), metavar="R,..", help="only these regions")
    return limits


def add_preflight_commands(commands: Commands) -> None:
    doc = "Find out what would stop a run. Asks one page of every scope, commits nothing, and names each fix."
    doctor = add_command(commands, "doctor", run_doctor, doc)
    add_limit_options(doctor)
    doctor.add_argument("--warehouse", type=parse_warehouse, metavar="PATH", help="instead of the settings' warehouse")
    add_format_option(doctor, ("table", "json"))
    doc = "Show what a run would ask, and what that costs. Asks AWS for accounts and regions alone, writes nothing."
    plan = add_command(commands, "plan", show_plan, doc)
    add_limit_options(plan).add_argument("--retry-failed", action="store_true", help="only what failed last time")
    plan.add_argument("--force", action="store_true", help="believe a list of accounts that is short or empty")
    plan.add_argument("--warehouse", type=parse_warehouse, metavar="PATH", help="instead of the settings' warehouse")
    add_format_option(plan, ("table", "json"))


def add_reading_commands(commands: Commands) -> None:
    doc = "How fresh the warehouse is, what is missing, and where to look."
    status = add_warehouse_command(commands, "status", show_status, doc)
    add_format_option(status, ("table", "json"))
    doc = "Ask the warehouse in SQL. Reads only: SELECT and EXPLAIN. In csv, text that looks like a formula gets a '."
    sql = add_warehouse_command(commands, "sql", execute_sql, doc)
    sql.add_argument("sql", metavar="SQL", help="one statement, in quotes; - reads it from stdin")
    add_as_of_option(sql)
    add_format_option(sql)
    doc = "Ask a named question. Without a name it lists them, with what they may be told."
    asks = add_warehouse_command(commands, "query", execute_named_query, doc)
    asks.add_argument("name", metavar="NAME", nargs="?", help="such as running_over")
    asks.add_argument("-p", "--param", type=parse_assignment, action="append", default=[], metavar="K=V",
                      help="a parameter of the question, such as hours=12; may be repeated")  # fmt: skip
    add_as_of_option(asks)
    asks.add_argument("--sql", action="store_true", help="print its SQL instead of asking")
    add_format_option(asks)
    doc = "List every table and view."
    add_format_option(add_command(commands, "tables", show_tables, doc))
    describe = add_command(commands, "describe", describe_table, "Describe a table: its key, its columns, its join.")
    describe.add_argument("table", metavar="TABLE", help="such as image_builders")
    add_format_option(describe)
    doc = "Publish the catalog anew, or write one elsewhere. Of a bucket: print the lines that DuckDB needs."
    catalog = add_warehouse_command(commands, "catalog", run_catalog, doc)
    catalog.add_argument(
        "-o", "--output", type=parse_path, metavar="FILE", help="write it there, in place of an older one"
    )
    seen = "where its readers see the warehouse, such as /data in a container"
    catalog.add_argument("--root", metavar="R", help=seen)


def add_feeds_commands(commands: Commands) -> None:
    doc = "Publish, verify and compare what dashboards read. Each run publishes feeds by itself."
    below = add_command(commands, "feeds", None, doc).add_subparsers(title="commands", metavar="COMMAND")
    doc = "Publish the newest snapshot's feeds anew. Exit 1 where a check keeps them from showing it."
    add_warehouse_command(below, "publish", run_feeds_publish, doc)
    doc = "Hold published feeds against their description. Looks at bytes, rows, columns and keys."
    verify = add_warehouse_command(below, "verify", run_feeds_verify, doc)
    verify.add_argument("generation", metavar="GENERATION", nargs="?", help="default: what is served")
    doc = "Tell which feeds and columns a dashboard would miss. Exit 1 if any is gone, retyped, or another key."
    diff = add_warehouse_command(below, "diff", run_feeds_diff, doc)
    which = "a generation, a folder that holds one, current or next"
    diff.add_argument("old", metavar="OLD", nargs="?", default="current", help=f"{which} (default: %(default)s)")
    diff.add_argument("new", metavar="NEW", nargs="?", default="next", help="the same; next is what would be published")


def add_as_of_option(command: Parser) -> None:
    doc = "as everything was then, such as 2026-01-31 (its end, UTC) or 2026-01-31T12:00Z"
    command.add_argument("--as-of", metavar="TIME", help=doc)


def add_maintenance_commands(commands: Commands) -> None:
    doc = "Read every committed byte and name what has changed or is missing, then run the checks. Exit 1 on a problem."
    add_format_option(add_warehouse_command(commands, "verify", run_verify, doc), ("table", "json"))
    doc = "Let go of snapshots that [lake.retention] tells apart no more. Their changes stay; gc frees the space."
    thin = add_warehouse_command(commands, "thin", run_expire, doc)
    doc = "Delete what no retained snapshot needs. Leftovers of killed runs, and what thin let go."
    gc = add_warehouse_command(commands, "gc", run_gc, doc)
    doc = "Take an account out of every snapshot, and prove that it is gone. Take it out of the settings first."
    erase = add_warehouse_command(commands, "erase", run_erase, doc)
    erase.add_argument("--account", required=True, metavar="A", help="its 12 digits")
    for command in (gc, erase):
        doc = "leave unneeded files that are younger, for runs under way: 90m, 24h, 7d (default: 24h)"
        command.add_argument("--grace", type=parse_grace_period, default="24h", metavar="T", help=doc)
    for command in (thin, gc, erase):
        command.add_argument("--dry-run", action="store_true", help="only tell what would happen")
        add_format_option(command, ("table", "json"))


def add_warehouse_command(commands: Commands, name: str, call: Callable[[argparse.Namespace], int], doc: str) -> Parser:
    command = add_command(commands, name, call, doc)
    where = f"default: {WAREHOUSE_VARIABLE}, else the settings'"
    command.add_argument("--warehouse", type=parse_warehouse, metavar="PATH", help=where)
    return command


def add_format_option(command: Parser, formats: Sequence[str] = FORMATS) -> None:
    kinds = command.add_mutually_exclusive_group()
    doc = f"{', '.join(formats)} (default: table)"
    kinds.add_argument("--format", choices=formats, default="table", metavar="KIND", help=doc)
    kinds.add_argument("--json", action="store_const", const="json", dest="format", help="short for --format json")


def add_report_command(commands: Commands) -> None:
    doc = "Write the report: one page for a browser, with charts and no request to anywhere. Every run writes it too."
    report = add_warehouse_command(commands, "report", run_report, doc)
    where = "default: report.html in the warehouse"
    report.add_argument("-o", "--output", type=parse_path, metavar="FILE", help=where)


def add_dashboard_commands(commands: Commands) -> None:
    dashboard = add_command(commands, "dashboard", None, "Make dashboards of feeds for other programs.")
    below = dashboard.add_subparsers(title="commands", metavar="COMMAND")
    doc = "Write a bundle that Superset imports: database, datasets with their docs, charts, one dashboard."
    superset = add_warehouse_command(below, "superset", export_superset_bundle, doc)
    superset.add_argument("-o", "--output", type=parse_path, metavar="FILE", default=Path("superset.zip"),
                          help="default: %(default)s")  # fmt: skip
    superset.add_argument("--root", metavar="R", help="where Superset sees the warehouse, if elsewhere")


def add_contracts_commands(commands: Commands) -> None:
    doc = "Check, propose and document what is exported."
    contracts = add_command(commands, "contracts", None, doc)
    below = contracts.add_subparsers(title="commands", metavar="COMMAND")
    add_command(below, "lint", run_contracts_lint, "Hold every contract against the installed botocore.")
    propose = add_command(below, "propose", run_contracts_propose, "Print a contract for another list operation.")
    propose.add_argument("service", metavar="SERVICE", help="as boto3 calls it, such as appstream")
    propose.add_argument("operation", metavar="OPERATION", help="such as DescribeFleets")
    render = add_command(
        below,
        "render",
        run_contracts_render,
        "Write the dictionary of tables, a page each, and the checks of their keys.",
    )
    render.add_argument("--check", action="store_true", help="write nothing; exit 1 where a file is stale")
    for flag, usual in (("--docs", "docs/tables"), ("--checks", "sql/checks")):
        render.add_argument(flag, type=parse_path, default=Path(usual), metavar="DIR", help="default: %(default)s")


COMMAND_GROUPS: Mapping[Callable[[Commands], None], str] = {
    add_starting_commands: "demo emulate init",
    add_preflight_commands: "doctor plan",
    add_run_command: "run",
    add_reading_commands: "status sql query tables describe catalog",
    add_feeds_commands: "feeds",
    add_report_command: "report",
    add_dashboard_commands: "dashboard",
    add_maintenance_commands: "verify thin gc erase",
    add_contracts_commands: "contracts",
}
"""What adds which commands, in the order of the help."""


if __name__ == "__main__":
    sys.exit(main())
