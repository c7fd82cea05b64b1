"""Whether two exports hold the same: as many rows, and the same values, in builders, subnets and security groups."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from benchmarks.rivals.rows import LISTS, PATHS, Rows
from benchmarks.world import World

_VALUES = ", ".join(column for column in PATHS if column != "created_time")
_BUILDERS = f"account_id, region, {_VALUES}, epoch_us(created_time)"


def _flat(builders: str, children: str) -> dict[str, str]:
    """Return readers of exports whose tables are flat, from patterns of paths in their folder."""
    return {"builders": f"from '{{folder}}/{builders}'"} | {t: f"from '{{folder}}/{children.format(t)}'" for t in LISTS}


def _dlt(table: str, name: str) -> str:
    return (
        f"select p.account_id, p.region, p.name as image_builder_name, c._dlt_list_idx as position,"
        f" c.value as {LISTS[table][1]} from '{{folder}}/out/image_builders__vpc_config__{name}/*.parquet' as c"
        f" join '{{folder}}/out/image_builders/*.parquet' as p on c._dlt_parent_id = p._dlt_id"
    )


READERS: Mapping[str, Mapping[str, str]] = {
    "plain": _flat("builders.parquet", "{}.parquet"),
    "ours": _flat("warehouse/tables/image_builders/**/*.parquet", "warehouse/tables/image_builder_{}/**/*.parquet"),
    "dlt": {
        "builders": "select * rename (network_access_configuration__eni_id as eni_id,"
        " network_access_configuration__eni_private_ip_address as eni_private_ip_address)"
        " from '{folder}/out/image_builders/*.parquet'",
        "subnets": _dlt("subnets", "subnet_ids"),
        "security_groups": _dlt("security_groups", "security_group_ids"),
    },
}
"""Queries of an export's tables, by the kind of its layout."""


@dataclass(frozen=True, slots=True)
class Contents:
    """Rows of each table, and a sum over all their values that their order does not change."""

    rows: Mapping[str, int]
    digests: Mapping[str, int]

    def describe_difference(self, truth: "Contents") -> str | None:
        """Return how it differs from the truth; None when it does not."""
        if self.rows != truth.rows:
            return f"rows {dict(self.rows)} instead of {dict(truth.rows)}"
        wrong = [table for table, digest in truth.digests.items() if self.digests[table] != digest]
        return f"other values in {', '.join(wrong)}" if wrong else None


def read_contents(layout: str, folder: Path) -> Contents:
    """Return the contents of an export; raises duckdb.Error where its tables are missing."""
    rows, digests = {}, {}
    with duckdb.connect() as con:
        for table, query in READERS[layout].items():
            ids = "account_id, region, image_builder_name, position::bigint"
            columns = _BUILDERS if table == "builders" else f"{ids}, {LISTS[table][1]}"
            sums = f"select count(*), sum(hash({columns})::hugeint) from ({query.format(folder=folder)})"
            rows[table], digests[table] = con.sql(sums).fetchall()[0]
    return Contents(rows, digests)


def write_truth(world: World, regions: list[str], folder: Path) -> Contents:
    """Write the page server's items as a script would, and return their contents."""
    rows = Rows()
    for account in world.account_ids():
        for region in regions:
            rows.add(account, region, world.items_of(account, region))
    folder.mkdir(parents=True)
    rows.write(folder)
    return read_contents("plain", folder)
