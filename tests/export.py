"""A whole export under test: settings that point at the emulator, `run()`, and SQL on what it left."""

from pathlib import Path
from typing import Any

import duckdb

from appstream_export.contracts import Contract, load_contracts
from appstream_export.emulator import Emulator
from appstream_export.lake.catalog import connect_warehouse
from appstream_export.lake.catalog.query import run_query
from appstream_export.model import ScanOptions
from appstream_export.run import Request, RunResult, execute_run
from appstream_export.settings import Settings, parse_settings

ACCOUNTS = ("111122223333", "444455556666")
REGIONS = ("eu-west-1", "us-east-1")


class Export:
    """`aws` is the emulator, `folder` holds the warehouse."""

    def __init__(self, aws: Emulator, folder: Path) -> None:
        self.aws, self.folder, self.endpoint_url = aws, folder, aws.endpoint_url
        self.accounts: tuple[str, ...] = ACCOUNTS
        self.regions: tuple[str, ...] = REGIONS
        self.extract: dict[str, Any] = {"max_attempts": 2, "workers": 8}
        self.more: dict[str, Any] = {}
        """Further keys of the configuration, in place of what stands here."""
        self.contracts: list[Contract] = load_contracts()
        self._open: tuple[Any, duckdb.DuckDBPyConnection] | None = None

    @property
    def mapping(self) -> dict[str, Any]:
        """The configuration as its file would say it."""
        return {
            "warehouse": "warehouse",
            "regions": list(self.regions),
            "accounts": [{"id": a, "role_arn": f"arn:aws:iam::{a}:role/reader"} for a in self.accounts],
            "aws": {"endpoint_url": self.endpoint_url},
            "extract": self.extract,
            "feeds": {"publish": False, "report": False},  # what is not about them need not wait for them
        } | self.more

    @property
    def settings(self) -> Settings:
        """Loaded settings, relative to the folder."""
        return parse_settings(self.mapping, self.folder / "appstream-export.toml")

    @property
    def warehouse(self) -> str:
        """Path of the warehouse."""
        return self.settings.warehouse

    def run(self, *, run_id: str | None = None, attempt_id: str | None = None, **request: Any) -> RunResult:
        """One run; `request` takes the fields of Request and of Ask."""
        ask = ScanOptions(
            **{k: request.pop(k) for k in ("names", "page_size", "max_items", "starting_token") if k in request}
        )
        return execute_run(
            self.settings, self.contracts, Request(scan_options=ask, **request), run_id=run_id, attempt_id=attempt_id
        )

    def sql(self, text: str) -> list[Any]:
        """Rows as tuples; as bare values where there is one column."""
        found = run_query(self._connect_once(), text).to_pylist()
        return [tuple(r.values()) if len(r) > 1 else next(iter(r.values())) for r in found]

    def _connect_once(self) -> duckdb.DuckDBPyConnection:
        """Connect as readers do, again once anything has written to the warehouse."""
        folders = {folder: folder.stat().st_mtime_ns for folder in Path(self.warehouse).glob("**")}
        state = self.warehouse, folders or object()  # a bucket has no folders here
        if self._open is None or self._open[0] != state:
            self._open = state, connect_warehouse(self.warehouse)
        return self._open[1]

    def statuses(self) -> dict[str, str]:
        """`account/region` → status in the newest snapshot."""
        return dict(self.sql("select account_id || '/' || region, status from scope_runs order by 1"))

    def changes(self) -> list[Any]:
        """(name, change, column) of the newest snapshot."""
        return self.sql("select name, change, column_name from image_builder_changes order by all")

    def calls(self) -> list[str]:
        """Scopes that were asked for builders since the last reset, sorted, each once."""
        asked = {f"{c.account_id}/{c.region}" for c in self.aws.calls if c.operation == "DescribeImageBuilders"}
        return sorted(asked)
