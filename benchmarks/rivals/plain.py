"""The script that an engineer writes in an afternoon: boto3's documented API, a client per scope, its own retry modes.

Reads a job as one line of JSON, lists every scope with threads, prints what it cost and saw as one line of JSON.
Leaves out: coverage, carried rows, quarantine, page integrity, tables, an atomic commit.
"""

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Lock, local
from time import perf_counter, process_time
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from benchmarks.children import peak_mb
from benchmarks.findings import say

_MINE = local()
_MAKING = Lock()


def _session() -> Any:
    """boto3's advice: a session for each thread."""
    if not hasattr(_MINE, "session"):
        with _MAKING:
            _MINE.session = boto3.Session("stand-in", "stand-in", region_name="us-east-1")
    return _MINE.session


class Script:
    """One job: `url`, `accounts`, `regions`, `workers`, `mode` and `max_attempts`."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._job = job
        self._config = Config(retries={"mode": job["mode"], "total_max_attempts": job["max_attempts"]})
        self.items: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self.failed: dict[str, str] = {}

    def sweep(self) -> None:
        """A role session for each account, then every scope."""
        with ThreadPoolExecutor(self._job["workers"]) as pool:
            sessions = dict(zip(self._job["accounts"], pool.map(self._assume, self._job["accounts"]), strict=True))
            scopes = [(account, region) for region in self._job["regions"] for account in self._job["accounts"]]
            list(pool.map(lambda scope: self._list(*scope, sessions[scope[0]]), scopes))

    def _assume(self, account: str) -> dict[str, str]:
        sts = _session().client("sts", endpoint_url=self._job["url"], config=self._config)
        role = f"arn:aws:iam::{account}:role/reader"
        given = sts.assume_role(RoleArn=role, RoleSessionName="plain")["Credentials"]
        words = {"aws_access_key_id": "AccessKeyId", "aws_secret_access_key": "SecretAccessKey"}
        return {ours: given[theirs] for ours, theirs in (words | {"aws_session_token": "SessionToken"}).items()}

    def _list(self, account: str, region: str, credentials: dict[str, str]) -> None:
        try:
            self.items[account, region] = list(self._builders(region, credentials))
        except (ClientError, BotoCoreError) as error:
            self.failed[f"{account}/{region}"] = type(error).__name__

    def _builders(self, region: str, credentials: dict[str, str]) -> Iterator[dict[str, Any]]:
        made = {"endpoint_url": self._job["url"], "config": self._config, "region_name": region}
        client = _session().client("appstream", **made, **credentials)
        for page in client.get_paginator("describe_image_builders").paginate():
            yield from page["ImageBuilders"]
        client.close()


def main() -> None:
    """One line in, one line out."""
    script = Script(json.loads(sys.stdin.readline()))
    wall, cpu = perf_counter(), process_time()
    script.sweep()
    costs = {"sweep_s": perf_counter() - wall, "sweep_cpu_s": process_time() - cpu, "peak_mb": peak_mb()}
    names = {f"{account}/{region}": [b["Name"] for b in found] for (account, region), found in script.items.items()}
    say(json.dumps(costs | {"names": names, "failed": script.failed}))


if __name__ == "__main__":
    main()
