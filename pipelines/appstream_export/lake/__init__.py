"""The lake: immutable Parquet files, one manifest per snapshot, and a DuckDB catalog of views over committed files.

A run writes a draft (draft.py), turns it into a snapshot (commit.py) and publishes the catalog (catalog.py). Every
byte goes through one storage port (store.py). Readers take paths from manifests alone: nothing here lists or globs
to learn what a table is. The only folder that imports duckdb; it knows nothing of AWS, Dagster or the command line.
"""
