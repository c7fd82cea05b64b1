"""A resource is one file: what is asked of AWS and which tables its answer becomes. Knows TOML and Arrow types only."""

from appstream_export.contracts.loader import load_contract, load_contracts
from appstream_export.contracts.model import Column, Contract, Table, list_snapshot_tables, load_operational_tables

__all__ = [
    "Column",
    "Contract",
    "Table",
    "list_snapshot_tables",
    "load_contract",
    "load_contracts",
    "load_operational_tables",
]
