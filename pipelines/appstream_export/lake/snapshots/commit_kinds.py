"""The kinds of commits, as files of the table `snapshots` know them: what is left where a manifest is damaged."""

from contextlib import suppress

from appstream_export.lake.storage import TABLES_FOLDER, Store

_SNAPSHOTS_FOLDER = f"{TABLES_FOLDER}/snapshots/"


def find_commit_kinds(store: Store, seq: int) -> set[str]:
    """Return the kinds under which a commit is known, by files that manifests name and by others."""
    import pyarrow as pa  # seldom needed, and readers of manifests load none of it
    import pyarrow.parquet as pq

    kinds = set[str]()
    for stored in store.list_all():
        if stored.path.startswith(_SNAPSHOTS_FOLDER) and stored.path.endswith(".parquet"):
            with suppress(pa.ArrowException, FileNotFoundError):
                rows = pq.read_table(pa.BufferReader(store.read_bytes(stored.path)), columns=["seq", "kind"])
                kinds |= {row["kind"] for row in rows.to_pylist() if row["seq"] == seq}
    return kinds
