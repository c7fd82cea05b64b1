"""The script that an engineer writes in an afternoon: boto3's documented API, a client per scope, its own retry modes.

It lists every scope with threads. Left out: coverage, carried rows, quarantine, page integrity, an atomic commit.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from threading import Lock, local
from time import perf_counter
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from benchmarks.rivals.job import Job, work
from benchmarks.rivals.rows import Rows

Item = dict[str, Any]
_THREAD = local()
_MAKING = Lock()


def _get_session() -> Any:
    """Return this thread's session, as boto3's documentation advises."""
    if not hasattr(_THREAD, "session"):
        with _MAKING:
            _THREAD.session = boto3.Session("stand-in", "stand-in", region_name="us-east-1")
    return _THREAD.session


class Script:
    """Lists the scopes of a job, which may name botocore's retry `mode` and `max_attempts`."""

    def __init__(self, job: Job) -> None:
        self._job = job
        retries = {"mode": job.get("mode", "standard"), "total_max_attempts": job.get("max_attempts", 8)}
        self._config = Config(retries=retries)

    def list_scopes(self) -> Iterator[tuple[str, str, list[Item]]]:
        """Assume a role in each account, then yield account, region and items of each scope as scopes end."""
        with ThreadPoolExecutor(self._job["workers"]) as pool:
            accounts = self._job["accounts"]
            sessions = dict(zip(accounts, pool.map(self._assume_role, accounts), strict=True))
            scopes = [(account, region) for region in self._job["regions"] for account in accounts]
            futures = (pool.submit(self._list_scope, *scope, sessions[scope[0]]) for scope in scopes)
            for future in as_completed(futures):
                yield future.result()

    def _assume_role(self, account: str) -> dict[str, str]:
        sts = _get_session().client("sts", endpoint_url=self._job["url"], config=self._config)
        role = f"arn:aws:iam::{account}:role/reader"
        found = sts.assume_role(RoleArn=role, RoleSessionName="plain")["Credentials"]
        names = {"aws_access_key_id": "AccessKeyId", "aws_secret_access_key": "SecretAccessKey"}
        return {name: found[key] for name, key in (names | {"aws_session_token": "SessionToken"}).items()}

    def _list_scope(self, account: str, region: str, credentials: dict[str, str]) -> tuple[str, str, list[Item]]:
        try:
            return account, region, list(self._list_items(region, credentials))
        except (ClientError, BotoCoreError) as error:
            print(f"{account}/{region}: {error}")  # noqa: T201  as scripts do
            return account, region, []

    def _list_items(self, region: str, credentials: dict[str, str]) -> Iterator[Item]:
        options = {"endpoint_url": self._job["url"], "config": self._config, "region_name": region}
        client = _get_session().client("appstream", **options, **credentials)
        for page in client.get_paginator("describe_image_builders").paginate():
            yield from page["ImageBuilders"]
        client.close()


def run_job(job: Job) -> dict[str, Any]:
    """List, make rows, write them; return the seconds of listing."""
    began, rows = perf_counter(), Rows()
    for account, region, items in Script(job).list_scopes():
        rows.add(account, region, items)
    listed_s = perf_counter() - began
    rows.write(job["folder"])
    return {"sweep_s": listed_s}


if __name__ == "__main__":
    work(run_job)
