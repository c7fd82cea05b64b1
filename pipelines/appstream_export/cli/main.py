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

from appstream_export import __version__
from appstream_export.cli import console
from appstream_export.cli.options import Parser, Usage, assigned, folder, lasting, listed, place, port, positive
from appstream_export.cli.signals import EXIT, Signalled, interruptible, stoppable
from appstream_export.errors import BadSettings, ExportError

if TYPE_CHECKING:
    import pyarrow as pa

    from appstream_export.lake.storage.base import Store
    from appstream_export.run import Request
    from appstream_export.settings import FeedsSettings, S3Settings, Settings

PROG = "appstream-export"
EXIT_BUG = 70
WAREHOUSE = "APPSTREAM_EXPORT_WAREHOUSE"
GRACE_SAFE = timedelta(hours=2)  # a run asks for at most run_timeout_s, an hour by default, and then commits
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
    console.prepare()
    is_debug = "--debug" in (sys.argv if argv is None else argv)
    try:
        code = _dispatch(argv)
        console.flush()
    except (ExportError, Signalled) as error:
        code = _failed(error, str(error), error.exit_code, is_debug=is_debug)
    except KeyboardInterrupt:
        code = EXIT + signal.SIGINT
    except SystemExit as ended:  # argparse, after --help and --version
        code = ended.code if isinstance(ended.code, int) else 0
    except Exception as error:  # noqa: BLE001 - the outermost place, where it can only be a bug
        code = _failed(error, _bug(error), EXIT_BUG, is_debug=is_debug)
    return code


def _dispatch(argv: Sequence[str] | None) -> int:
    words = sys.argv[1:] if argv is None else argv
    args, extra = _parser(words[0] if words else "").parse_known_args(words)
    if extra:
        args.parser.refuse(extra[0])
    if args.call is None:
        console.note(args.parser.format_help().rstrip())
        return Usage.exit_code
    _log_to_stderr(logging.DEBUG if args.debug else logging.WARNING)
    return args.call(args)


def _failed(error: Exception, text: str, code: int, *, is_debug: bool) -> int:
    if is_debug:
        console.note("".join(traceback.format_exception(error)).rstrip())
    console.note(f"{PROG}: {console.clean(text)}")
    return code


def _bug(error: Exception) -> str:
    at = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(at.filename).name}:{at.lineno}"
    return f"this is a bug: {type(error).__name__} at {place}: {error}; rerun with --debug and report what it prints"


