"""The whole product on an emulated AWS: a run at each moment of its life, then answers; `serve` brings it back."""

import re
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit

from appstream_export.cli import (
    RunSummary,
    flush_output,
    format_command,
    print_result,
    quote_shell_words,
    render_failures,
    render_run_facts,
    show_run_progress,
    style,
    summarize_run,
    write_result,
)
from appstream_export.contracts import Contract, load_contracts
from appstream_export.emulator import MOMENTS, OPENING, Emulator, Estate
from appstream_export.errors import ConfigurationError
from appstream_export.lake.catalog import connect_warehouse, get_named_query, run_named_query, run_query
from appstream_export.lake.storage import REPORT_FILE
from appstream_export.run import execute_run
from appstream_export.settings import DEFAULT_FILE, Settings, read_settings

MARK = "# Made by: appstream-export demo"
_CONFIG_TEMPLATE = """\
{mark}; a later demo in this folder starts afresh.
# It begins at {opening}, and ends when it was made: the runs between are dated back.
# Its AWS is emulated, on this machine. Start it again with: appstream-export emulate --dir {folder}
# An endpoint on 127.0.0.1 keeps every call on this machine; no credentials are needed.

warehouse = "warehouse"
regions = [{regions}]
account_labels_file = "accounts.csv"

[aws]
endpoint_url = "{endpoint_url}"

[extract]
max_attempts = 3

[feeds]
prices = "prices.csv"              # invented, in the range of what such instances cost
account_labels = ["team", "cost_centre"]
"""
# Invented, in the range of what such instances cost. Of one size no price is known, so that its cost is null.
_PRICES: Mapping[str, float] = {
    "stream.standard.medium": 0.12,
    "stream.standard.large": 0.21,
    "stream.standard.xlarge": 0.36,
    "stream.memory.xlarge": 0.60,
    "stream.compute.2xlarge": 0.66,
    "stream.graphics.g4dn.xlarge": 1.20,
}
_DISCOUNTED_PLATFORMS = ("AMAZON_LINUX2", "RHEL8", "ROCKY_LINUX8", "UBUNTU_PRO_2404")
_DISK_USD = 0.12
_COST_CENTRES = ("4100", "4200", "4300", "4400")
_ACCOUNT_TEMPLATE = """
[[accounts]]
id = "{id}"
name = "{name}"
role_arn = "arn:aws:iam::{id}:role/AppStreamExportReader"
"""
_MOMENT_DESCRIPTIONS = (
    "The AWS as it opens. One region is not enabled, another is closed by a service control policy.",
    "Six hours later. One scope denies us, another one breaks; what they said before is kept, as stale.",
    "Six hours later. The broken scope heals; another sends damaged pages, a third one fields that nobody knew.",
    "Sixty hours later, over which nobody asked. Nobody repaired what failed; life goes on elsewhere.",
)
_DEMO_QUERIES: tuple[tuple[str, dict[str, str]], ...] = (
    ("what_we_have", {}),
    ("what_changed", {"days": "1"}),
    ("running_over", {"hours": "24", "top": "6"}),
    ("cost_per_account", {"top": "6"}),
    ("errors_by_week", {"weeks": "1"}),
    ("not_seen", {}),
    ("odd_values", {}),
)


def play_demo(folder: Path, stop: Event, opening: datetime | None = None) -> None:
    """Run at every moment of the demo's AWS into `folder`, then print answers; ConfigurationError for another folder.

    Its last moment is now, unless it is told when it opens.
    """
    _remove_previous_demo(folder)
    opening = opening or datetime.now(UTC).replace(microsecond=0) - MOMENTS[-1]
    estate, contracts = Estate(opening=opening), load_contracts()
    with Emulator() as aws:
        loaded = read_settings(_write_config(folder, estate, aws.endpoint_url))
        for moment in range(estate.moments):
            if moment:
                estate.advance_emulator(aws, moment)
            else:
                estate.populate_emulator(aws)
            with show_run_progress(is_quiet=True) as watch:
                result = execute_run(
                    loaded, contracts, listener=watch, stop=stop, moment=estate.get_moment_time(moment)
                )
            _print_moment(moment, estate, summarize_run(result, contracts, loaded.warehouse))
    _print_answers(loaded, contracts)
    _print_next_commands(folder)


