"""`report` and `dashboard`: the page for a browser, and dashboards for other programs."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from appstream_export.cli import console
from appstream_export.cli.options import Commands, add_command_group, add_warehouse_command, parse_path
from appstream_export.cli.output_file import open_output_file
from appstream_export.cli.target import resolve_target
from appstream_export.errors import SettingsError

if TYPE_CHECKING:
    from appstream_export.settings import Settings

_SAMPLE_DATABASE = "warehouse/feeds/v2/bi.duckdb"  # of the program for Streamlit
_IS_OFF, _SWITCH_ON = "the {} shows image_builders, which are off", "add them to [contracts] resources"


def add_parsers(commands: Commands) -> None:
    """Add `report`, and `dashboard` with its commands."""
    doc = "Write the report as one self-contained page with charts. It needs no network. Every run writes it too."
    report = add_warehouse_command(commands, "report", run_report, doc)
    where = "default: report.html in the warehouse"
    report.add_argument("-o", "--output", type=parse_path, metavar="FILE", help=where)
    below = add_command_group(commands, "dashboard", "Build dashboards on feeds for other programs.")
    doc = "Write a bundle that Superset imports: database, datasets with their docs, charts, one dashboard."
    superset = add_warehouse_command(below, "superset", export_superset_bundle, doc)
    superset.add_argument("-o", "--output", type=parse_path, metavar="FILE", default=Path("superset.zip"),
                          help="default: %(default)s")  # fmt: skip
    superset.add_argument("--root", metavar="R", help="path of the warehouse for Superset, if different")
    doc = "Write a dashboard over feeds/v2 as a program for Streamlit, which is yours to change."
    streamlit = add_warehouse_command(below, "streamlit", export_streamlit_program, doc)
    streamlit.add_argument("-o", "--output", type=parse_path, metavar="FILE", default=Path("app.py"),
                           help="default: %(default)s")  # fmt: skip
    streamlit.add_argument("--root", metavar="R", help="path of the warehouse for Streamlit, if different")
    doc = "Write sources.yml for dbt: the star of feeds/v2 with descriptions, tests and freshness."
    dbt = add_warehouse_command(below, "dbt", export_dbt_sources, doc)
    dbt.add_argument("-o", "--output", type=parse_path, metavar="FILE", default=Path("sources.yml"),
                     help="default: %(default)s")  # fmt: skip
    dbt.add_argument("--root", metavar="R", help="path of the warehouse for dbt, if different")


def run_report(args: argparse.Namespace) -> int:
    """Write the report into the warehouse, or to a file."""
    from appstream_export.contracts import can_render_report
    from appstream_export.feeds import publish_report, render_report

    target = resolve_target(args)
    store = target.open_store()
    contracts = target.load_contracts(store)
    if not can_render_report(contracts):
        raise SettingsError(_IS_OFF.format("report"), fix=_SWITCH_ON)
    if args.output is None:
        place = publish_report(store, contracts, target.settings)
    else:
        interval = target.settings.lake.freshness_timedelta
        place = write_output_file(args.output, render_report(store, contracts, freshness_interval=interval))
    console.print_result(place)
    return 0


def export_superset_bundle(args: argparse.Namespace) -> int:
    """Write the bundle for Superset, and print the command that imports it."""
    from datetime import UTC, datetime

    from appstream_export.contracts import can_render_report
    from appstream_export.feeds import V2, build_superset_bundle, build_version_feeds

    target = resolve_target(args)
    store = target.open_store()
    database = _find_database(args.root or str(store.root), "Superset")
    contracts = target.load_contracts(store)
    if not can_render_report(contracts):
        raise SettingsError(_IS_OFF.format("dashboard"), fix=_SWITCH_ON)
    _require_star(target.settings)
    feeds = build_version_feeds(V2, contracts, target.settings.feeds)
    bundle = build_superset_bundle(feeds, database, datetime.now(UTC))
    console.print_result(write_output_file(args.output, bundle))
    console.print_result(f"import it:  superset import-dashboards -u ADMIN -p {args.output}")
    console.print_result("or replace an earlier one: unzip it, and superset import-directory -o appstream_export")
    return 0


def export_streamlit_program(args: argparse.Namespace) -> int:
    """Write the program for Streamlit, and print the command that starts it."""
    from appstream_export.contracts import can_render_report
    from appstream_export.resources import find_resource_folder

    target = resolve_target(args)
    store = target.open_store()
    if not can_render_report(target.load_contracts(store)):
        raise SettingsError(_IS_OFF.format("dashboard"), fix=_SWITCH_ON)
    _require_star(target.settings)
    database = _find_database(args.root or str(store.root), "Streamlit")
    program = (find_resource_folder("docs") / "dashboards" / "streamlit" / "app.py").read_text("utf-8")
    program = program.replace(f'"{_SAMPLE_DATABASE}"', json.dumps(database))
    console.print_result(write_output_file(args.output, program))
    options = "--server.address 127.0.0.1 --browser.gatherUsageStats false"
    console.print_result(f"start it:  uvx --with duckdb streamlit run {args.output} {options}")
    return 0


def _require_star(settings: "Settings") -> None:
    """Raise SettingsError if runs do not publish v2, which all dashboards read."""
    from appstream_export.feeds import FEEDS_ROOT, V2

    if V2 not in settings.feeds.versions:
        what = f"the dashboard reads {FEEDS_ROOT}/{V2}, which is left out"
        raise SettingsError(what, fix=f'add "{V2}" to [feeds] versions')


def _find_database(root: str, reader: str) -> str:
    """Return the path of bi.duckdb of v2 for a program; raises SettingsError if the warehouse is not on a disk."""
    from appstream_export.feeds import FEEDS_ROOT, V2

    if "://" in root:
        fix = f"copy {root}/{FEEDS_ROOT} to its disk, and name that folder: --root R"
        raise SettingsError(f"{reader} opens bi.duckdb as a file", fix=fix)
    return f"{root.rstrip('/')}/{FEEDS_ROOT}/{V2}/bi.duckdb"


def export_dbt_sources(args: argparse.Namespace) -> int:
    """Write the sources of a dbt project."""
    from appstream_export.feeds import FEEDS_ROOT, V2, build_version_feeds, render_dbt_sources

    target = resolve_target(args)
    store = target.open_store()
    _require_star(target.settings)
    feeds = build_version_feeds(V2, target.load_contracts(store), target.settings.feeds)
    database = f"{(args.root or str(store.root)).rstrip('/')}/{FEEDS_ROOT}/{V2}/bi.duckdb"
    sources = render_dbt_sources(feeds, database, target.settings.lake.freshness_timedelta)
    console.print_result(write_output_file(args.output, sources))
    return 0


def write_output_file(file: Path, content: str | bytes) -> str:
    """Write a file that the user named, and return its path; raises SettingsError if that is not possible."""
    with open_output_file(file) as stream:
        stream.buffer.write(content.encode() if isinstance(content, str) else content)
    return str(file)
