"""Whether two exports hold the same: as many rows, and the same values, in builders, subnets and security groups."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from benchmarks.rivals.rows import LISTS, PATHS
from benchmarks.world import World

_OWNER = ("account_id", "region", "image_builder_name", "position")
_VALUES = [column for column in PATHS if column != "created_time"]
_BUILDERS = f"account_id, region, {', '.join(_VALUES)}, created_us"
_IDS = {table: column for table, (_, column) in LISTS.items()}


def _flat(builders: str, children: str) -> dict[str, str]:
    """Readers of exports whose tables are flat, from patterns of paths in their folder."""
    rows = {"builders": f"select *, epoch_us(created_time) as created_us from '{{folder}}/{builders}'"}
    return rows | {table: f"from '{{folder}}/{children.format(table)}'" for table in LISTS}


def _dlt(table: str, name: str) -> str:
    parent, column = "'{folder}/out/image_builders/*.parquet'", _IDS[table]
    return (
        f"select p.account_id, p.region, p.name as image_builder_name, c._dlt_list_idx as position,"
        f" c.value as {column} from '{{folder}}/out/image_builders__vpc_config__{name}/*.parquet' as c"
        f" join {parent} as p on c._dlt_parent_id = p._dlt_id"
    )


def _lists(table: str) -> str:
    column = _IDS[table]
    return (
        f"select account_id, region, name as image_builder_name, unnest(ids) as {column},"
        f" generate_subscripts(ids, 1) - 1 as position"
        f" from (select *, from_json({column}::json, '[\"varchar\"]') as ids from '{{folder}}/builders.parquet')"
    )


READERS: Mapping[str, Mapping[str, str]] = {
    "plain": _flat("builders.parquet", "{}.parquet"),
    "ours": _flat("warehouse/tables/image_builders/**/*.parquet", "warehouse/tables/image_builder_{}/**/*.parquet"),
    "dlt_arrow": _flat("out/image_builders/*.parquet", "out/image_builder_{}/*.parquet"),
    "cloudquery": {
        "builders": "select *, round(created_time * 1e6)::bigint as created_us from '{folder}/builders.parquet'",
        **{table: _lists(table) for table in LISTS},
    },
    "dlt": {
        "builders": "select * rename (network_access_configuration__eni_id as eni_id,"
        " network_access_configuration__eni_private_ip_address as eni_private_ip_address),"
        " round(created_time * 1e6)::bigint as created_us from '{folder}/out/image_builders/*.parquet'",
        "subnets": _dlt("subnets", "subnet_ids"),
        "security_groups": _dlt("security_groups", "security_group_ids"),
    },
}
"""How the tables of an export are read, by the kind of its layout."""


@dataclass(frozen=True, slots=True)
class Contents:
    """Rows of each table, and a sum over all their values that their order does not change."""

    rows: Mapping[str, int]
    digests: Mapping[str, int]

    def unlike(self, truth: "Contents") -> str | None:
        """How it differs from the truth; None when it does not."""
        if self.rows != truth.rows:
            return f"rows {dict(self.rows)} instead of {dict(truth.rows)}"
        wrong = [table for table, digest in truth.digests.items() if self.digests[table] != digest]
        return f"other values in {', '.join(wrong)}" if wrong else None


def contents(kind: str, folder: Path) -> Contents:
    """What an export left in a folder; raises duckdb.Error where it left no such tables."""
    with duckdb.connect() as con:
        return _contents(con, {table: query.format(folder=folder) for table, query in READERS[kind].items()})


def truth(world: World, accounts: list[str], regions: list[str]) -> Contents:
    """What the page server holds."""
    tables = {table: pa.Table.from_pylist(list(rows)) for table, rows in _tables(world, accounts, regions).items()}
    with duckdb.connect() as con:
        for table, rows in tables.items():
            con.register(f"true_{table}", rows)
        return _contents(con, {table: f"from true_{table}" for table in tables})


def _contents(con: duckdb.DuckDBPyConnection, tables: Mapping[str, str]) -> Contents:
    rows, digests = {}, {}
    for table, query in tables.items():
        columns = _BUILDERS if table == "builders" else ", ".join((*_OWNER[:3], f"position::bigint, {_IDS[table]}"))
        told = con.sql(f"select count(*), sum(hash({columns})::hugeint) from ({query})").fetchall()
        rows[table], digests[table] = told[0]
    return Contents(rows, digests)


def _tables(world: World, accounts: list[str], regions: list[str]) -> dict[str, Iterator[dict[str, Any]]]:
    def items() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        for account in accounts:
            for region in regions:
                for item in world.items_of(account, region):
                    yield {"account_id": account, "region": region}, item

    def children(path: str, column: str) -> Iterator[dict[str, Any]]:
        for scope, item in items():
            for position, value in enumerate(item["VpcConfig"][path]):
                yield scope | {"image_builder_name": item["Name"], "position": position, column: value}

    builders = (
        scope
        | {column: _at(item, PATHS[column]) for column in _VALUES}
        | {"created_us": round(item["CreatedTime"] * 1_000_000)}
        for scope, item in items()
    )
    return {"builders": builders} | {table: children(*where) for table, where in LISTS.items()}


def _at(item: dict[str, Any], path: str) -> Any:
    first, _, last = path.partition(".")
    return item[first][last] if last else item[first]
