"""`python -m benchmarks.sharded`: one process against two and four that share the sweep, with latency as AWS has it.

From the end of the plan to the end of the commit; Dagster's own seconds are not in it. All on this machine, the page
server too: where cores are few, the processes take them from each other and from it.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from time import perf_counter

from appstream_export import settings
from appstream_export.contracts import load_contracts
from appstream_export.model import RunListener
from appstream_export.run import Request, execute_run
from appstream_export.run.shard_process import run_shard_process
from appstream_export.run.shards import commit_shards, plan_shards
from benchmarks.children import Aws, Child
from benchmarks.findings import environment, markdown, say
from benchmarks.warehouse import by_role, settings_of
from benchmarks.world import REGIONS, World

SCOPES = (1_000, 5_000, 20_000)
SHARDS = (1, 2, 4)
"""1 is the job `snapshot`: the sweep in the process itself."""
LATENCY_MS = (30.0, 80.0)
RUN_S = 600.0
QUIET = Request(publish=False)


class Marks(RunListener):
    """When the sweep began."""

    began = 0.0

    def on_plan(self, tasks: int) -> None:  # noqa: ARG002  the name is the protocol's
        """Now."""
        self.began = perf_counter()


def one(shards: int) -> float:
    """Seconds from plan to commit, of the export that the environment names."""
    read, contracts, marks, stop = settings.read_settings(), load_contracts(), Marks(), Event()
    if shards == 1:
        execute_run(read, contracts, QUIET, listener=marks)
        return perf_counter() - marks.began
    prepared, parts = plan_shards(read, contracts, QUIET, shards, run_id="r", attempt_id="a", listener=marks, stop=stop)
    with ThreadPoolExecutor(len(parts)) as pool:
        swept = list(pool.map(lambda part: run_shard_process(read, part), parts))
    commit_shards(read, contracts, prepared, swept, listener=RunListener(), stop=stop)
    return perf_counter() - marks.began


def measured(aws: Aws, scopes: int, shards: int) -> tuple[float, int]:
    """Seconds, and builders that are in the snapshot."""
    accounts = [by_role(account) for account in aws.world.account_ids()[: scopes // len(REGIONS)]]
    with TemporaryDirectory(prefix="sharded-") as folder:
        file = Path(folder) / "appstream-export.toml"
        file.write_text(_toml(settings_of(aws.url, accounts, REGIONS, workers=32)))
        with Child("benchmarks.sharded", "--one", str(shards), environ={"APPSTREAM_EXPORT_CONFIG": str(file)}) as child:
            seconds = float(child.line(RUN_S))
        (manifest,) = (Path(folder) / "warehouse" / "commits").iterdir()
        return seconds, json.loads(manifest.read_text())["counts"]["items"]


def main(argv: Sequence[str] | None = None) -> None:
    """The table; with --one, a single run for it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sharded", description=__doc__)
    parser.add_argument("--one", type=int, metavar="SHARDS", help=argparse.SUPPRESS)
    parser.add_argument("--scopes", type=int, nargs="+", default=SCOPES)
    flags = parser.parse_args(argv)
    if flags.one:
        say(str(one(flags.one)))
        os._exit(0)
    say(environment() + "\n")
    rows = []
    with Aws(World(accounts=max(flags.scopes) // len(REGIONS), latency_ms=LATENCY_MS)) as aws:
        for scopes in flags.scopes:
            found = [measured(aws, scopes, shards) for shards in SHARDS]
            assert {items for _, items in found} == {scopes * aws.world.items}, found  # noqa: S101
            alone, *shared = (seconds for seconds, _ in found)
            rows.append([scopes, alone, *shared, *(alone / seconds for seconds in shared)])
    header = [
        "scopes",
        "one process, s",
        *(f"{n} shards, s" for n in SHARDS[1:]),
        *(f"gain of {n}" for n in SHARDS[1:]),
    ]
    say(markdown(header, rows))


def _toml(mapping: dict[str, object]) -> str:
    """The settings as a file."""
    plain = {key: value for key, value in mapping.items() if not isinstance(value, dict) and key != "accounts"}
    lines = [f"{key} = {json.dumps(value)}" for key, value in plain.items()]
    for name, section in ((k, v) for k, v in mapping.items() if isinstance(v, dict)):
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in section.items())]
    for account in mapping["accounts"]:  # ty: ignore[not-iterable]  it is a list
        lines += ["[[accounts]]", *(f"{key} = {json.dumps(value)}" for key, value in account.items())]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
