"""All tables of a snapshot as one multi_asset whose step is `run()`: they land together, as they are committed."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from pipelines import settings
from pipelines.contracts import Contract, Table, load_all
from pipelines.contracts.contract import all_tables
from pipelines.defs.checks import coverage_result, coverage_spec
from pipelines.defs.watch import LoggingWatch
from pipelines.errors import ExportError
from pipelines.run import RunResult, run


def snapshot_asset(contracts: Sequence[Contract]) -> dg.AssetsDefinition:
    """The assets of every table; one step, since a snapshot is committed whole or not at all."""
    tables = all_tables(contracts)

    @dg.multi_asset(
        name="snapshot_tables",
        specs=[_spec(table) for table in tables],
        check_specs=[coverage_spec()],
        can_subset=False,
    )
    def snapshot(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        result = _run(context)
        for table in tables:
            yield dg.MaterializeResult(asset_key=table.name, metadata=_metadata(result, table))
        yield coverage_result(result)

    return snapshot


def _run(context: dg.AssetExecutionContext) -> RunResult:
    """Re-executions share the root run's id, so that they ask only what failed there."""
    root = context.run.root_run_id or context.run.run_id
    attempt = f"{context.run.run_id}.{context.retry_number}"
    try:
        loaded = settings.load(environ=os.environ)
        return run(loaded, load_all(), run_id=root, attempt_id=attempt, watch=LoggingWatch(context.log))
    except ExportError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error


def _spec(table: Table) -> dg.AssetSpec:
    columns = [dg.TableColumn(name=c.name, type=c.type, description=c.doc) for c in table.columns]
    return dg.AssetSpec(
        key=table.name,
        description=table.doc,
        group_name=table.resource or "export",
        kinds={"parquet", "duckdb"},
        metadata={"dagster/column_schema": dg.TableSchema(columns=columns)},
    )


def _metadata(result: RunResult, table: Table) -> dict[str, Any]:
    files = result.manifest.tables[table.name].files
    return {
        "dagster/row_count": sum(file.rows for file in files),
        "snapshot_id": result.manifest.snapshot_id,
        "size_bytes": sum(file.bytes for file in files),
    }
