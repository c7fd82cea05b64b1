"""Read the tables of a warehouse in other assets: a resource, and a manager for their inputs."""

import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import msgspec
import pyarrow as pa
from pydantic import Field, PrivateAttr

from appstream_export.defs.context import as_dagster_failure, require_warehouse
from appstream_export.defs.specs import FEEDS, GROUPS
from appstream_export.feeds import V1, V2, find_feed_version, find_served_snapshot_id, format_feed_name, load_feed
from appstream_export.lake.catalog import (
    connect_unchecked,
    connect_warehouse,
    find_newest_snapshot_id,
    is_relation_type,
    load_table,
    open_relation,
    run_query,
    wrap_relation,
)
from appstream_export.lake.storage import Store
from appstream_export.run import load_enabled_contracts
from appstream_export.settings import Settings, read_settings, resolve_location

if TYPE_CHECKING:
    from dagster._core.execution.context.system import StepExecutionContext
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

_CONFIG_DOC = "Settings file of the export. Without it and without `warehouse`, the environment names it."
_WAREHOUSE_DOC = "Folder or s3://bucket/prefix of the warehouse, in place of that of the settings."
_MATERIALIZATIONS_MAX = 50  # of one asset, newest first, among which that of the current run is sought


class WarehouseResource(dg.ConfigurableResource):
    """A warehouse to read. Every method reads one snapshot: the newest, or `snapshot_id`. Nothing can be written.

    Marts and views of a user are those of the settings' `[sql] folder`; a warehouse brings no SQL.
    """

    config: str | None = Field(default=None, description=_CONFIG_DOC)
    warehouse: str | None = Field(default=None, description=_WAREHOUSE_DOC)

    def table(self, name: str, *, snapshot_id: str | None = None) -> pa.Table:
        """Return the rows of a table, view or mart."""
        with as_dagster_failure():
            settings = self._load_settings()
            own = partial(load_enabled_contracts, settings)
            return load_table(settings, name, snapshot_id=snapshot_id, load_contracts=own)

    def feed(self, name: str, *, snapshot_id: str | None = None) -> pa.Table:
        """Return the rows of a feed, as it is served, or as it was published for a snapshot.

        Names of feeds of v2 begin with it: `v2/dim_account`.
        """
        with as_dagster_failure():
            return load_feed(require_warehouse(self._load_settings()), name, snapshot_id=snapshot_id)

    def query(
        self, sql: str, params: Sequence[Any] | Mapping[str, Any] | None = None, *, snapshot_id: str | None = None
    ) -> pa.Table:
        """Return the rows of one SELECT. `params` are values for `?` or `$name` in it."""
        settings = self._load_settings()
        own = partial(load_enabled_contracts, settings)
        with (
            as_dagster_failure(),
            closing(
                connect_warehouse(settings.warehouse, s3=settings.s3, snapshot_id=snapshot_id, load_contracts=own)
            ) as con,
        ):
            return run_query(con, sql, params)

    def relation(self, name: str, *, snapshot_id: str | None = None) -> "DuckDBPyRelation":
        """Return a table, view or mart as a relation, which reads only what a query on it needs."""
        with as_dagster_failure():
            settings = self._load_settings()
            own = partial(load_enabled_contracts, settings)
            return open_relation(settings, name, snapshot_id=snapshot_id, load_contracts=own)

    @contextmanager
    def connect(self, *, snapshot_id: str | None = None) -> "Generator[DuckDBPyConnection]":
        """Return a DuckDB connection for any statement. It can read nothing but the warehouse."""
        settings = self._load_settings()
        own = partial(load_enabled_contracts, settings)
        with as_dagster_failure():
            con = connect_unchecked(settings.warehouse, s3=settings.s3, snapshot_id=snapshot_id, load_contracts=own)
        with closing(con):
            yield con

    def _load_settings(self) -> Settings:
        return _load_reading_settings(self.config, self.warehouse)


