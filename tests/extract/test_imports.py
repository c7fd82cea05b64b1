"""Extraction hands on text: a process that only extracts loads neither Arrow nor DuckDB."""

import importlib
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import appstream_export.extract
from tests.extract.asking import EU, A
from tests.extract.wire import Wire, page

EXTRACTION = """
import importlib, json, sys
from pathlib import Path
from threading import Event
from appstream_export.contracts import load_contracts
from appstream_export.extract import extract_tasks, plan_extraction
from appstream_export.json_text import RawItems
from appstream_export.model import Page, ScanOptions
from appstream_export.settings import parse_settings

for name in json.loads(sys.argv[3]):
    importlib.import_module(name)
settings = parse_settings(json.loads(sys.argv[1]), Path(sys.argv[2]))
contracts = load_contracts()
plan = plan_extraction(settings, contracts)
accounts = {account.id: account for account in plan.accounts}
by_name = {contract.name: contract for contract in contracts}
results = list(
    extract_tasks(plan.tasks, by_name, accounts, settings, ScanOptions(), run_id="run-1", stop=Event())
)
pages = [result.items for result in results if isinstance(result, Page)]
loaded = sorted({name.split(".")[0] for name in sys.modules} & {"pyarrow", "duckdb", "dagster"})
print(json.dumps([all(isinstance(items, RawItems) for items in pages), sum(map(len, pages)), loaded]))
"""


@pytest.mark.slow
def test_a_process_that_plans_and_scans_loads_no_arrow(wire: Wire, tmp_path: Path) -> None:
    wire.script(f"{A}/{EU}", page("a", "b", token="t"), page("c"))
    account = {"id": A, "role_arn": f"arn:aws:iam::{A}:role/reader"}
    settings = json.dumps({"regions": [EU], "accounts": [account], "aws": {"endpoint_url": wire.url}})
    arguments = [settings, str(tmp_path / "appstream-export.toml"), json.dumps(modules())]
    ended = subprocess.run([sys.executable, "-c", EXTRACTION, *arguments], capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == [True, 3, []]


def modules() -> list[str]:
    """Every module of extract."""
    path = appstream_export.extract.__path__
    return [module.name for module in pkgutil.walk_packages(path, f"{appstream_export.extract.__name__}.")]


def test_what_the_face_of_extract_lists_is_there() -> None:
    face = importlib.import_module("appstream_export.extract")

    assert [name for name in face.__all__ if not hasattr(face, name)] == []
