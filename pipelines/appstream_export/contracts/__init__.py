"""A resource is one file: what is asked of AWS and which tables its answer becomes. Knows TOML and Arrow types only."""

from appstream_export.contracts.loader import load, load_all
from appstream_export.contracts.model import Column, Contract, Table, all_tables, operational_tables

__all__ = ["Column", "Contract", "Table", "all_tables", "load", "load_all", "operational_tables"]