def serve_emulator(folder: Path | None, port: int | None, stop: Event) -> None:
    """Bring the demo's AWS up until `stop`, as the last run saw it; where the one in `folder` was, else on any port."""
    estate = Estate(opening=_read_opening(folder)) if folder else Estate()
    if folder is not None and port is None:
        port = urlsplit(_load_demo_settings(folder).aws.endpoint_url or "").port
    with Emulator(port=port or 0) as aws:
        estate.populate_emulator(aws, moment=estate.moments - 1)
        print_result(f"AWS of {len(estate.accounts)} accounts in {len(estate.regions)} regions at {aws.endpoint_url}")
        if folder is not None:
            _update_endpoint_url(folder, aws.endpoint_url)
            print_result(f"ask it:    {format_command('run', '--config', str(folder / DEFAULT_FILE))}")
        else:
            keys = "AWS_ACCESS_KEY_ID=emulator AWS_SECRET_ACCESS_KEY=emulator"
            print_result(f"ask it:    export AWS_ENDPOINT_URL={aws.endpoint_url} {keys}")
        print_result("end it:    Ctrl-C")
        flush_output()
        stop.wait()


def _remove_previous_demo(folder: Path) -> None:
    """Remove what an earlier demo left; anything else is not ours to remove."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not _is_demo_folder(folder):
        raise ConfigurationError(f"{folder}: holds something that no demo made; choose another folder with --dir")
    warehouse = folder / "warehouse"
    try:
        if warehouse.exists():
            shutil.rmtree(warehouse)
    except OSError as error:
        raise ConfigurationError(
            f"{warehouse}: cannot be removed: {error.strerror}; choose another folder: --dir"
        ) from error


def _is_demo_folder(folder: Path) -> bool:
    """A demo made it, and nobody has since turned its configuration to the real AWS."""
    file = folder / DEFAULT_FILE
    if not file.is_file() or not file.read_text("utf-8", "replace").startswith(MARK):
        return False
    return read_settings(file).is_local_aws


def _load_demo_settings(folder: Path) -> Settings:
    if not (folder / DEFAULT_FILE).is_file() or not _is_demo_folder(folder):
        made = format_command("demo", "--dir", str(folder))
        raise ConfigurationError(f"{folder}: no demo is there; make one with: {made}")
    return read_settings(folder / DEFAULT_FILE)


def _read_opening(folder: Path) -> datetime:
    """When the demo there began; its configuration says so."""
    _load_demo_settings(folder)
    found = re.search(r"(?m)^# It begins at (\S+),", (folder / DEFAULT_FILE).read_text("utf-8"))
    return datetime.fromisoformat(found[1]) if found else OPENING


def _write_config(folder: Path, estate: Estate, endpoint_url: str) -> Path:
    head = _CONFIG_TEMPLATE.format(
        mark=MARK,
        folder=folder,
        opening=estate.opening.isoformat(),
        regions=", ".join(f'"{region}"' for region in estate.regions),
        endpoint_url=endpoint_url,
    )
    accounts = [_ACCOUNT_TEMPLATE.format(id=account_id, name=name) for account_id, name in estate.accounts.items()]
    file = folder / DEFAULT_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(head + "".join(accounts), "utf-8")
        (folder / "prices.csv").write_text(_render_prices(), "utf-8")
        (folder / "accounts.csv").write_text(_render_account_labels(estate), "utf-8")
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror}; choose a folder that can be written: --dir") from error
    return file


def _render_prices() -> str:
    """A price list: Linux costs a third less."""
    lines = ["region,instance_type,platform,usd_per_hour,disk_usd_per_gb_month,valid_from"]
    for name, usd in _PRICES.items():
        lines.append(f"*,{name},*,{usd:.2f},{_DISK_USD},")
        lines += [f"*,{name},{platform},{usd * 2 / 3:.2f},{_DISK_USD}," for platform in _DISCOUNTED_PLATFORMS]
    return "\n".join(lines) + "\n"


def _render_account_labels(estate: Estate) -> str:
    lines = ["account_id,team,cost_centre"]
    for number, (account_id, name) in enumerate(estate.accounts.items()):
        lines.append(f"{account_id},{name.partition('-')[0]},{_COST_CENTRES[number % len(_COST_CENTRES)]}")
    return "\n".join(lines) + "\n"


def _update_endpoint_url(folder: Path, endpoint_url: str) -> None:
    """Point the demo's configuration to where its AWS is now."""
    file = folder / DEFAULT_FILE
    text = file.read_text("utf-8")
    moved = re.sub(r'(?m)^endpoint_url = ".*"$', f'endpoint_url = "{endpoint_url}"', text)
    if moved != text:
        file.write_text(moved, "utf-8")


