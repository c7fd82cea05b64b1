"""Scans of a large run wait in memory from its start, so each is small."""

import threading

from appstream_export.contracts import load_contracts
from appstream_export.extract.accounts import list_configured_accounts
from appstream_export.extract.aws import build_scopes
from appstream_export.extract.scan.scan import Scan
from appstream_export.extract.scan.scheduler import Scheduler
from appstream_export.model import ScanOptions, Task
from tests.extract.asking import EU, US, A, Asking, B


def test_a_scan_that_waits_has_no_dictionary_of_its_own() -> None:
    assert Scan.__dictoffset__ == 0


def test_the_scans_of_an_account_are_built_once_its_session_is_opened(asking: Asking) -> None:
    asking.ids, asking.regions = [A, B], [EU, US]
    accounts = {account.id: account for account in list_configured_accounts(asking.settings)}
    [contract] = load_contracts()
    scopes = build_scopes(asking.settings, list(accounts.values()), contract.service)
    tasks = [Task(contract.name, scope) for scope in scopes]
    scheduler = Scheduler(
        tasks, {contract.name: contract}, accounts, asking.settings, ScanOptions(), "r", threading.Event()
    )
    opened, waiting = dict.fromkeys(scheduler._open_tasks.values())
    opened.open_session()

    assert sorted(scheduler._open_tasks) == sorted(tasks)
    assert [scan.task.scope.region for scan in opened.scans] == [EU, US]
    assert waiting._scans is None
