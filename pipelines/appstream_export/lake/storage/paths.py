"""Names of the files and folders in a warehouse. Paths are relative to its root, with `/`; stores resolve them."""

import re
from typing import NamedTuple

COMMITS_FOLDER = "commits"
TABLES_FOLDER = "tables"
UNFINISHED_PREFIX = ".tmp-"  # of the name of a file that is being written
CATALOG_FILE = "warehouse.duckdb"
REPORT_FILE = "report.html"
FEEDS_FOLDER = "feeds"  # what dashboards read; see feeds/generations.py
PROBE_FILE = "probe"  # an empty object on S3, written to check write access and conditional writes
SCRATCH_FOLDER = ".scratch"  # DuckDB spills here if a commit or a query needs more than memory
HANDOVER_FOLDER = "handed"  # messages between the steps of a sharded run
CONTRACTS_FOLDER = "contracts"  # contracts of snapshots, by digest: data for readers that have no file of them
KEPT_FOLDER = "kept"  # parts of histories, and past facts, which runs read again; see catalog/kept_parts.py
ERASED_FOLDER = "erased"  # hashes of erased values, until the proof that they are gone
_MANIFEST = re.compile(r"(\d{12})\.json")
_UNFINISHED = re.compile(rf"(?:.*/)?{re.escape(UNFINISHED_PREFIX)}[0-9A-Z]{{26}}[.\w]*", re.ASCII)
_KEPT_PART = re.compile(
    rf"{KEPT_FOLDER}/(?P<name>\w+)/(?P<month>\d{{4}}-\d\d)\.(?P<key>[0-9a-f]{{64}})\.(?P<sha256>[0-9a-f]{{64}})\.(?P<suffix>parquet|duckdb)",
    re.ASCII,
)
_WORD = re.compile(r"[A-Za-z0-9_-]+")
_TABLE_FILE = re.compile(rf"{TABLES_FOLDER}/\w+/snapshot_id=\w+/[\w-]+\.parquet", re.ASCII)


class KeptName(NamedTuple):
    """The name of a kept part: its history (or `bi_duckdb`), its month, and two SHA-256.

    They are those of what it derives from, and of its content.
    """

    name: str
    month: str
    key: str
    sha256: str
    suffix: str = "parquet"


def generate_ulid() -> str:
    """Return a new ULID. As a snapshot's id it is only a name; history is ordered by seq."""
    from ulid import ULID  # slow to import, and readers do not need it

    return str(ULID())


def build_manifest_path(seq: int) -> str:
    """Return the path of a manifest, such as `commits/000000000042.json`."""
    return f"{COMMITS_FOLDER}/{seq:012}.json"


def build_contract_path(sha256: str) -> str:
    """Return the path of a stored contract."""
    return f"{CONTRACTS_FOLDER}/{sha256}.json"


def parse_manifest_seq(name: str) -> int | None:
    """Return the seq in a manifest's file name; None for any other name."""
    found = _MANIFEST.fullmatch(name)
    return int(found[1]) if found else None


def is_unfinished(path: str) -> bool:
    """Return whether a path is temporary: its file is being written, or its writer was killed."""
    return _UNFINISHED.fullmatch(path) is not None


def is_table_file(path: str) -> bool:
    """Return whether a path has the form of a committed file's: inside the warehouse, and not a pattern for DuckDB."""
    return _TABLE_FILE.fullmatch(path) is not None


def is_upload_path(path: str) -> bool:
    """Return whether this program uploads to such a path; other programs may upload to the same bucket."""
    return path == REPORT_FILE or path.startswith(
        (f"{TABLES_FOLDER}/", f"{FEEDS_FOLDER}/", f"{HANDOVER_FOLDER}/", f"{ERASED_FOLDER}/", f"{KEPT_FOLDER}/")
    )


def build_fresh_path(table: str, snapshot_id: str, number: int, writer: str = "") -> str:
    """Return the path of a file of extracted rows; `writer` distinguishes the processes of a sharded run."""
    return f"{_build_snapshot_folder(table, snapshot_id)}/{_join_writer('fresh', writer)}-{number:05}.parquet"


def build_carried_path(table: str, snapshot_id: str, rebase: int, writer: str = "") -> str:
    """Return the path of a file of rows carried over from the head; `rebase` counts the commit's restarts."""
    return f"{_build_snapshot_folder(table, snapshot_id)}/{_join_writer('carried', writer)}-{rebase}-00000.parquet"


def build_handover_path(*words: str) -> str:
    """Return the path of a message between steps of a sharded run; gc removes old ones."""
    if bad := [word for word in words if not _WORD.fullmatch(word)]:
        raise ValueError(f'"{bad[0]}" cannot be the name of a file')
    return f"{HANDOVER_FOLDER}/{'/'.join(words)}.json"


def build_retained_path(table: str, snapshot_id: str, number: int) -> str:
    """Return the path of retained rows of expired snapshots; `snapshot_id` is that of the expire commit."""
    return f"{_build_snapshot_folder(table, snapshot_id)}/kept-{number:05}.parquet"


def build_erased_path(path: str) -> str:
    """Return a new path for a file rewritten without an account: in the folder of the old one."""
    return f"{path.rpartition('/')[0]}/erased-{generate_ulid()}.parquet"


def build_erased_list_path(key: str) -> str:
    """Return the path of the hashes of an account's erased values; `key` does not show the account."""
    return f"{ERASED_FOLDER}/{key}.json"


def build_kept_path(name: str, month: str, key: str, sha256: str, suffix: str = "parquet") -> str:
    """Return the path of a kept part: its name has the digest of what it derives from, and that of its content."""
    return f"{KEPT_FOLDER}/{name}/{month}.{key}.{sha256}.{suffix}"


def parse_kept_path(path: str) -> KeptName | None:
    """Return what the path of a kept part says; None for any other path."""
    found = _KEPT_PART.fullmatch(path)
    return KeptName(**found.groupdict()) if found else None


def _join_writer(kind: str, writer: str) -> str:
    return f"{kind}-{writer}" if writer else kind


def _build_snapshot_folder(table: str, snapshot_id: str) -> str:
    return f"{TABLES_FOLDER}/{table}/snapshot_id={snapshot_id}"
