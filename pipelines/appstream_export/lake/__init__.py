"""The lake: immutable Parquet files, one manifest per snapshot, and a DuckDB catalog of views over committed files.

Four folders, in their order; each may import those before it, and others import only a folder's face:

- storage: the port through which every byte goes, for a folder and for S3; paths in a warehouse, checksums
- snapshots: stage rows, commit them as a snapshot, read manifests and the head
- catalog: views, the catalog's file, connections, queries, named queries and checks
- maintenance: verify, repair, expire, vacuum (gc) and erase

`duckdb.py` belongs between storage and snapshots: it opens DuckDB and quotes all that enters its SQL. Readers take
paths from manifests alone: no folder is listed to find out what a table is. The lake is the only package that imports
duckdb; it knows nothing of AppStream, Dagster or the command line.
"""
