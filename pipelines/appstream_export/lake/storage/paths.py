"""Names of a warehouse's files and folders. Paths are relative to its root, with `/`; stores resolve them."""

import re

COMMITS_FOLDER = "commits"
TABLES_FOLDER = "tables"
UNFINISHED_PREFIX = ".tmp-"  # begins the name of a file that is being written
CATALOG_FILE = "warehouse.duckdb"
REPORT_FILE = "report.html"
FEEDS_FOLDER = "feeds/v1"  # what dashboards read; see feeds/generations.py
PROBE_FILE = "probe"  # an empty object on S3: shows that we may write there, and that conditional writes are obeyed
SCRATCH_FOLDER = ".scratch"  # DuckDB spills here while a commit or a query needs more than memory
HANDOVER_FOLDER = "handed"  # what the steps of a sharded run hand to each other
_MANIFEST = re.compile(r"(\d{12})\.json")
_UNFINISHED = re.compile(rf"(?:.*/)?{re.escape(UNFINISHED_PREFIX)}[0-9A-Z]{{26}}[.\w]*", re.ASCII)
_WORD = re.compile(r"[A-Za-z0-9_-]+")
_TABLE_FILE = re.compile(rf"{TABLES_FOLDER}/\w+/snapshot_id=\w+/[\w-]+\.parquet", re.ASCII)


def generate_ulid() -> str:
    """Return a new ULID. As a snapshot's id it is only a name: history is ordered by seq."""
    from ulid import ULID  # readers need none; importing it takes long

    return str(ULID())


def build_manifest_path(seq: int) -> str:
    """`commits/000000000042.json`."""
    return f"{COMMITS_FOLDER}/{seq:012}.json"


def parse_manifest_seq(name: str) -> int | None:
    """The seq in a manifest's file name; None for any other name."""
    found = _MANIFEST.fullmatch(name)
    return int(found[1]) if found else None


def is_unfinished(path: str) -> bool:
    """Return whether a path is a temporary name: its file is still being written, or its writer was killed."""
    return _UNFINISHED.fullmatch(path) is not None


def is_table_file(path: str) -> bool:
    """Whether a path is like those of committed files: below the warehouse, and no pattern for DuckDB."""
    return _TABLE_FILE.fullmatch(path) is not None


def is_upload_path(path: str) -> bool:
    """Return whether this program uploads under such a name; in a bucket others may upload beside it."""
    return path == REPORT_FILE or path.startswith((f"{TABLES_FOLDER}/", f"{FEEDS_FOLDER}/", f"{HANDOVER_FOLDER}/"))


def build_fresh_path(table: str, snapshot_id: str, number: int, writer: str = "") -> str:
    """A file of rows that AWS gave to this attempt; `writer` is a word of its own for each of several processes."""
    return f"{_build_snapshot_folder(table, snapshot_id)}/{_join_writer('fresh', writer)}-{number:05}.parquet"


def build_carried_path(table: str, snapshot_id: str, rebase: int, writer: str = "") -> str:
    """A file that the commit itself wrote against the head; `rebase` counts the heads it had to start over from."""
    return f"{_build_snapshot_folder(table, snapshot_id)}/{_join_writer('carried', writer)}-{rebase}-00000.parquet"


def build_handover_path(*words: str) -> str:
    """Return the path of a message between steps of a sharded run; gc removes it once it is old."""
    if bad := [word for word in words if not _WORD.fullmatch(word)]:
        raise ValueError(f'"{bad[0]}" cannot be the name of a file')
    return f"{HANDOVER_FOLDER}/{'/'.join(words)}.json"


def build_retained_path(table: str, snapshot_id: str, number: int) -> str:
    """Return the path of rows of expired snapshots; `snapshot_id` is the expire commit's, theirs is a column."""
    return f"{_build_snapshot_folder(table, snapshot_id)}/kept-{number:05}.parquet"


def build_erased_path(path: str) -> str:
    """Where a file is written again without an account: beside the old one, which stands for the same snapshot."""
    return f"{path.rpartition('/')[0]}/erased-{generate_ulid()}.parquet"


def _join_writer(kind: str, writer: str) -> str:
    return f"{kind}-{writer}" if writer else kind


def _build_snapshot_folder(table: str, snapshot_id: str) -> str:
    return f"{TABLES_FOLDER}/{table}/snapshot_id={snapshot_id}"
