"""Rows as a script makes them: a dict per item, a table per list, a Parquet file per table."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

PATHS = {
    "name": "Name",
    "arn": "Arn",
    "image_arn": "ImageArn",
    "description": "Description",
    "display_name": "DisplayName",
    "instance_type": "InstanceType",
    "platform": "Platform",
    "iam_role_arn": "IamRoleArn",
    "state": "State",
    "created_time": "CreatedTime",
    "enable_default_internet_access": "EnableDefaultInternetAccess",
    "eni_private_ip_address": "NetworkAccessConfiguration.EniPrivateIpAddress",
    "eni_id": "NetworkAccessConfiguration.EniId",
    "appstream_agent_version": "AppstreamAgentVersion",
    "latest_appstream_agent_version": "LatestAppstreamAgentVersion",
}
"""Columns of builders, and where the page server's items have them. Contracts have a dozen more."""

LISTS = {"subnets": ("SubnetIds", "subnet_id"), "security_groups": ("SecurityGroupIds", "security_group_id")}


class Rows:
    """Rows of all tables, collected scope by scope; not for several threads."""

    def __init__(self) -> None:
        self._tables: dict[str, list[dict[str, Any]]] = {"builders": [], **{name: [] for name in LISTS}}

    def add(self, account: str, region: str, items: Iterable[dict[str, Any]]) -> None:
        """Add the items of a scope, as boto3 or as JSON gives them."""
        for item in items:
            self._add(account, region, item)

    def write(self, folder: str | Path) -> None:
        """Write a Parquet file for each table."""
        for name, rows in self._tables.items():
            pq.write_table(pa.Table.from_pylist(rows), Path(folder) / f"{name}.parquet", compression="zstd")

    def _add(self, account: str, region: str, item: dict[str, Any]) -> None:
        network = item.get("NetworkAccessConfiguration", {})
        builder = {"account_id": account, "region": region}
        for column, path in PATHS.items():
            first, _, last = path.partition(".")
            builder[column] = network.get(last) if last else item.get(first)
        if isinstance(created := builder["created_time"], float):  # JSON's; boto3 has made it a time
            builder["created_time"] = datetime.fromtimestamp(created, UTC)
        self._tables["builders"].append(builder)
        owner = {"account_id": account, "region": region, "image_builder_name": item["Name"]}
        for table, (path, column) in LISTS.items():
            for position, value in enumerate(item.get("VpcConfig", {}).get(path, [])):
                self._tables[table].append(owner | {"position": position, column: value})
