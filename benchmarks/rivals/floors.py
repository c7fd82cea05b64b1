"""Floors: what no exporter can be quicker than. `floor` in the job says which.

`fetch` asks for the same pages with botocore alone, a shared client per region, and reads none of them; `parse` turns
their text into Python's values; `write` writes flat tables that are there already.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import boto3
import pyarrow.parquet as pq
from botocore.config import Config

from benchmarks.rivals.job import Job, work
from benchmarks.world import World


def act(job: Job) -> dict[str, Any]:
    """One floor, in seconds of its own."""
    return {"fetch": _fetch, "parse": _parse, "write": _write}[job["floor"]](job)


def _fetch(job: Job) -> dict[str, Any]:
    session = boto3.Session("stand-in", "stand-in")
    config = Config(max_pool_connections=job["workers"])
    clients = {
        region: session.client("appstream", region_name=region, endpoint_url=job["url"], config=config)
        for region in job["regions"]
    }
    for client in clients.values():
        client.meta.events.register("before-parse.appstream.DescribeImageBuilders", _unread)
    calls = [(region, str(page)) for region in job["regions"] for _ in job["accounts"] for page in range(job["pages"])]
    began, cpu_s = perf_counter(), process_time()
    with ThreadPoolExecutor(job["workers"]) as pool:
        list(pool.map(lambda call: clients[call[0]].describe_image_builders(NextToken=call[1]), calls))
    return {"part_s": perf_counter() - began, "part_cpu_s": process_time() - cpu_s, "pages": len(calls)}


def _unread(response_dict: dict[str, Any], **_: Any) -> None:
    response_dict["body"] = b"{}"


def _parse(job: Job) -> dict[str, Any]:
    world = World(**job["world"])
    pages = [world.page(job["accounts"][0], job["regions"][0], number) for number in range(job["pages"])]
    times = len(job["accounts"]) * len(job["regions"])
    began, cpu_s = perf_counter(), process_time()
    for _ in range(times):
        for page in pages:
            json.loads(page)
    return {"part_s": perf_counter() - began, "part_cpu_s": process_time() - cpu_s, "pages": times * len(pages)}


def _write(job: Job) -> dict[str, Any]:
    tables = [pq.read_table(path, partitioning=None) for path in sorted(Path(job["tables"]).glob("**/*.parquet"))]
    began, cpu_s = perf_counter(), process_time()
    for number, table in enumerate(tables):
        pq.write_table(table, Path(job["folder"]) / f"{number}.parquet", compression="zstd")
    return {"part_s": perf_counter() - began, "part_cpu_s": process_time() - cpu_s, "pages": 0}


if __name__ == "__main__":
    work(act)
