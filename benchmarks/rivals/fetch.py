"""The floor that no exporter can beat: botocore's calls alone, a shared client per region, no page parsed."""

from concurrent.futures import ThreadPoolExecutor
from time import process_time
from typing import Any

import boto3
from botocore.config import Config

from benchmarks.rivals.job import Job, work


def run_job(job: Job) -> dict[str, Any]:
    """Return the CPU seconds of all calls."""
    session = boto3.Session("stand-in", "stand-in")
    config = Config(max_pool_connections=job["workers"])
    clients = {
        region: session.client("appstream", region_name=region, endpoint_url=job["url"], config=config)
        for region in job["regions"]
    }
    for client in clients.values():
        client.meta.events.register("before-parse.appstream.DescribeImageBuilders", _skip_parsing)
    calls = [(region, str(page)) for region in job["regions"] for _ in job["accounts"] for page in range(job["pages"])]
    began = process_time()
    with ThreadPoolExecutor(job["workers"]) as pool:
        list(pool.map(lambda call: clients[call[0]].describe_image_builders(NextToken=call[1]), calls))
    return {"part_cpu_s": process_time() - began}


def _skip_parsing(response_dict: dict[str, Any], **_: Any) -> None:
    response_dict["body"] = b"{}"


if __name__ == "__main__":
    work(run_job)
