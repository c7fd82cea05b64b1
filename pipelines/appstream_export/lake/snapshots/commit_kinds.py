"""Kinds of commits by the files of the table `snapshots`: the source that remains if a manifest is damaged."""

from contextlib import suppress

from appstream_export.lake.storage import TABLES_FOLDER, Store

_SNAPSHOTS_FOLDER = f"{TABLES_FOLDER}/snapshots/"


def find_commit_kinds(store: Store, seq: int) -> set[str]:
    """Return the kinds that files of `snapshots` have for a commit. Files that no manifest names are read too."""
    import pyarrow as pa  # rarely needed, so readers of manifests do not import it
    import pyarrow.parquet as pq

    kinds = set[str]()
    for stored in store.list_all():
        if stored.path.startswith(_SNAPSHOTS_FOLDER) and stored.path.endswith(".parquet"):
            with suppress(pa.ArrowException, FileNotFoundError):
                rows = pq.read_table(pa.BufferReader(store.read_bytes(stored.path)), columns=["seq", "kind"])
                kinds |= {row["kind"] for row in rows.to_pylist() if row["seq"] == seq}
    return kinds