class _ToStderr(logging.Handler):
    """Our own log lines, where progress goes. Botocore's stay out: at DEBUG they hold credentials."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        console.note(console.clean(f"{record.levelname.lower()}: {record.getMessage()}"))


def _log_to_stderr(level: int) -> None:
    log = logging.getLogger("appstream_export")
    log.handlers[:] = [_ToStderr()]
    log.setLevel(level)


# ---- commands


def _demo(args: argparse.Namespace) -> int:
    from appstream_export.demo import play

    with stoppable() as stop:
        play(args.dir, stop)
    return 0


def _emulate(args: argparse.Namespace) -> int:
    from appstream_export.demo import serve

    with stoppable(announce=False) as stop:
        serve(args.dir, args.port, stop)
    return 0


def _init(args: argparse.Namespace) -> int:
    from appstream_export import scaffold

    for file, is_new in scaffold.write(args.dir):
        console.say(f"wrote    {file}" if is_new else f"skipped  {file}: it is there already")
    console.say(f"next: fill in [[accounts]] in {args.dir / scaffold.CONFIG_FILE}, then {console.command('doctor')}")
    return 0


def _doctor(args: argparse.Namespace) -> int:
    from appstream_export import settings
    from appstream_export.cli.progress import watching
    from appstream_export.cli.views import doctor as diagnosis
    from appstream_export.contracts import load_all
    from appstream_export.preflight import examine
    from appstream_export.run import Request

    loaded, request = (
        _into(args.warehouse, settings.load(args.config)),
        Request(accounts=args.accounts, regions=args.regions),
    )
    with stoppable() as stop, watching(is_quiet=True) as watch:
        checkup = examine(loaded, load_all(), request, watch=watch, stop=stop)
    if args.format == "json":
        _say_json(diagnosis.as_objects(checkup))
    else:
        _say_all(diagnosis.lines(checkup))
    return checkup.exit_code


def _plan(args: argparse.Namespace) -> int:
    from appstream_export import settings
    from appstream_export.cli.views import plan as outlook
    from appstream_export.contracts import load_all
    from appstream_export.preflight import forecast
    from appstream_export.run import Request

    limits = {
        "accounts": args.accounts,
        "regions": args.regions,
        "retry_failed": args.retry_failed,
        "force": args.force,
    }
    loaded = _into(args.warehouse, settings.load(args.config))
    with stoppable() as stop:
        foreseen = forecast(loaded, load_all(), Request(**limits), stop)
    if args.format == "json":
        _say_json(outlook.as_object(foreseen))
    else:
        doctor = console.command("doctor", *_elsewhere(args))
        _say_all(outlook.lines(foreseen, console.command("run", *_same_words(args)), doctor))
    return foreseen.exit_code


def _run(args: argparse.Namespace) -> int:
    from appstream_export import settings
    from appstream_export.cli.progress import watching
    from appstream_export.cli.views import run as summary
    from appstream_export.contracts import load_all
    from appstream_export.run import run

    loaded, contracts = _into(args.warehouse, settings.load(args.config)), load_all()
    with stoppable() as stop, watching() as watch:
        result = run(loaded, contracts, _request(args), watch=watch, stop=stop)
    told = summary.summarize(result, contracts, loaded.warehouse, _elsewhere(args), s3=loaded.s3)
    if args.format == "json":
        _say_json(summary.as_object(told))
    else:
        _say_all(summary.lines(told))
    return result.exit_code


def _status(args: argparse.Namespace) -> int:
    from appstream_export.cli.views import status as freshness

    standing = freshness.look(*_warehouse(args))
    if args.format == "json":
        _say_json(freshness.as_object(standing))
    else:
        freshness.show(standing)
    return 0


def _sql(args: argparse.Namespace) -> int:
    from appstream_export.lake.catalog.connect import connect, query

    sql = sys.stdin.read() if args.sql == "-" else args.sql
    warehouse, s3 = _warehouse(args)
    with connect(warehouse, s3=s3, as_of=args.as_of) as con:
        found = interruptible(lambda: query(con, sql), con.interrupt)
    return _write(found, args.format)


def _query(args: argparse.Namespace) -> int:
    from appstream_export.cli.views.dictionary import asked_of
    from appstream_export.lake.catalog import named_queries
    from appstream_export.lake.catalog.connect import connect

    if args.name is None:
        return _write(asked_of(named_queries.questions(), is_brief=args.format == "table"), args.format)
    asked = named_queries.question(args.name)
    given = named_queries.values(asked, dict(args.param))
    if args.sql:
        console.say(asked.sql.rstrip())
        return 0
    warehouse, s3 = _warehouse(args)
    with connect(warehouse, s3=s3, as_of=args.as_of) as con:
        found = interruptible(lambda: named_queries.query(con, asked.sql, given), con.interrupt)
    return _write(found, args.format)


def _tables(args: argparse.Namespace) -> int:
    from appstream_export.cli.views.dictionary import overview

    return _write(overview(is_brief=args.format == "table"), args.format)


def _describe(args: argparse.Namespace) -> int:
    from appstream_export.cli.views import dictionary

    found = dictionary.entry(args.table)
    if args.format != "table":
        return _write(dictionary.columns(found), args.format)
    console.say(f"{console.styled(found.name, '1')}: {found.doc}")
    if found.key:
        console.say(f"Key within a snapshot: {', '.join(found.key)}.")
    console.say()
    _write(dictionary.columns(found), "table")
    if found.join:
        console.say(f"\nTogether with what its rows belong to:\n\n{found.join}")
    return 0


def _catalog(args: argparse.Namespace) -> int:
    from appstream_export.contracts import load_all
    from appstream_export.lake.catalog.connect import publish, save_as

    store, loaded = _kept(args)
    root = args.root or loaded.lake.catalog_root
    if args.output:
        if args.root and not store.keeps_catalog:
            raise Usage("--root is for folders; a bucket has the same name everywhere")
        file = save_as(args.output, store, load_all(), root=root)
        needs = f"-- wrote {file}; whoever attaches it needs these lines first"
        console.say(str(file) if store.keeps_catalog else needs)
    elif store.keeps_catalog:
        console.say(str(publish(store, load_all(), root=root)))
    if not store.keeps_catalog:
        from appstream_export.lake.catalog import setup_sql

        _say_all(setup_sql.lines(store, loaded.s3, [] if args.output else load_all()))
    return 0


def _verify(args: argparse.Namespace) -> int:
    from appstream_export.cli.progress import counting
    from appstream_export.cli.views import maintenance
    from appstream_export.lake.catalog import checks
    from appstream_export.lake.catalog.connect import connect, none_yet
    from appstream_export.lake.maintenance.verify import look_through

    store, loaded = _kept(args)
    with counting("verified") as progress:
        found = look_through(store, progress=progress)
    if not found.head and not found.problems:
        raise none_yet(store)
    checked: list[checks.CheckResult] = []
    if found.is_sound:
        with connect(loaded.warehouse, s3=loaded.s3) as con:
            checked = checks.run(con)
    if args.format == "json":
        _say_json(maintenance.verified_object(found, checked, str(store.root)))
    else:
        _say_clean(maintenance.verified(found, checked, str(store.root)))
    return 0 if maintenance.is_fine(found, checked) else 1


def _thin(args: argparse.Namespace) -> int:
    from dataclasses import asdict
    from datetime import UTC, datetime

    from msgspec.structs import asdict as fields

    from appstream_export.cli.views import maintenance
    from appstream_export.contracts import load_all
    from appstream_export.lake.catalog.connect import refresh
    from appstream_export.lake.maintenance.expire import thin

    store, loaded = _kept(args, writing=not args.dry_run)
    policy = loaded.lake.retention
    done = thin(store, now=datetime.now(UTC), policy=policy, tool_version=__version__, dry_run=args.dry_run)
    problem = refresh(store, load_all(), root=loaded.lake.catalog_root) if done.seq else None
    if args.format == "json":
        _say_json(asdict(done) | {"retention": fields(policy), "catalog_problem": problem})
    else:
        _say_clean(maintenance.thinned(done, policy, _elsewhere(args)))
    if problem:
        console.note(f"{PROG}: {console.clean(problem)}")
    return 0


def _gc(args: argparse.Namespace) -> int:
    from dataclasses import asdict
    from datetime import UTC, datetime

    from appstream_export.contracts import load_all
    from appstream_export.lake.maintenance.vacuum import gc

    store, loaded = _kept(args, writing=not args.dry_run)
    if args.grace < GRACE_SAFE and not args.dry_run:
        console.note("a run that is under way loses what it has written so far, if that is older than this grace")
    done = gc(
        store,
        load_all(),
        now=datetime.now(UTC),
        grace=args.grace,
        dry_run=args.dry_run,
        catalog_root=loaded.lake.catalog_root,
    )
    if args.format == "json":
        _say_json(asdict(done))
    else:
        console.say(str(done))
    return 0


def _erase(args: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from appstream_export.cli.views import maintenance
    from appstream_export.contracts import load_all
    from appstream_export.lake.maintenance.erase import erase
    from appstream_export.lake.snapshots.commit import head_rows
    from appstream_export.lake.snapshots.manifest import head
    from appstream_export.run import republish

    (store, loaded), problems, contracts = _kept(args, writing=not args.dry_run), list[str](), load_all()
    newest = head(store)
    known = head_rows(store, newest, "accounts") if newest else []
    if (fix := maintenance.comes_back(loaded, known, args.account)) and not args.dry_run:
        raise BadSettings(f"account {args.account}: the next run would bring it back; {fix}, then erase it")
    done = erase(
        store,
        contracts,
        args.account,
        now=datetime.now(UTC),
        tool_version=__version__,
        grace=args.grace,
        dry_run=args.dry_run,
        catalog_root=loaded.lake.catalog_root,
        republish=lambda: problems.extend(republish(loaded, contracts)),
    )
    if args.format == "json":
        _say_json(maintenance.erased_object(done) | {"first": fix, "problems": problems})
    else:
        _say_clean(maintenance.erased(done))
        if fix:
            console.say(f"first {fix}: the next run would bring it back")
    for problem in problems:
        console.note(f"{PROG}: {console.clean(problem)}")
    return 0 if args.dry_run or (done.is_gone and not problems) else 1


def _feeds_publish(args: argparse.Namespace) -> int:
    from appstream_export.contracts import load_all
    from appstream_export.feeds import publish

    store, settings = _feeds_of(args)
    published = publish(store, load_all(), settings, anew=True)
    if published.problem:
        console.note(f"{PROG}: {console.clean(published.problem)}")
    console.say(f"{len(published.rows)} feeds, {sum(published.rows.values()):,} rows: {published.place}")
    return 1 if published.problem else 0


def _feeds_verify(args: argparse.Namespace) -> int:
    from appstream_export.feeds.verify import verify

    store, settings = _feeds_of(args)
    problems = verify(store, args.generation, file_mode=int(settings.file_mode, 8))
    return _verdict(problems, f"feeds of {args.generation or store.root} are what datapackage.json says")


def _feeds_diff(args: argparse.Namespace) -> int:
    from appstream_export.contracts import load_all
    from appstream_export.feeds.diff import diff

    store, settings = _feeds_of(args)
    found = diff(store, load_all(), settings, old=args.old, new=args.new)
    _verdict([str(difference) for difference in found], f"{args.new} has every feed and column of {args.old}")
    return 1 if any(difference.is_breaking for difference in found) else 0


def _report(args: argparse.Namespace) -> int:
    from appstream_export import settings
    from appstream_export.feeds import report
    from appstream_export.lake.catalog.connect import connect, query
    from appstream_export.lake.storage.base import open_store

    loaded = settings.Settings() if _named(args) else settings.load(args.config)
    warehouse, s3 = _warehouse(args)
    with connect(warehouse, s3=s3) as con:
        if args.output is None:
            place = report.publish(open_store(warehouse, s3=s3), lambda sql: query(con, sql), loaded)
        else:
            page = report.render(lambda sql: query(con, sql), expected_every=loaded.lake.interval)
            place = _written(args.output, page)
    console.say(place)
    return 0


def _superset(args: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from appstream_export.contracts import load_all
    from appstream_export.feeds.definitions import definitions
    from appstream_export.feeds.generations import DATABASE, FOLDER
    from appstream_export.feeds.superset import bundle

    store, settings = _feeds_of(args)
    root = args.root or str(store.root)
    if "://" in root:
        raise BadSettings(
            f"Superset opens bi.duckdb as a file: copy {root}/{FOLDER} to its disk, and say where: --root R"
        )
    database = f"{root.rstrip('/')}/{FOLDER}/{DATABASE}"
    made = bundle(definitions(load_all(), settings.account_labels), database, datetime.now(UTC))
    console.say(_written(args.output, made))
    console.say(f"import it:  superset import-dashboards -u ADMIN -p {args.output}")
    return 0


def _written(file: Path, content: str | bytes) -> str:
    try:
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise BadSettings(f"{file}: {error.strerror}; name a file that can be written: -o FILE") from error
    return str(file)


def _lint(_: argparse.Namespace) -> int:
    from appstream_export.contracts import load_all
    from appstream_export.contracts.botocore_model import lint_all

    return _verdict(lint_all(load_all()), "every contract fits the installed botocore")


def _propose(args: argparse.Namespace) -> int:
    from appstream_export.contracts.botocore_model import propose

    console.say(propose(args.service, args.operation).rstrip())
    return 0


def _render(args: argparse.Namespace) -> int:
    from appstream_export.contracts import load_all, render

    if args.check:
        fine = f"{args.docs} and {args.checks} say what the contracts say"
        return _verdict(render.stale(load_all(), args.docs, args.checks), fine)
    for file in render.write(load_all(), args.docs, args.checks):
        console.say(str(file))
    return 0


# ---- what commands share


def _verdict(problems: Sequence[str], fine: str) -> int:
    for line in problems or [fine]:
        console.say(console.clean(line))
    return 1 if problems else 0


def _write(table: "pa.Table", kind: str) -> int:
    from appstream_export.cli.output import write

    write(table, kind)
    return 0


def _say_json(value: object) -> None:
    from appstream_export.cli.output import to_json

    console.say_bytes(to_json(value) + b"\n")


def _say_clean(lines: Iterable[str]) -> None:
    _say_all(map(console.clean, lines))


def _say_all(lines: Iterable[str]) -> None:
    for line in lines:
        console.say(line)


def _named(args: argparse.Namespace) -> str | None:
    """The warehouse as named apart from a configuration; a --config that is typed is nearer than the environment."""
    named = None if args.config else os.environ.get(WAREHOUSE)
    return args.warehouse or (place(named) if named else None)


def _warehouse(args: argparse.Namespace) -> "tuple[str, S3Settings | None]":
    """Where it is, and how it is reached if that is a bucket (None: as boto3 reaches any bucket)."""
    if named := _named(args):
        return named, None
    from appstream_export import settings

    if settings.find_file(args.config, os.environ) is None:
        fix = f"name it with --warehouse PATH or {WAREHOUSE}, or work beside an {settings.DEFAULT_FILE}"
        raise BadSettings(f"which warehouse? {fix}; to see one made: {console.command('demo')}")
    loaded = settings.load(args.config)
    return loaded.warehouse, loaded.s3


def _kept(args: argparse.Namespace, *, writing: bool = False) -> "tuple[Store, Settings]":
    """The warehouse, and settings that name it: those of the configuration, unless that is about another one.

    So a warehouse that is named and configured is kept as it is configured: by its retention, with its modes and keys.
    """
    from appstream_export import settings
    from appstream_export.lake.storage.base import open_store

    found, _ = _warehouse(args)
    file = settings.find_file(args.config, os.environ)
    loaded = settings.load(args.config) if file else None
    if loaded is None or not _is_same(loaded.warehouse, found):
        loaded = settings.Settings(warehouse=found)
    mode, s3 = int(loaded.lake.file_mode, 8), loaded.s3
    store = open_store(found, file_mode=mode, s3=s3)
    return open_store(found, file_mode=mode, create=True, s3=s3) if writing else store, loaded


def _is_same(one: str, other: str) -> bool:
    if "://" in one or "://" in other:
        return one.rstrip("/") == other.rstrip("/")
    return Path(one).resolve() == Path(other).resolve()


def _feeds_of(args: argparse.Namespace) -> "tuple[Store, FeedsSettings]":
    """The warehouse whose feeds are meant, and how they are published: as a configuration at hand says of it."""
    from appstream_export import settings
    from appstream_export.lake.storage.base import open_store

    warehouse, s3 = _warehouse(args)
    loaded = settings.load(args.config) if settings.find_file(args.config, os.environ) else None
    lake, feeds = settings.LakeSettings(), settings.FeedsSettings()
    if loaded and loaded.warehouse == settings.absolute(warehouse, Path.cwd()):
        lake, feeds, s3 = loaded.lake, loaded.feeds, loaded.s3
    return open_store(warehouse, file_mode=int(lake.file_mode, 8), s3=s3), feeds


def _into(warehouse: str | None, loaded: "Settings") -> "Settings":
    from msgspec.structs import replace

    return replace(loaded, warehouse=warehouse) if warehouse else loaded


def _request(args: argparse.Namespace) -> "Request":
    from appstream_export.model import Ask
    from appstream_export.run import Request

    ask = Ask(
        names=args.names,
        page_size=args.page_size,
        max_items=args.max_items,
        starting_token=args.starting_token,
    )
    return Request(
        accounts=args.accounts,
        regions=args.regions,
        ask=ask,
        retry_failed=args.retry_failed,
        force=args.force,
        publish=not args.no_publish,
    )


def _elsewhere(args: argparse.Namespace) -> list[str]:
    """The words by which another command finds the same configuration and the same warehouse."""
    words = ["--config", str(args.config)] if args.config else []
    return words + (["--warehouse", args.warehouse] if args.warehouse else [])


def _same_words(args: argparse.Namespace) -> list[str]:
    """What limits a plan limits the run."""
    words = _elsewhere(args)
    for flag in ("accounts", "regions"):
        words += [f"--{flag}", ",".join(getattr(args, flag))] if getattr(args, flag) else []
    return words + [f"--{flag.replace('_', '-')}" for flag in ("retry_failed", "force") if getattr(args, flag)]


# ---- the words


def _parser(first: str = "") -> Parser:
    """Of all commands, or of those beside `first` where that is one: each takes half a millisecond to describe."""
    parser = Parser(
        prog=PROG,
        description="Every AppStream 2.0 image builder of your accounts and regions, as Parquet and DuckDB.",
        epilog=EPILOG,
    )
    parser.set_defaults(call=None, parser=parser)
    parser.add_argument("--version", action="version", version=f"{PROG} {__version__}")
    _add_global(parser, config=None, debug=False)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    beside = [add for add, names in _GROUPS.items() if first in names.split()]
    for add in beside or _GROUPS:
        add(commands)
    return parser


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


def _add(commands: Commands, name: str, call: Callable[[argparse.Namespace], int] | None, doc: str) -> Parser:
    """A command whose help is `doc`: its first sentence in the list, all of it on its own page."""
    first = doc.partition(". ")[0].rstrip(".")
    command: Parser = commands.add_parser(name, help=first[:1].lower() + first[1:], description=doc)
    command.set_defaults(call=call, parser=command)
    _add_global(command, config=argparse.SUPPRESS, debug=argparse.SUPPRESS)
    return command


def _add_global(parser: Parser, *, config: object, debug: object) -> None:
    """Options that may stand before and after the command; SUPPRESS keeps the later place from undoing the earlier."""
    options = parser.add_argument_group("everywhere")
    doc = "settings (default: APPSTREAM_EXPORT_CONFIG, else ./appstream-export.toml)"
    options.add_argument("--config", type=folder, metavar="FILE", default=config, help=doc)
    options.add_argument("--debug", action="store_true", default=debug, help="tracebacks, and our own log in full")


def _add_starting(commands: Commands) -> None:
    doc = "See it work on an emulated AWS. Runs several times as its life goes on, then prints what it found."
    demo = _add(commands, "demo", _demo, doc)
    demo.add_argument("--dir", type=folder, default=Path("appstream-export-demo"), metavar="D",
                      help="where its settings and warehouse go (default: %(default)s)")  # fmt: skip
    doc = "Serve the emulated AWS on 127.0.0.1 until Ctrl-C. With --dir the one of that demo, as its last run saw it."
    emulate = _add(commands, "emulate", _emulate, doc)
    emulate.add_argument("--dir", type=folder, metavar="D", help="the demo's folder")
    emulate.add_argument("--port", type=port, metavar="P", help="default: the demo's, or a free one")
    doc = "Write a commented configuration and IAM policies. Overwrites nothing."
    init = _add(commands, "init", _init, doc)
    init.add_argument("--dir", type=folder, default=Path(), metavar="D", help="where to (default: here)")


def _add_run(commands: Commands) -> None:
    doc = "Ask AWS, commit a snapshot, publish what shows it. What is not asked or fails keeps its last good rows."
    run = _add(commands, "run", _run, doc)
    limits = _add_limits(run)
    limits.add_argument("--retry-failed", action="store_true", help="only what failed last time")
    limits.add_argument("--names", type=listed, default=(), metavar="N,..", help="only items of these names")
    limits.add_argument("--max-items", type=positive, metavar="N", help="at most N items per scope")
    limits.add_argument("--starting-token", metavar="T", help="go on where --max-items cut a scope")
    run.add_argument("--page-size", type=positive, metavar="N", help="items per page (default: AWS's own)")
    run.add_argument("--force", action="store_true", help="believe a fall in items that the guard holds back")
    run.add_argument("--no-publish", action="store_true", help="commit, but leave catalog and feeds as they are")
    run.add_argument("--warehouse", type=place, metavar="PATH", help="instead of the settings' warehouse")
    _add_format(run, ("table", "json"))


def _add_limits(command: Parser) -> "argparse._ArgumentGroup":
    limits = command.add_argument_group("ask less")
    limits.add_argument("--accounts", type=listed, default=(), metavar="A,..", help="only these accounts")
    limits.add_argument("--regions", type=listed, default=(), metavar="R,..", help="only these regions")
    return limits


def _add_rehearsing(commands: Commands) -> None:
    doc = "Find out what would stop a run. Asks one page of every scope, commits nothing, and names each fix."
    doctor = _add(commands, "doctor", _doctor, doc)
    _add_limits(doctor)
    doctor.add_argument("--warehouse", type=place, metavar="PATH", help="instead of the settings' warehouse")
    _add_format(doctor, ("table", "json"))
    doc = "Show what a run would ask, and what that costs. Asks AWS for accounts and regions alone, writes nothing."
    plan = _add(commands, "plan", _plan, doc)
    _add_limits(plan).add_argument("--retry-failed", action="store_true", help="only what failed last time")
    plan.add_argument("--force", action="store_true", help="believe a list of accounts that is short or empty")
    plan.add_argument("--warehouse", type=place, metavar="PATH", help="instead of the settings' warehouse")
    _add_format(plan, ("table", "json"))


def _add_reading(commands: Commands) -> None:
    doc = "How fresh the warehouse is, what is missing, and where to look."
    status = _add_at_warehouse(commands, "status", _status, doc)
    _add_format(status, ("table", "json"))
    doc = "Ask the warehouse in SQL. Reads only: SELECT and EXPLAIN. In csv, text that looks like a formula gets a '."
    sql = _add_at_warehouse(commands, "sql", _sql, doc)
    sql.add_argument("sql", metavar="SQL", help="one statement, in quotes; - reads it from stdin")
    _add_as_of(sql)
    _add_format(sql)
    doc = "Ask a named question. Without a name it lists them, with what they may be told."
    asks = _add_at_warehouse(commands, "query", _query, doc)
    asks.add_argument("name", metavar="NAME", nargs="?", help="such as running_over")
    asks.add_argument("-p", "--param", type=assigned, action="append", default=[], metavar="K=V",
                      help="a parameter of the question, such as hours=12; may be repeated")  # fmt: skip
    _add_as_of(asks)
    asks.add_argument("--sql", action="store_true", help="print its SQL instead of asking")
    _add_format(asks)
    doc = "List every table and view."
    _add_format(_add(commands, "tables", _tables, doc))
    describe = _add(commands, "describe", _describe, "Describe a table: its key, its columns, its join.")
    describe.add_argument("table", metavar="TABLE", help="such as image_builders")
    _add_format(describe)
    doc = "Publish the catalog anew, or write one elsewhere. Of a bucket: print the lines that DuckDB needs."
    catalog = _add_at_warehouse(commands, "catalog", _catalog, doc)
    catalog.add_argument("-o", "--output", type=folder, metavar="FILE", help="write it there, in place of an older one")
    seen = "where its readers see the warehouse, such as /data in a container"
    catalog.add_argument("--root", metavar="R", help=seen)


def _add_feeds(commands: Commands) -> None:
    doc = "Publish, verify and compare what dashboards read. Each run publishes feeds by itself."
    below = _add(commands, "feeds", None, doc).add_subparsers(title="commands", metavar="COMMAND")
    doc = "Publish the newest snapshot's feeds anew. Exit 1 where a check keeps them from showing it."
    _add_at_warehouse(below, "publish", _feeds_publish, doc)
    doc = "Hold published feeds against their description. Looks at bytes, rows, columns and keys."
    verify = _add_at_warehouse(below, "verify", _feeds_verify, doc)
    verify.add_argument("generation", metavar="GENERATION", nargs="?", help="default: what is served")
    doc = "Tell which feeds and columns a dashboard would miss. Exit 1 if any is gone, retyped, or another key."
    diff = _add_at_warehouse(below, "diff", _feeds_diff, doc)
    which = "a generation, a folder that holds one, current or next"
    diff.add_argument("old", metavar="OLD", nargs="?", default="current", help=f"{which} (default: %(default)s)")
    diff.add_argument("new", metavar="NEW", nargs="?", default="next", help="the same; next is what would be published")


def _add_as_of(command: Parser) -> None:
    doc = "as everything was then, such as 2026-01-31 (its end, UTC) or 2026-01-31T12:00Z"
    command.add_argument("--as-of", metavar="TIME", help=doc)


def _add_upkeep(commands: Commands) -> None:
    doc = "Read every committed byte and name what has changed or is missing, then run the checks. Exit 1 on a problem."
    _add_format(_add_at_warehouse(commands, "verify", _verify, doc), ("table", "json"))
    doc = "Let go of snapshots that [lake.retention] tells apart no more. Their changes stay; gc frees the space."
    thin = _add_at_warehouse(commands, "thin", _thin, doc)
    doc = "Delete what no retained snapshot needs. Leftovers of killed runs, and what thin let go."
    gc = _add_at_warehouse(commands, "gc", _gc, doc)
    doc = "Take an account out of every snapshot, and prove that it is gone. Take it out of the settings first."
    erase = _add_at_warehouse(commands, "erase", _erase, doc)
    erase.add_argument("--account", required=True, metavar="A", help="its 12 digits")
    for command in (gc, erase):
        doc = "leave unneeded files that are younger, for runs under way: 90m, 24h, 7d (default: 24h)"
        command.add_argument("--grace", type=lasting, default="24h", metavar="T", help=doc)
    for command in (thin, gc, erase):
        command.add_argument("--dry-run", action="store_true", help="only tell what would happen")
        _add_format(command, ("table", "json"))


def _add_at_warehouse(commands: Commands, name: str, call: Callable[[argparse.Namespace], int], doc: str) -> Parser:
    command = _add(commands, name, call, doc)
    where = f"default: {WAREHOUSE}, else the settings'"
    command.add_argument("--warehouse", type=place, metavar="PATH", help=where)
    return command


def _add_format(command: Parser, formats: Sequence[str] = FORMATS) -> None:
    kinds = command.add_mutually_exclusive_group()
    doc = f"{', '.join(formats)} (default: table)"
    kinds.add_argument("--format", choices=formats, default="table", metavar="KIND", help=doc)
    kinds.add_argument("--json", action="store_const", const="json", dest="format", help="short for --format json")


def _add_report(commands: Commands) -> None:
    doc = "Write the report: one page for a browser, with charts and no request to anywhere. Every run writes it too."
    report = _add_at_warehouse(commands, "report", _report, doc)
    where = "default: report.html in the warehouse"
    report.add_argument("-o", "--output", type=folder, metavar="FILE", help=where)


def _add_dashboard(commands: Commands) -> None:
    dashboard = _add(commands, "dashboard", None, "Make dashboards of feeds for other programs.")
    below = dashboard.add_subparsers(title="commands", metavar="COMMAND")
    doc = "Write a bundle that Superset imports: database, datasets with their docs, charts, one dashboard."
    superset = _add_at_warehouse(below, "superset", _superset, doc)
    superset.add_argument("-o", "--output", type=folder, metavar="FILE", default=Path("superset.zip"),
                          help="default: %(default)s")  # fmt: skip
    superset.add_argument("--root", metavar="R", help="where Superset sees the warehouse, if elsewhere")


def _add_contracts(commands: Commands) -> None:
    doc = "Check, propose and document what is exported."
    contracts = _add(commands, "contracts", None, doc)
    below = contracts.add_subparsers(title="commands", metavar="COMMAND")
    _add(below, "lint", _lint, "Hold every contract against the installed botocore.")
    propose = _add(below, "propose", _propose, "Print a contract for another list operation.")
    propose.add_argument("service", metavar="SERVICE", help="as boto3 calls it, such as appstream")
    propose.add_argument("operation", metavar="OPERATION", help="such as DescribeFleets")
    render = _add(
        below, "render", _render, "Write the dictionary of tables, a page each, and the checks of their keys."
    )
    render.add_argument("--check", action="store_true", help="write nothing; exit 1 where a file is stale")
    for flag, usual in (("--docs", "docs/tables"), ("--checks", "sql/checks")):
        render.add_argument(flag, type=folder, default=Path(usual), metavar="DIR", help="default: %(default)s")


_GROUPS: Mapping[Callable[[Commands], None], str] = {
    _add_starting: "demo emulate init",
    _add_rehearsing: "doctor plan",
    _add_run: "run",
    _add_reading: "status sql query tables describe catalog",
    _add_feeds: "feeds",
    _add_report: "report",
    _add_dashboard: "dashboard",
    _add_upkeep: "verify thin gc erase",
    _add_contracts: "contracts",
}
"""What adds which commands, in the order of the help."""


if __name__ == "__main__":
    sys.exit(main())
