"""The whole product on an emulated AWS: a run at each moment of its life, then answers; `serve` brings it back."""

import re
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit

from appstream_export import settings
from appstream_export.cli import console
from appstream_export.cli.output import write
from appstream_export.cli.progress import watching
from appstream_export.cli.views import run as summary
from appstream_export.contracts import Contract, load_all
from appstream_export.emulator import Emulator, Estate
from appstream_export.emulator.estate import MOMENTS, OPENING
from appstream_export.errors import SetupError
from appstream_export.lake.catalog.connect import connect, query
from appstream_export.lake.catalog.named_queries import ask, question
from appstream_export.lake.storage.paths import REPORT
from appstream_export.run import run
from appstream_export.settings import DEFAULT_FILE, Settings

MARK = "# Made by: appstream-export demo"
_CONFIG = """\
{mark}; a later demo in this folder starts afresh.
# It begins at {opening}, and ends when it was made: the runs between are dated back.
# Its AWS is emulated, on this machine. Start it again with: appstream-export emulate --dir {folder}
# An endpoint on 127.0.0.1 keeps every call on this machine; no credentials are needed.

warehouse = "warehouse"
regions = [{regions}]
accounts_file = "accounts.csv"

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
_CHEAPER = ("AMAZON_LINUX2", "RHEL8", "ROCKY_LINUX8", "UBUNTU_PRO_2404")
_DISK_USD = 0.12
_COST_CENTRES = ("4100", "4200", "4300", "4400")
_ACCOUNT = """
[[accounts]]
id = "{id}"
name = "{name}"
role_arn = "arn:aws:iam::{id}:role/AppStreamExportReader"
"""
_STORY = (
    "The AWS as it opens. One region is not enabled, another is closed by a service control policy.",
    "Six hours later. One scope denies us, another one breaks; what they said before is kept, as stale.",
    "Six hours later. The broken scope heals; another sends damaged pages, a third one fields that nobody knew.",
    "Sixty hours later, over which nobody asked. Nobody repaired what failed; life goes on elsewhere.",
)
_FINDINGS: tuple[tuple[str, dict[str, str]], ...] = (
    ("what_we_have", {}),
    ("what_changed", {"days": "1"}),
    ("running_over", {"hours": "24", "top": "6"}),
    ("cost_per_account", {"top": "6"}),
    ("errors_by_week", {"weeks": "1"}),
    ("not_seen", {}),
    ("odd_values", {}),
)


def play(folder: Path, stop: Event, opening: datetime | None = None) -> None:
    """Run at every moment of the demo's AWS into `folder`, then print answers; SetupError for a folder not ours.

    Its last moment is now, unless it is told when it opens.
    """
    _make_room(folder)
    opening = opening or datetime.now(UTC).replace(microsecond=0) - MOMENTS[-1]
    estate, contracts = Estate(opening=opening), load_all()
    with Emulator() as aws:
        loaded = settings.load(_write_config(folder, estate, aws.endpoint_url))
        for moment in range(estate.moments):
            if moment:
                estate.advance(aws, moment)
            else:
                estate.open(aws)
            with watching(is_quiet=True) as watch:
                result = run(loaded, contracts, watch=watch, stop=stop, moment=estate.at(moment))
            _tell(moment, estate, summary.summarize(result, contracts, loaded.warehouse))
    _answer(loaded, contracts)
    _show_commands(folder)


def serve(folder: Path | None, port: int | None, stop: Event) -> None:
    """Bring the demo's AWS up until `stop`, as the last run saw it; where the one in `folder` was, else on any port."""
    estate = Estate(opening=_opening_of(folder)) if folder else Estate()
    if folder is not None and port is None:
        port = urlsplit(_settings_of(folder).aws.endpoint_url or "").port
    with Emulator(port=port or 0) as aws:
        estate.open(aws, moment=estate.moments - 1)
        console.say(f"AWS of {len(estate.accounts)} accounts in {len(estate.regions)} regions at {aws.endpoint_url}")
        if folder is not None:
            _move(folder, aws.endpoint_url)
            console.say(f"ask it:    {console.command('run', '--config', str(folder / DEFAULT_FILE))}")
        else:
            keys = "AWS_ACCESS_KEY_ID=emulator AWS_SECRET_ACCESS_KEY=emulator"
            console.say(f"ask it:    export AWS_ENDPOINT_URL={aws.endpoint_url} {keys}")
        console.say("end it:    Ctrl-C")
        console.flush()
        stop.wait()


