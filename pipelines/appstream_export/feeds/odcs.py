"""`datacontract.odcs.yaml`: the feeds of a generation as an Open Data Contract (ODCS 3.1), for `datacontract test`.

Its server is the folder in which it lies. Keys name the feeds that they lead to, and `datacontract test` checks that.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import yaml

from appstream_export.contracts import Column
from appstream_export.feeds.contract_feeds import Feed

ODCS_FILE = "datacontract.odcs.yaml"
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # that of libyaml, if there is one, takes a tenth of the time
_LOGICAL_TYPES = {
    "VARCHAR": "string",
    "BOOLEAN": "boolean",
    "BIGINT": "integer",
    "DOUBLE": "number",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
}


def render_data_contract(feeds: Sequence[Feed], *, snapshot_id: str, as_of: datetime) -> bytes:
    """Return the contract of feeds as YAML."""
    contract = {
        "apiVersion": "v3.1.0",
        "kind": "DataContract",
        "id": "appstream-export-feeds-v2",
        "name": "AppStream image builders: feeds for dashboards",
        "version": "2.0.0",
        "status": "active",
        "description": {
            "purpose": "Dashboards of AppStream image builders: what exists, runs, costs and changed.",
            "limitations": "Hours and costs are lower bounds. Scopes that failed show earlier rows: see dim_scope.",
            "usage": "Read all files of one generation, which current.json names.",
        },
        "servers": [{"server": "generation", "type": "local", "path": "./{model}.*parquet", "format": "parquet"}],
        "schema": [_build_object(feed) for feed in feeds],
        "customProperties": [
            {"property": "snapshotId", "value": snapshot_id},
            {"property": "asOfUtc", "value": as_of.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"},
        ],
    }
    return yaml.dump(contract, Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=120).encode()


def _build_object(feed: Feed) -> dict[str, Any]:
    return {
        "name": feed.name,
        "physicalName": feed.name,
        "physicalType": "table",
        "logicalType": "object",
        "description": feed.doc,
        "properties": [_build_property(feed, column) for column in feed.columns],
    }


def _build_property(feed: Feed, column: Column) -> dict[str, Any]:
    is_key, to = column.name == feed.key, feed.foreign_keys.get(column.name)
    physical = "timestamp_tz" if column.type == "TIMESTAMP" and feed.has_zone else column.type
    return {
        "name": column.name,
        "logicalType": _LOGICAL_TYPES[column.type],
        "physicalType": physical,
        "description": column.doc,
        "required": column.name in feed.required,
        **({"primaryKey": True, "primaryKeyPosition": 1, "unique": True} if is_key else {}),
        **({"relationships": [{"type": "foreignKey", "to": f"{to}.{column.name}"}]} if to else {}),
    }
