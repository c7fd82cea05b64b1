"""Costs of a commit beside those of writing the same Parquet files through the same store.

Only ratios within one run are meaningful: situations take turns, and medians are compared. CPU is steadier than the
clock where a machine is shared.
"""

import tempfile
from collections import defaultdict
from typing import NamedTuple

from appstream_export.contracts import load_contracts
from appstream_export.lake.catalog.connect import publish_catalog
from appstream_export.lake.snapshots.manifest import Manifest
from appstream_export.lake.snapshots.parquet import open_parquet_file, read_row_groups, write_rows
from appstream_export.lake.snapshots.staged_snapshot import StagedSnapshot
from appstream_export.lake.storage import paths
from appstream_export.lake.storage.base import Store
from appstream_export.lake.storage.factory import open_store
from benchmarks.estate import Estate, Took


class Cost(NamedTuple):
    """Costs of one snapshot."""

    alone: Took
    """Writing its files from rows in memory."""
    commit: Took
    """All that follows the staged rows, up to the manifest."""
    whole: Took
    """Commit and catalog."""


def list_situations(builders: int) -> dict[str, Estate]:
    """Return snapshots that follow each other in a warehouse."""
    return {
        "first": Estate(builders),
        "unchanged": Estate(builders, hour=1, moment=0),
        "1% changed": Estate(builders, hour=2, moment=1),
        "1% denied": Estate(builders, hour=3, moment=1, denied_every=100),
    }


def measure(builders: int, rounds: int) -> dict[str, list[Cost]]:
    """Return costs of each situation, round by round."""
    found = defaultdict[str, list[Cost]](list)
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            store = open_store(folder, create=True)
            for name, estate in list_situations(builders).items():
                found[name].append(_commit(store, estate))
    return found


def _commit(store: Store, estate: Estate) -> Cost:
    alone, commit, publishing = Took(), Took(), Took()
    draft = estate.write(store, alone)
    manifest = estate.commit(store, draft, commit)
    with publishing:
        publish_catalog(store, load_contracts())
    write_rest(store, manifest, draft, alone)
    return Cost(alone, commit, Took(commit.wall_s + publishing.wall_s, commit.cpu_s + publishing.cpu_s))


def write_rest(store: Store, manifest: Manifest, draft: StagedSnapshot, took: Took) -> None:
    """Write the files of a snapshot again that its draft did not hold: under `alone` instead of `tables`."""
    ours = {file.path for files in draft.files.values() for file in files}
    for path in {file.path for file in manifest.files} - ours:
        file = open_parquet_file(store, path)
        rows = list(read_row_groups(file))
        with took:
            write_rows(store, path.replace(paths.TABLES_FOLDER, "alone"), file.schema_arrow, rows)