def _make_room(folder: Path) -> None:
    """Remove what an earlier demo left; anything else is not ours to remove."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not _is_ours(folder):
        raise SetupError(f"{folder}: holds something that no demo made; choose another folder with --dir")
    warehouse = folder / "warehouse"
    try:
        if warehouse.exists():
            shutil.rmtree(warehouse)
    except OSError as error:
        raise SetupError(f"{warehouse}: cannot be removed: {error.strerror}; choose another folder: --dir") from error


def _is_ours(folder: Path) -> bool:
    """A demo made it, and nobody has since turned its configuration to the real AWS."""
    file = folder / DEFAULT_FILE
    if not file.is_file() or not file.read_text("utf-8", "replace").startswith(MARK):
        return False
    return settings.load(file).is_local_aws


def _settings_of(folder: Path) -> Settings:
    if not (folder / DEFAULT_FILE).is_file() or not _is_ours(folder):
        made = console.command("demo", "--dir", str(folder))
        raise SetupError(f"{folder}: no demo is there; make one with: {made}")
    return settings.load(folder / DEFAULT_FILE)


def _opening_of(folder: Path) -> datetime:
    """When the demo there began; its configuration says so."""
    _settings_of(folder)
    found = re.search(r"(?m)^# It begins at (\S+),", (folder / DEFAULT_FILE).read_text("utf-8"))
    return datetime.fromisoformat(found[1]) if found else OPENING


def _write_config(folder: Path, estate: Estate, endpoint_url: str) -> Path:
    head = _CONFIG.format(
        mark=MARK,
        folder=folder,
        opening=estate.opening.isoformat(),
        regions=", ".join(f'"{region}"' for region in estate.regions),
        endpoint_url=endpoint_url,
    )
    accounts = [_ACCOUNT.format(id=account_id, name=name) for account_id, name in estate.accounts.items()]
    file = folder / DEFAULT_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(head + "".join(accounts), "utf-8")
        (folder / "prices.csv").write_text(_prices(), "utf-8")
        (folder / "accounts.csv").write_text(_labels(estate), "utf-8")
    except OSError as error:
        raise SetupError(f"{file}: {error.strerror}; choose a folder that can be written: --dir") from error
    return file


def _prices() -> str:
    """A price list: Linux costs a third less."""
    lines = ["region,instance_type,platform,usd_per_hour,disk_usd_per_gb_month,valid_from"]
    for name, usd in _PRICES.items():
        lines.append(f"*,{name},*,{usd:.2f},{_DISK_USD},")
        lines += [f"*,{name},{platform},{usd * 2 / 3:.2f},{_DISK_USD}," for platform in _CHEAPER]
    return "\n".join(lines) + "\n"


def _labels(estate: Estate) -> str:
    lines = ["account_id,team,cost_centre"]
    for number, (account_id, name) in enumerate(estate.accounts.items()):
        lines.append(f"{account_id},{name.partition('-')[0]},{_COST_CENTRES[number % len(_COST_CENTRES)]}")
    return "\n".join(lines) + "\n"


def _move(folder: Path, endpoint_url: str) -> None:
    """Point the demo's configuration to where its AWS is now."""
    file = folder / DEFAULT_FILE
    text = file.read_text("utf-8")
    moved = re.sub(r'(?m)^endpoint_url = ".*"$', f'endpoint_url = "{endpoint_url}"', text)
    if moved != text:
        file.write_text(moved, "utf-8")


def _tell(moment: int, estate: Estate, told: summary.Summary) -> None:
    if not moment:
        console.say(
            f"An AWS of {len(estate.accounts)} accounts in {len(estate.regions)} regions, emulated on 127.0.0.1"
        )
    console.say()
    _title(f"{moment + 1}. {_STORY[moment]}")
    for line in summary.facts(told):
        console.say(f"   {line}")
    if told.result.failed:
        console.say(f"   failed   ({console.command('run')} ends with {told.result.exit_code} here)")
    for line in summary.failures(told, is_brief=True):
        console.say(f"   {line}")
    console.flush()


def _answer(loaded: Settings, contracts: Sequence[Contract]) -> None:
    """How much there is, and named questions, each with the command that asks it again."""
    tables = [table.name for contract in contracts for table in contract.tables]
    each = (f"select '{name}' as table_name, count(*) as rows from {name}" for name in tables)  # noqa: S608
    with connect(loaded.warehouse) as con:
        console.say()
        _title("What is there?")
        write(query(con, " union all ".join(each)), "table")
        for name, params in _FINDINGS:
            asked = question(name)
            console.say()
            _title(asked.question or asked.doc)
            write(ask(con, asked, params), "table")
            set_ = [word for key, value in params.items() for word in ("-p", f"{key}={value}")]
            again = console.command("query", name, *set_, "--warehouse", _shown(loaded.warehouse))
            console.say(console.styled(again, "2"))


def _shown(place: str) -> str:
    """A path as short as it can be typed here."""
    path, here = Path(place), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else place


def _show_commands(folder: Path) -> None:
    config, warehouse = str(folder / DEFAULT_FILE), str(folder / "warehouse")
    running = "select name, region, instance_type from image_builders where state = 'RUNNING'"
    console.say()
    _title("See it as a picture: open this file in a browser")
    console.say(f"  {warehouse}/{REPORT}")
    console.say()
    _title("Go on yourself")
    for line in (
        console.command("query", "--warehouse", warehouse),
        console.command("status", "--warehouse", warehouse),
        console.command("sql", "--warehouse", warehouse, running),
        console.command("describe", "image_builder_errors"),
        console.shell("duckdb", "-readonly", f"{warehouse}/warehouse.duckdb"),
        "",
        f"{console.command('emulate', '--dir', str(folder))}    # that AWS again; then, elsewhere:",
        console.command("run", "--config", config, "--retry-failed"),
    ):
        console.say(f"  {line}".rstrip())


def _title(text: str) -> None:
    console.say(console.styled(text, "1"))
