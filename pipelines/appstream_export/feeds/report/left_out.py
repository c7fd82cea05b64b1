"""Builders that a large page does not list: groups of those that are alike, so that all totals stay right."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from appstream_export.contracts import SqlFile
from appstream_export.feeds.report.blocks import KEY

GROUPED = (
    "account_id", "region", "state", "is_gone", "instance_type", "platform", "is_stale", "is_running",
    "running_hours_at_least", "state_hours", "exposed_by", "root_volume_size_gb", "is_latest_agent",
    "agent_age_days", "usd_per_hour", "disk_usd_per_month",
)  # fmt: skip
"""Columns of builders that the page counts or selects by; javascript/model.js has the tests."""
STUCK_HOURS, OLD_DAYS = 25 / 60, 180  # as in javascript/model.js
_GROUP, _NUMBER = "left_out_group", "number"
_DIMENSION = "dim_image_builder"
_COUNT_SQL = f"select count(*) as builders from {_DIMENSION} where is_last_life"  # noqa: S608


class RowLoader(Protocol):
    """A function that returns the rows of a file of `sql/report/`; with `only`, those of the builders with its keys."""

    def __call__(self, file: SqlFile, /, only: pa.Table | None = None) -> pa.Table:
        """Return the rows."""
        ...


def load_builders(load_rows: RowLoader, file: SqlFile, most: int) -> tuple[pa.Table, pa.Table]:
    """Return the builders to list, with all columns, and the others with `GROUPED`, each in order of their keys.

    Listed are those that exist, are up and cost the most. No other's texts are in memory.
    """
    [bound] = load_rows(replace(file, sql=_COUNT_SQL, reads=(_DIMENSION,)))["builders"].to_pylist()
    if bound > most:
        columns = ", ".join((KEY, *GROUPED))
        every = f"select {columns} from ({file.sql}\n) order by account_id, region, name"  # noqa: S608
        listed, others = _split_builders(load_rows(replace(file, sql=every)), most)
        if others.num_rows:
            return load_rows(file, only=listed.select([KEY])), others
    builders = load_rows(file)
    return builders, builders.slice(0, 0)


def _split_builders(builders: pa.Table, most: int) -> tuple[pa.Table, pa.Table]:
    """Return the builders to list and the others, each in order of their keys."""
    order = [("is_gone", "ascending"), ("is_running", "descending"), ("usd_per_hour", "descending"), (KEY, "ascending")]
    places = pc.sort_indices(builders, sort_keys=order)
    return _take_sorted(builders, places[:most]), _take_sorted(builders, places[most:])


def _take_sorted(builders: pa.Table, places: pa.Array) -> pa.Table:
    return builders.take(pc.take(places, pc.sort_indices(places)))


def group_left_out(others: pa.Table, tables: Mapping[str, pa.Table], listed: int) -> dict[str, pa.Table]:
    """Return `left_out`, one row per group of these builders with its number, and `left_out_days`, their days.

    `tables` are days, errors and images by name. Groups are numbered after the `listed` builders.
    """
    if not others.num_rows:
        return {}
    alike = _build_alike(others, tables)
    names = alike.column_names
    groups = alike.group_by(names, use_threads=False).aggregate([([], "count_all")]).rename_columns([*names, _NUMBER])
    groups = groups.append_column(_GROUP, pa.array(range(groups.num_rows), pa.int64()))
    # A join does not match nulls, so groups are found by all of their values as a text.
    group_of = pc.index_in(_render_rows(alike), value_set=_render_rows(groups.select(names)))
    days = _group_days(tables["days"], others[KEY].combine_chunks(), group_of, listed)
    return {"left_out": groups.drop_columns([_GROUP]), "left_out_days": days}


def _build_alike(others: pa.Table, tables: Mapping[str, pa.Table]) -> pa.Table:
    """Return what the page's tests read of each builder, as coarse as they read it."""
    alike = others.select(GROUPED)
    # The page compares with whole hours, so hours are rounded down to whole ones.
    running_hours_at_least = pc.floor(pc.cast(others["running_hours_at_least"], pa.float64()))
    is_stuck = pc.greater_equal(pc.cast(others["state_hours"], pa.float64()), STUCK_HOURS)
    is_old = pc.greater_equal(pc.cast(others["agent_age_days"], pa.int64()), OLD_DAYS)
    coarse = {
        "running_hours_at_least": running_hours_at_least,
        "state_hours": pc.cast(is_stuck, pa.int8()),
        "agent_age_days": pc.if_else(is_old, OLD_DAYS, 0),
    }
    for name, values in coarse.items():
        alike = alike.set_column(alike.column_names.index(name), name, values)
    days = tables["days"]
    is_priced = pc.and_(pc.is_valid(days["instance_usd_at_least"]), pc.is_valid(days["disk_usd_at_least"]))
    alike = alike.append_column("has_unpriced_day", _is_in(others, days.filter(pc.invert(is_priced))))
    alike = alike.append_column("has_errors", _is_in(others, tables["errors"]))
    if "builder_images" in tables:
        images = tables["builder_images"]
        is_gone = pc.fill_null(images["is_source_gone"], False)
        old = images.filter(
            pc.or_(is_gone, pc.fill_null(pc.greater_equal(images["source_image_age_days"], OLD_DAYS), False))
        )
        alike = alike.append_column("has_old_image", _is_in(others, old))
    return alike


def _is_in(others: pa.Table, table: pa.Table) -> pa.ChunkedArray:
    return pc.is_in(others[KEY], value_set=table[KEY].combine_chunks())


def _render_rows(table: pa.Table) -> pa.Array:
    """Return each row as a text: equal for equal rows, nulls included."""
    columns = [pc.cast(table[name], pa.string()) for name in table.column_names]
    texts = pc.binary_join_element_wise(*columns, "\x1f", null_handling="replace", null_replacement="\x1e")
    return texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts


def _group_days(days: pa.Table, keys: pa.Array, group_of: pa.Array, listed: int) -> pa.Table:
    """Return the days of the groups: sums of hours and costs, null if one is, and the number of builders in a state."""
    places = pc.index_in(days[KEY], value_set=keys)
    known = days.append_column("place", places).filter(pc.is_valid(places))
    groups = pc.add(pc.cast(pc.take(group_of, known["place"].combine_chunks()), pa.int64()), listed)
    known = known.append_column("builder", groups)
    # A cost that is unknown must not be summed as 0 together with known ones.
    known = known.append_column("has_instance", pc.is_valid(known["instance_usd_at_least"]))
    known = known.append_column("has_disk", pc.is_valid(known["disk_usd_at_least"]))
    by = ["builder", "first_day", "days", "state", "has_instance", "has_disk"]
    sums = known.group_by(by, use_threads=False).aggregate(
        [
            ("running_hours_at_least", "sum"),
            ("instance_usd_at_least", "sum"),
            ("disk_usd_at_least", "sum"),
            ([], "count_all"),
        ]
    )
    names = {
        "running_hours_at_least_sum": "running_hours_at_least",
        "instance_usd_at_least_sum": "instance_usd_at_least",
        "disk_usd_at_least_sum": "disk_usd_at_least",
        "count_all": _NUMBER,
    }
    found = sums.rename_columns([names.get(name, name) for name in sums.column_names]).drop_columns(
        ["has_instance", "has_disk"]
    )
    return found.take(pc.sort_indices(found["builder"]))
