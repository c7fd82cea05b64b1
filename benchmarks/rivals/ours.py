"""The exporter itself, up to its `tables` in memory, or to the `files` that rivals leave."""

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
from appstream_export.model import RunListener, ScanOptions
from appstream_export.run.ingest import ingest_pages
from appstream_export.settings import Settings, parse_settings
from benchmarks.rivals.job import Job, work
from benchmarks.warehouse import by_role, settings_of


def run_job(job: Job) -> dict[str, Any]:
    """Run as much as the job says; return the CPU of the sweep."""
    accounts = [by_role(account) for account in job["accounts"]]
    mapping = settings_of(job["url"], accounts, job["regions"], workers=job["workers"])
    settings = parse_settings(mapping, Path(job["folder"]) / "appstream-export.toml")
    return {"part_cpu_s": _sweep(settings, job["until"])}


def _sweep(settings: Settings, until: str) -> float:
    """Return CPU seconds from the first call to the last row; clients and sessions are made meanwhile."""
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
    write = staged.write if until == "files" else (lambda _: None)
    outcomes = ingest_pages(answers, contracts, write, enum_values=enums, listener=RunListener()).values()
    used = process_time() - began
    answered = {outcome.task for outcome in outcomes if outcome.status == "ok"}
    assert answered == set(planned.tasks), outcomes  # noqa: S101  nothing else checks `tables`
    return used


if __name__ == "__main__":
    work(run_job)
