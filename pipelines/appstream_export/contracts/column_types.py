"""Types of columns in DuckDB. Readers of manifests need these, and no contract."""

from collections.abc import Mapping

DUCKDB_TYPES: Mapping[str, str] = {
    "string": "VARCHAR",
    "integer": "BIGINT",
    "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMPTZ",
    "number": "DOUBLE",
    "json": "VARCHAR",
}
