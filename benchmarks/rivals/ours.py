"""Ourselves, until `pages` have come, `tables` are made, `files` are as rivals leave them, or all is `published`."""

from pathlib import Path
from threading import Event
from time import process_time
from typing import Any

from appstream_export.contracts import load_contracts
from appstream_export.contracts.botocore_model import load_enum_values
from appstream_export.contracts.model import list_snapshot_tables
from appstream_export.extract import extract_tasks, plan_extraction
from appstream_export.lake.snapshots.staged_snapshot import StagedSnapshot
from appstream_export.lake.storage import paths
from appstream_export.lake.storage.factory import open_store
from appstream_export.model import Outcome, RunListener, ScanOptions
from appstream_export.run.ingest import ingest_pages
from appstream_export.settings import Settings, parse_settings
from benchmarks.rivals.job import Job, work
from benchmarks.warehouse import by_role, settings_of


def act(job: Job) -> dict[str, Any]:
    """As much of a run as is asked for; of a whole one, what each stage cost."""
    accounts = [by_role(account) for account in job["accounts"]]
    mapping = settings_of(job["url"], accounts, job["regions"], workers=job["workers"])
    if job["until"] == "published":
        from benchmarks.exporter import export  # DuckDB, feeds, charts: no sweep loads them, nor do its rivals

        findings = export(mapping, job["folder"], {})
        assert findings["exit_code"] == 0, findings  # noqa: S101
        return {"stages": findings}
    settings = parse_settings(mapping, Path(job["folder"]) / "appstream-export.toml")
    return {"part_cpu_s": _sweep(settings, job["until"])}


def _sweep(settings: Settings, until: str) -> float:
    """CPU seconds from the first call to the last row; clients and sessions are made meanwhile."""
    contracts = load_contracts()
    planned = plan_extraction(settings, contracts)
    accounts = {account.id: account for account in planned.accounts}
    staged = StagedSnapshot(
        open_store(settings.warehouse, create=True), list_snapshot_tables(contracts), paths.generate_ulid()
    )
    began = process_time()
    answers = extract_tasks(
        planned.tasks, {c.name: c for c in contracts}, accounts, settings, ScanOptions(), run_id="ours", stop=Event()
    )
    enums = {c.name: load_enum_values(c) for c in contracts}
    if until == "pages":
        outcomes = [answer for answer in answers if isinstance(answer, Outcome)]
    else:
        write = staged.write if until == "files" else (lambda _: None)
        outcomes = list(ingest_pages(answers, contracts, write, enum_values=enums, listener=RunListener()).values())
    used = process_time() - began
    answered = {outcome.task for outcome in outcomes if outcome.status == "ok"}
    assert answered == set(planned.tasks), outcomes  # noqa: S101  nobody else looks at what `pages` and `tables` give
    return used


if __name__ == "__main__":
    work(act)