class TableInputManager(dg.ConfigurableIOManager):
    """Inputs of other assets: tables, marts and feeds, as Arrow, or as a relation if the input is annotated as one.

    The last part of the key is the name of the table; `feeds` before it means the feed, `feeds` and `v2` that of v2.
    The input's metadata `table` or `feed` names another one. If the current run, or one that it re-executes,
    materialized the input, its snapshot is read; else the newest one, which all tables of a step share, and all feeds
    of a version.
    """

    config: str | None = Field(default=None, description=_CONFIG_DOC)
    warehouse: str | None = Field(default=None, description=_WAREHOUSE_DOC)
    _newest: dict[object, str] = PrivateAttr(default_factory=dict)

    def load_input(self, context: dg.InputContext) -> "pa.Table | DuckDBPyRelation":
        """Return the rows of a table or feed; raises Failure with one line."""
        name, is_feed = _parse_input(context)
        is_relation = _is_relation_wanted(context)
        settings = _load_reading_settings(self.config, self.warehouse)
        store = require_warehouse(settings)
        with as_dagster_failure():
            snapshot_id = _find_own_snapshot_id(context) or self._share_newest(context, store, name if is_feed else "")
            context.log.info(f"reading {name} of snapshot {snapshot_id}")
            if is_feed:
                rows = load_feed(store, name, snapshot_id=snapshot_id)
                return wrap_relation(rows) if is_relation else rows
            read, own = open_relation if is_relation else load_table, partial(load_enabled_contracts, settings)
            return read(settings, name, snapshot_id=snapshot_id, load_contracts=own)

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:  # noqa: ARG002, Dagster's signature
        """Raise Failure: only the export writes to its warehouse."""
        raise dg.Failure(
            f"{context.step_key}: TableInputManager only reads; use it as input_manager_key, not as io_manager_key",
            allow_retries=False,
        )

    def _share_newest(self, context: dg.InputContext, store: Store, feed: str) -> str:
        """Return the newest snapshot, or that of the feed, or the one that an earlier such input of the step read."""
        step = _find_step(context)
        # Each version of feeds by itself: while a publication runs, they show different snapshots.
        source = find_feed_version(store, feed) if feed else None
        key = (step.run_id, step.step.key, step.previous_attempt_count, source) if step else None
        snapshot_id = self._newest.get(key) or (
            find_served_snapshot_id(store, feed) if feed else find_newest_snapshot_id(store)
        )
        if key:
            self._newest[key] = snapshot_id
        return snapshot_id


def _load_reading_settings(config: str | None, warehouse: str | None) -> Settings:
    """Return the settings of a file, or of the environment; `warehouse` replaces theirs, and alone needs no file."""
    with as_dagster_failure():
        settings = (
            Settings()
            if warehouse and not config
            else read_settings(Path(config) if config else None, os.environ, needs_accounts=False)
        )
        place = resolve_location(warehouse, Path.cwd()) if warehouse else settings.warehouse
        return msgspec.structs.replace(settings, warehouse=place)


def _parse_input(context: dg.InputContext) -> tuple[str, bool]:
    """Return the name of the table or feed that an input reads, and whether it is a feed."""
    named = context.definition_metadata or {}
    for word in ("table", "feed"):
        if word in named:
            return str(named[word]), word == "feed"
    *before, name = context.asset_key.path
    version = before.pop() if before[-1:] == [V2] else V1
    stage = _find_stage(context)
    # A host's key prefix may end in `feeds` too, so the key decides only where the spec of the asset is unknown.
    is_feed = stage == FEEDS if stage else before[-1:] == [FEEDS]
    return format_feed_name(version, name) if is_feed else name, is_feed


def _find_stage(context: dg.InputContext) -> str | None:
    """Return the group that the export gives to the asset, if this code location has its spec."""
    upstream = context.upstream_output
    try:
        stage = upstream.asset_spec.tags.get("stage") if upstream else None
    except dg.DagsterInvariantViolationError:  # Dagster raises it where it has no spec
        return None
    return stage if stage in GROUPS else None


def _is_relation_wanted(context: dg.InputContext) -> bool:
    """Return whether an input is annotated as a relation; raises Failure unless it is that, or Arrow, or nothing."""
    kind = context.dagster_type.typing_type
    if kind in (pa.Table, Any):
        return False
    if not is_relation_type(kind):
        what = f"input {context.name}: it is annotated as {context.dagster_type.display_name}"
        raise dg.Failure(f"{what}; use pyarrow.Table or duckdb.DuckDBPyRelation", allow_retries=False)
    return True


def _find_own_snapshot_id(context: dg.InputContext) -> str | None:
    """Return the snapshot of the input's materialization by this run, or by one that this run re-executes; or None."""
    if not (step := _find_step(context)):
        return None
    run = step.dagster_run
    own = {run.run_id, run.parent_run_id, run.root_run_id}
    records = context.instance.fetch_materializations(context.asset_key, limit=_MATERIALIZATIONS_MAX).records
    for record in records:
        if record.run_id in own and (found := record.asset_materialization):
            snapshot = found.metadata.get("snapshot_id")
            return str(snapshot.value) if snapshot else None
    return None


def _find_step(context: dg.InputContext) -> "StepExecutionContext | None":
    """Return the step that reads; None if the input is loaded outside a run, such as in a notebook."""
    try:
        return context.step_context
    except dg.DagsterInvariantViolationError:
        return None
