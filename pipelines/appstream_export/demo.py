"""Run the export on an emulated AWS at several moments, answer questions, and serve that AWS again.

Returns data; the command `demo` prints it.
"""

import re
import shlex
import shutil
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit

import pyarrow as pa

from appstream_export.contracts import ContractSet, load_contract_set, load_packaged_contracts
from appstream_export.emulator import MOMENTS, OPENING, Emulator, Estate, read_estate
from appstream_export.errors import ConfigurationError
from appstream_export.lake.catalog import (
    connect_warehouse,
    count_rows,
    get_named_query,
    load_named_queries,
    run_named_query,
)
from appstream_export.lake.storage import REPORT_FILE
from appstream_export.model import RunListener
from appstream_export.run import STAGES, Request, RunResult, execute_run
from appstream_export.settings import DEFAULT_FILE, Settings, read_settings
from appstream_export.settings_file import DEMO_MARK, is_demo_file

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

[contracts]
resources = [{resources}]
cadence = {{ {cadence} }}

[extract]
max_attempts = 3

[feeds]
prices = "prices.csv"              # invented, in the range of what such instances cost
account_labels = ["team", "cost_centre"]
versions = ["v2"]
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
    "The start. One region is not enabled, another is closed by a service control policy.",
    "Six hours later. One scope is denied, another breaks; their earlier rows stay, marked stale.",
    "Six hours later. The broken scope recovers; another sends damaged pages, a third one unknown fields.",
    "Sixty hours later, without a run in between. What failed still fails; elsewhere builders change.",
)
_EARLIER_STAGES = tuple(stage for stage in STAGES if stage not in ("feeds", "report"))
_DEMO_QUERIES: tuple[tuple[str, dict[str, str]], ...] = (
    ("what_we_have", {}),
    ("what_changed", {"days": "1"}),
    ("running_over", {"hours": "24", "top": "6"}),
    ("cost_per_account", {"top": "6"}),
    ("errors_by_week", {"weeks": "1"}),
    ("not_seen", {}),
    ("odd_values", {}),
    # The rest needs resources that are off unless settings switch them on.
    ("image_gone", {"top": "6"}),
    ("untagged", {"top": "6"}),
    ("cost_per_tag", {"days": "3"}),
    ("idle_fleets", {"top": "6"}),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoMoment:
    """One run of the demo. `number` counts from 1; `accounts` and `regions` are how many the emulated AWS has."""

    number: int
    description: str
    accounts: int
    regions: int
    warehouse: str
    result: RunResult


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoAnswer:
    """The rows that answer a question. `query` is the named query that returns them, or None."""

    question: str
    rows: pa.Table
    warehouse: str
    query: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NextCommands:
    """Commands that a user may try on a demo, each as a list of words."""

    report: str
    reading: tuple[tuple[str, ...], ...]
    duckdb: tuple[str, ...]
    emulate: tuple[str, ...]
    run: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedEmulator:
    """An emulated AWS that accepts requests. `config_file` is the configuration of its demo, if any."""

    accounts: int
    regions: int
    endpoint_url: str
    config_file: Path | None


def play_demo(
    folder: Path,
    stop: Event,
    opening: datetime | None = None,
    *,
    resources: Sequence[str] | None = None,
    watch: Callable[[], AbstractContextManager[RunListener]] = lambda: nullcontext(RunListener()),
) -> Iterator[DemoMoment]:
    """Run at each moment of the demo's AWS into `folder` and yield each run; ConfigurationError for any other folder.

    The last moment is now, unless `opening` says when the first one is. `resources` are all packaged ones by default.
    `watch` makes the listener of each run.
    """
    _remove_previous_demo(folder)
    opening = opening or datetime.now(UTC).replace(microsecond=0) - MOMENTS[-1]
    estate, contracts = Estate(opening=opening), _load_demo_contracts(resources)
    with Emulator() as aws:
        settings = read_settings(_write_config(folder, estate, contracts, aws.endpoint_url), {})
        for moment in range(estate.moments):
            if moment:
                estate.advance_emulator(aws, moment)
            else:
                estate.populate_emulator(aws)
            # Feeds and report would replace those of the moment before, so only the last moment publishes them.
            stages = STAGES if moment == estate.moments - 1 else _EARLIER_STAGES
            with watch() as listener:
                result = execute_run(
                    settings,
                    contracts,
                    Request(stages=stages),
                    listener=listener,
                    stop=stop,
                    moment=estate.get_moment_time(moment),
                )
            yield DemoMoment(
                number=moment + 1,
                description=_MOMENT_DESCRIPTIONS[moment],
                accounts=len(estate.accounts),
                regions=len(estate.regions),
                warehouse=settings.warehouse,
                result=result,
            )


def answer_demo_queries(folder: Path) -> Iterator[DemoAnswer]:
    """Yield the row counts of the demo's warehouse, then the answers of named queries whose resources are on."""
    settings = _load_demo_settings(folder)
    contracts = _load_demo_contracts(settings.contracts.resources)
    tables = [table.name for contract in contracts for table in contract.tables]
    known = {query.name for query in load_named_queries(contracts)}
    with connect_warehouse(settings.warehouse, load_contracts=lambda: contracts) as con:
        counts = count_rows(con, tables)
        rows = pa.table({"table_name": list(counts), "rows": list(counts.values())})
        yield DemoAnswer(question="What is there?", rows=rows, warehouse=settings.warehouse)
        for name, parameters in (query for query in _DEMO_QUERIES if query[0] in known):
            query = get_named_query(name, contracts)
            yield DemoAnswer(
                question=query.question or query.doc,
                rows=run_named_query(con, query, parameters),
                warehouse=settings.warehouse,
                query=name,
                parameters=parameters,
            )


def _load_demo_contracts(resources: Sequence[str] | None) -> ContractSet:
    """Return the packaged contracts, or those of these names."""
    names = [contract.name for contract in load_packaged_contracts()] if resources is None else resources
    return load_contract_set(resources=names)


def list_next_commands(folder: Path) -> NextCommands:
    """List commands that a user may try on the demo in `folder`."""
    warehouse = str(folder / "warehouse")
    running = "select name, region, instance_type from image_builders where state = 'RUNNING'"
    return NextCommands(
        report=f"{warehouse}/{REPORT_FILE}",
        reading=(
            ("query", "--warehouse", warehouse),
            ("status", "--warehouse", warehouse),
            ("sql", "--warehouse", warehouse, running),
            ("describe", "image_builder_errors"),
        ),
        duckdb=("-readonly", f"{warehouse}/warehouse.duckdb"),
        emulate=("emulate", "--dir", str(folder)),
        run=("run", "--config", str(folder / DEFAULT_FILE), "--retry-failed"),
    )


@contextmanager
def serve_emulator(folder: Path | None, port: int | None, estate_file: Path | None = None) -> Generator[ServedEmulator]:
    """Serve the demo's AWS as the last run saw it, at the address of the demo in `folder`, else on any port.

    With `estate_file`, serve what that file describes; raises ConfigurationError if a folder is given too.
    """
    if estate_file is not None:
        with _serve_written_estate(folder, port, estate_file) as served:
            yield served
        return
    estate = Estate(opening=_read_opening(folder)) if folder else Estate()
    if folder is not None and port is None:
        port = urlsplit(_load_demo_settings(folder).aws.endpoint_url or "").port
    with Emulator(port=port or 0) as aws:
        estate.populate_emulator(aws, moment=estate.moments - 1)
        if folder is not None:
            _update_endpoint_url(folder, aws.endpoint_url)
        yield ServedEmulator(
            accounts=len(estate.accounts),
            regions=len(estate.regions),
            endpoint_url=aws.endpoint_url,
            config_file=folder / DEFAULT_FILE if folder else None,
        )


@contextmanager
def _serve_written_estate(folder: Path | None, port: int | None, estate_file: Path) -> Generator[ServedEmulator]:
    if folder is not None:
        raise ConfigurationError("--estate and --dir name two emulated AWS", fix="give one of them")
    estate = read_estate(estate_file)
    with Emulator(port=port or 0) as aws:
        estate.populate_emulator(aws)
        yield ServedEmulator(
            accounts=len(estate.accounts),
            regions=len(estate.regions),
            endpoint_url=aws.endpoint_url,
            config_file=None,
        )


def _remove_previous_demo(folder: Path) -> None:
    """Remove the files of an earlier demo; raises ConfigurationError if the folder holds anything else."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not _is_demo_folder(folder):
        raise ConfigurationError(f"{folder}: holds something that no demo made", fix="choose another folder with --dir")
    warehouse = folder / "warehouse"
    try:
        if warehouse.exists():
            shutil.rmtree(warehouse)
    except OSError as error:
        raise ConfigurationError(
            f"{warehouse}: cannot be removed: {error.strerror}", fix="choose another folder: --dir"
        ) from error


def _is_demo_folder(folder: Path) -> bool:
    """Return whether a demo created the folder and its configuration still names an emulated AWS."""
    file = folder / DEFAULT_FILE
    return is_demo_file(file) and read_settings(file, {}).is_local_aws


def _load_demo_settings(folder: Path) -> Settings:
    if not (folder / DEFAULT_FILE).is_file() or not _is_demo_folder(folder):
        command = shlex.join(("appstream-export", "demo", "--dir", str(folder)))
        raise ConfigurationError(f"{folder}: no demo is there", fix=f"make one with: {command}")
    return read_settings(folder / DEFAULT_FILE, {})


def _read_opening(folder: Path) -> datetime:
    """Return the start time of the demo, from its configuration."""
    _load_demo_settings(folder)
    found = re.search(r"(?m)^# It begins at (\S+),", (folder / DEFAULT_FILE).read_text("utf-8"))
    return datetime.fromisoformat(found[1]) if found else OPENING


def _write_config(folder: Path, estate: Estate, contracts: ContractSet, endpoint_url: str) -> Path:
    head = _CONFIG_TEMPLATE.format(
        mark=DEMO_MARK,
        folder=folder,
        opening=estate.opening.isoformat(),
        regions=", ".join(f'"{region}"' for region in estate.regions),
        resources=", ".join(f'"{contract.name}"' for contract in contracts),
        cadence=", ".join(f'{contract.name} = "1d"' for contract in contracts if contract.name != "image_builders"),
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
        raise ConfigurationError(
            f"{file}: {error.strerror}", fix="choose a folder that can be written: --dir"
        ) from error
    return file


def _render_prices() -> str:
    """Render a price list in which Linux costs a third less."""
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
    """Write the current address of the demo's AWS to its configuration."""
    file = folder / DEFAULT_FILE
    text = file.read_text("utf-8")
    moved = re.sub(r'(?m)^endpoint_url = ".*"$', f'endpoint_url = "{endpoint_url}"', text)
    if moved != text:
        file.write_text(moved, "utf-8")
