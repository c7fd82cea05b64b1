"""Tables that checks read beside the catalog: limits of the settings, rows before, and changed columns of feeds."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import pyarrow as pa

from appstream_export.contracts import Contract
from appstream_export.errors import describe_error
from appstream_export.feeds import find_column_changes
from appstream_export.lake.snapshots import KIND_SWEEP, Manifest, load_head, load_history
from appstream_export.lake.storage import Store
from appstream_export.settings import Settings, compute_freshness_windows

_log = logging.getLogger(__name__)
_DAY = timedelta(days=1)
_MANIFESTS_MAX = 20  # among which the newest two sweeps are found; the others expire, erase or repair
_COUNTED = ("accounts", "scope_runs")  # beside the tables of contracts; rows of the others may fall at any time
_LIMITS = pa.schema([("warn_drop_percent", pa.float64())])
_SCOPE_LIMITS = pa.schema([("resource", pa.string()), ("scope_hours", pa.float64())])
_ROWS = pa.schema([("table_name", pa.string()), ("previous_rows", pa.int64()), ("found_rows", pa.int64())])
_COLUMNS = pa.schema([(name, pa.string()) for name in ("feed", "column_name", "previous_type", "next_type")])


def build_check_inputs(
    store: Store, contracts: Sequence[Contract], settings: Settings, *, compares_feeds: bool = True
) -> dict[str, pa.Table]:
    """Return the tables by name: limits, the rows of each table in the newest two, columns of feeds.

    Columns of feeds can be compared only with the settings of the runs, which name the labels of accounts.
    """
    changes = _list_column_changes(store, contracts, settings) if compares_feeds else []
    # Only the newest manifests, so that checks do not cost more as a warehouse ages.
    since = max(1, head.seq - _MANIFESTS_MAX) if (head := load_head(store)) else 1
    newest = load_history(store, since_seq=since, pass_damage=True)
    sweeps = [manifest for manifest in newest if manifest.kind == KIND_SWEEP]
    return {
        "check_limits": pa.table([[float(settings.lake.warn_drop_percent)]], schema=_LIMITS),
        "scope_limits": pa.Table.from_pylist([*_list_scope_limits(contracts, settings)], schema=_SCOPE_LIMITS),
        "table_rows": pa.Table.from_pylist([*_compare_rows(contracts, sweeps[-2:])], schema=_ROWS),
        "feed_columns": pa.Table.from_pylist(changes, schema=_COLUMNS),
    }


def _list_scope_limits(contracts: Sequence[Contract], settings: Settings) -> Iterator[Mapping[str, object]]:
    """Yield for each resource the age at which its scopes are old: by its cadence if that is longer than a run's."""
    for contract in contracts:
        every = settings.find_interval(contract.name, _DAY) or _DAY
        yield {"resource": contract.name, "scope_hours": compute_freshness_windows(every)[1] / timedelta(hours=1)}


def _list_column_changes(store: Store, contracts: Sequence[Contract], settings: Settings) -> list[dict[str, Any]]:
    """Return the changed columns of feeds; none if the feeds cannot be read, which their publication reports."""
    try:
        changes = find_column_changes(store, contracts, settings.feeds)
    except OSError as error:
        _log.warning("columns of feeds are not compared: %s", describe_error(error))
        return []
    return [change._asdict() for change in changes]


def _compare_rows(contracts: Sequence[Contract], newest_two: Sequence[Manifest]) -> list[Mapping[str, object]]:
    if len(newest_two) < 2:
        return []
    before, after = newest_two
    names = [*_COUNTED, *(table.name for contract in contracts for table in contract.tables)]
    return [
        {"table_name": name, "previous_rows": before.tables[name].rows, "found_rows": after.tables[name].rows}
        for name in names
        if name in before.tables and name in after.tables
    ]
