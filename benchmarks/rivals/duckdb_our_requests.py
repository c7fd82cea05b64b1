"""A DuckDB script that is given our requests: shared clients, templates and raw bodies. DuckDB does the rest.

It leaves out coverage, carried rows, quarantine (one odd value fails everything), page integrity, retries and an atomic
commit.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import duckdb
from botocore.credentials import Credentials

from appstream_export.extract.aws import ApiCall, Clients
from appstream_export.settings import AwsSettings, ExtractSettings, Settings
from benchmarks.rivals.duckdb_script import COLUMNS, write_tables
from benchmarks.rivals.job import Job, work

LIST = "appstream:DescribeImageBuilders"


def run_job(job: Job) -> None:
    """Write the pages as they came, a line for each, then let DuckDB read and unnest them."""
    path = Path(job["folder"]) / "pages.ndjson"
    with path.open("wb") as file:
        for lines in _list_pages(job):
            file.writelines(lines)
    con = duckdb.connect()
    con.sql("set preserve_insertion_order = false")
    kinds = {name: kind for name, kind in COLUMNS.items() if name not in ("account_id", "region")}
    items = ", ".join(f'"{name}" {kind}' for name, kind in (kinds | {"CreatedTime": "double"}).items())
    columns = {"account_id": "varchar", "region": "varchar", "ImageBuilders": f"struct({items})[]"}
    pages = con.read_json(str(path), format="newline_delimited", columns=columns, maximum_object_size=1 << 24)
    builders = pages.project("account_id, region, unnest(ImageBuilders) as item").project("account_id, region, item.*")
    builders.project("* replace (to_timestamp(CreatedTime) as CreatedTime)").create("items")
    write_tables(con, job)


def _list_pages(job: Job) -> Iterator[list[bytes]]:
    settings = Settings(aws=AwsSettings(endpoint_url=job["url"]), extract=ExtractSettings(workers=job["workers"]))
    clients = Clients(settings, [LIST])
    with ThreadPoolExecutor(job["workers"]) as pool:
        accounts = job["accounts"]
        sessions = dict(zip(accounts, pool.map(lambda a: _assume_role(clients, a), accounts), strict=True))
        scopes = [(account, region) for account in accounts for region in job["regions"]]
        futures = (pool.submit(_list_scope, clients, *scope, sessions[scope[0]]) for scope in scopes)
        for future in as_completed(futures):
            yield future.result()


def _assume_role(clients: Clients, account: str) -> Credentials:
    params = {"RoleArn": f"arn:aws:iam::{account}:role/reader", "RoleSessionName": "script"}
    call = ApiCall(Credentials("stand-in", "stand-in"))
    found = clients.call_operation("sts", "us-east-1", "AssumeRole", params, call)["Credentials"]
    return Credentials(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])


def _list_scope(clients: Clients, account: str, region: str, credentials: Credentials) -> list[bytes]:
    lines, params = list[bytes](), dict[str, Any]()
    scope = json.dumps({"account_id": account, "region": region})[:-1].encode()
    while True:
        call = ApiCall(credentials, read=lambda answer: answer)
        body = clients.call_operation("appstream", region, "DescribeImageBuilders", params, call)["body"]
        lines.append(scope + b", " + body[1:] + b"\n")
        token = json.loads(body).get("NextToken")
        if not token:
            return lines
        params = {"NextToken": token}


if __name__ == "__main__":
    work(run_job)
