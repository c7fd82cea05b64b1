"""The whole product on an emulated AWS: a run at each moment of its life, then answers; `serve` brings it back."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit

from pipelines import settings
from pipelines.contracts import Contract, load_all
from pipelines.emulator import Emulator, Estate
from pipelines.errors import SetupError
from pipelines.lake.catalog import connect, query
from pipelines.run import run
from pipelines.settings import DEFAULT_FILE, Settings
from pipelines.terminal import console, summary
from pipelines.terminal.formats import write
from pipelines.terminal.progress import watching

MARK = "# Made by: appstream-export demo"
_CONFIG = """\
{mark}; a later demo in this folder starts afresh.
# Its AWS is emulated, on this machine. Start it again with: appstream-export emulate --dir {folder}
# An endpoint on 127.0.0.1 keeps every call on this machine; no credentials are needed.

warehouse = "warehouse"
regions = [{regions}]

[aws]
endpoint_url = "{endpoint_url}"

[extract]
max_attempts = 3
"""
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
    "Six hours later. Nobody repaired what failed; life goes on elsewhere.",
)
_FINDINGS = (
    (
        "Which builders run, and where?",
        "select account_name, count(*) as builders, count(*) filter (state = 'RUNNING') as running,"
        " count(*) filter (state = 'FAILED') as failed, bool_or(is_stale) as some_stale"
        " from image_builders group by all order by running desc, account_name limit 6",
    ),
    (
        "What changed since the run before?",
        "select change, coalesce(column_name, '(the whole builder)') as what, count(*) as changes, min(name) as example"
        " from image_builder_changes group by all order by changes desc, change, what limit 8",
    ),
    (
        "Which errors do builders report, and how many subnets do those builders use?",
        "select e.error_code, count(distinct (b.account_id, b.region, b.name)) as builders,"
        " count(distinct b.account_id) as accounts, count(distinct s.subnet_id) as subnets"
        " from image_builders as b"
        " join image_builder_errors as e on e.account_id = b.account_id and e.region = b.region"
        " and e.image_builder_name = b.name"
        " left join image_builder_subnets as s on s.account_id = b.account_id and s.region = b.region"
        " and s.image_builder_name = b.name"
        " group by all order by builders desc, e.error_code limit 6",
    ),
    (
        "What did we not see, why, and how old is what stands in for it?",
        "select account_name, region, status, case when is_expected then 'by design' when is_stale then 'stale' end"
        " as note, round(epoch(now()) - epoch(observed_at))::bigint as age_s"
        " from coverage where status <> 'ok' order by is_expected, account_name",
    ),
    (
        "What did AWS send that nobody knew, or nobody can read?",
        "select path, kind, count from drift"
        " union all select coalesce(path, '(item)'), 'unreadable ' || level, count(*) from quarantine group by all"
        " order by all",
    ),
)


def play(folder: Path, stop: Event) -> None:
    """Run at every moment of the demo's AWS into `folder`, then print answers; SetupError for a folder not ours."""
    _make_room(folder)
    estate, contracts = Estate(), load_all()
    with Emulator() as aws:
        loaded = settings.load(_write_config(folder, estate, aws.endpoint_url))
        for moment in range(estate.moments):
            if moment:
                estate.advance(aws, moment)
            else:
                estate.open(aws)
            with watching(is_quiet=True) as watch:
                result = run(loaded, contracts, watch=watch, stop=stop)
            _tell(moment, estate, summary.summarize(result, contracts, loaded.warehouse))
    _answer(loaded, contracts)
    _show_commands(folder)


def serve(folder: Path | None, port: int | None, stop: Event) -> None:
    """Bring the demo's AWS up until `stop`, as the last run saw it; where the one in `folder` was, else on any port."""
    estate = Estate()
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


def _write_config(folder: Path, estate: Estate, endpoint_url: str) -> Path:
    head = _CONFIG.format(
        mark=MARK,
        folder=folder,
        regions=", ".join(f'"{region}"' for region in estate.regions),
        endpoint_url=endpoint_url,
    )
    accounts = [_ACCOUNT.format(id=account_id, name=name) for account_id, name in estate.accounts.items()]
    file = folder / DEFAULT_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(head + "".join(accounts), "utf-8")
    except OSError as error:
        raise SetupError(f"{file}: {error.strerror}; choose a folder that can be written: --dir") from error
    return file


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
    tables = [table.name for contract in contracts for table in contract.tables]
    each = (f"select '{name}' as table_name, count(*) as rows from {name}" for name in tables)  # noqa: S608
    with connect(loaded.warehouse) as con:
        for title, sql in (("What is there?", " union all ".join(each)), *_FINDINGS):
            console.say()
            _title(title)
            write(query(con, sql), "table")


def _show_commands(folder: Path) -> None:
    config, warehouse = str(folder / DEFAULT_FILE), str(folder / "warehouse")
    running = "select name, region, instance_type from image_builders where state = 'RUNNING'"
    console.say()
    _title("Go on yourself")
    for line in (
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
