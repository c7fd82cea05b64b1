"""AWS asked with this project's clients, sessions and threads, for rivals that bring only what follows."""

import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import botocore.session

from appstream_export.contracts import load_contracts
from appstream_export.extract.accounts import list_configured_accounts
from appstream_export.extract.aws.clients import ApiCall, Clients
from appstream_export.extract.aws.credentials import Sessions
from appstream_export.extract.scan.operation import ListOperation
from appstream_export.settings import parse_settings
from benchmarks.rivals.job import Job
from benchmarks.rivals.rows import Answer
from benchmarks.warehouse import by_role, settings_of

Read = Callable[[Any], Any]
_TOKEN = re.compile(rb'"NextToken":\s*"([^"]*)"')


class Asking:
    """Every scope of a job, page by page; `read` is what a page's raw answer becomes (None: botocore parses it)."""

    def __init__(self, job: Job, read: Read | None) -> None:
        mapping = settings_of(job["url"], [by_role(a) for a in job["accounts"]], job["regions"], workers=job["workers"])
        settings = parse_settings(mapping, Path(job["folder"]) / "appstream-export.toml")
        self._job, self._read = job, read
        self._clients = Clients(settings, {"appstream:DescribeImageBuilders", "sts:AssumeRole"})
        self._sessions = Sessions(
            settings, self._clients, list_configured_accounts(settings), run_id="rival", regions=set(job["regions"])
        )

    def scopes(self) -> Iterator[list[Answer]]:
        """The pages of each scope, in the order in which scopes end."""
        with ThreadPoolExecutor(self._job["workers"]) as pool:
            list(pool.map(lambda account: self._sessions.open_session(account, ApiCall()), self._job["accounts"]))
            scopes = [(account, region) for region in self._job["regions"] for account in self._job["accounts"]]
            for done in as_completed(pool.submit(self._pages, *scope) for scope in scopes):
                yield done.result()
        self._clients.close()

    def _pages(self, account: str, region: str) -> list[Answer]:
        found, token = list[Answer](), None
        while token is not None or not found:
            call = ApiCall(self._sessions.get_credentials(account), read=self._read)
            asked = {"NextToken": token} if token else {}
            page = self._clients.call_operation("appstream", region, "DescribeImageBuilders", asked, call)
            found.append((account, region, page))
            token = page.get("NextToken")
        return found


def read_json() -> Read:
    """The reader that this project hooks into botocore: a complete, well-formed page, or an error."""
    return ListOperation.from_contract(load_contracts()[0], botocore.session.get_session()).read_page


def read_raw(response: Mapping[str, Any]) -> dict[str, Any]:
    """The page as it came, and the token of the next one; nothing is checked."""
    token = _TOKEN.search(response["body"])
    return {"raw": response["body"], "NextToken": token[1].decode() if token else None}


def write_raw(job: Job) -> tuple[Path, int]:
    """All pages in one file, a line of JSON with `account_id`, `region` and `page` each; and how many there are."""
    path, pages = Path(job["folder"]) / "pages.ndjson", 0
    with path.open("wb") as file:
        for answers in Asking(job, read_raw).scopes():
            for account, region, page in answers:
                head = f'{{"account_id":"{account}","region":"{region}","page":'
                file.write(head.encode() + page["raw"] + b"}\n")
                pages += 1
    return path, pages