def _print_moment(moment: int, estate: Estate, run_summary: RunSummary) -> None:
    if not moment:
        print_result(
            f"An AWS of {len(estate.accounts)} accounts in {len(estate.regions)} regions, emulated on 127.0.0.1"
        )
    print_result()
    _print_title(f"{moment + 1}. {_MOMENT_DESCRIPTIONS[moment]}")
    for line in render_run_facts(run_summary):
        print_result(f"   {line}")
    if run_summary.result.failures:
        print_result(f"   failed   ({format_command('run')} ends with {run_summary.result.exit_code} here)")
    for line in render_failures(run_summary, is_brief=True):
        print_result(f"   {line}")
    flush_output()


def _print_answers(loaded: Settings, contracts: Sequence[Contract]) -> None:
    """How much there is, and named questions, each with the command that asks it again."""
    tables = [table.name for contract in contracts for table in contract.tables]
    each = (f"select '{name}' as table_name, count(*) as rows from {name}" for name in tables)  # noqa: S608
    with connect_warehouse(loaded.warehouse) as con:
        print_result()
        _print_title("What is there?")
        write_result(run_query(con, " union all ".join(each)), "table")
        for name, params in _DEMO_QUERIES:
            asked = get_named_query(name)
            print_result()
            _print_title(asked.question or asked.doc)
            write_result(run_named_query(con, asked, params), "table")
            set_ = [word for key, value in params.items() for word in ("-p", f"{key}={value}")]
            again = format_command("query", name, *set_, "--warehouse", _shorten_path(loaded.warehouse))
            print_result(style(again, "2"))


def _shorten_path(place: str) -> str:
    """A path as short as it can be typed here."""
    path, here = Path(place), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else place


def _print_next_commands(folder: Path) -> None:
    config, warehouse = str(folder / DEFAULT_FILE), str(folder / "warehouse")
    running = "select name, region, instance_type from image_builders where state = 'RUNNING'"
    print_result()
    _print_title("See it as a picture: open this file in a browser")
    print_result(f"  {warehouse}/{REPORT_FILE}")
    print_result()
    _print_title("Go on yourself")
    for line in (
        format_command("query", "--warehouse", warehouse),
        format_command("status", "--warehouse", warehouse),
        format_command("sql", "--warehouse", warehouse, running),
        format_command("describe", "image_builder_errors"),
        quote_shell_words("duckdb", "-readonly", f"{warehouse}/warehouse.duckdb"),
        "",
        f"{format_command('emulate', '--dir', str(folder))}    # that AWS again; then, elsewhere:",
        format_command("run", "--config", config, "--retry-failed"),
    ):
        print_result(f"  {line}".rstrip())


def _print_title(text: str) -> None:
    print_result(style(text, "1"))
