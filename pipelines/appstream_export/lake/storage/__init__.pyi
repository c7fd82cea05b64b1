from .base import (
    HashingWriter as HashingWriter,
    Store as Store,
    StoredObject as StoredObject,
    SupportsOutput as SupportsOutput,
    translate_storage_errors as translate_storage_errors,
    validate_root_path as validate_root_path,
)
from .checksum_trailer import (
    HTML_TRAILER as HTML_TRAILER,
    add_checksum as add_checksum,
    append_file_checksum as append_file_checksum,
    find_commit_seq as find_commit_seq,
    find_snapshot_id as find_snapshot_id,
    has_valid_checksum as has_valid_checksum,
    read_checked_tail as read_checked_tail,
    strip_checksum as strip_checksum,
)
from .factory import open_store as open_store, probe_location as probe_location
from .fsspec_bridge import LocalFiles as LocalFiles, RelocatedFiles as RelocatedFiles
from .local import LocalStore as LocalStore
from .paths import (
    CATALOG_FILE as CATALOG_FILE,
    COMMITS_FOLDER as COMMITS_FOLDER,
    FEEDS_FOLDER as FEEDS_FOLDER,
    HANDOVER_FOLDER as HANDOVER_FOLDER,
    KEPT_FOLDER as KEPT_FOLDER,
    REPORT_FILE as REPORT_FILE,
    SCRATCH_FOLDER as SCRATCH_FOLDER,
    TABLES_FOLDER as TABLES_FOLDER,
    KeptName as KeptName,
    build_carried_path as build_carried_path,
    build_contract_path as build_contract_path,
    build_erased_list_path as build_erased_list_path,
    build_erased_path as build_erased_path,
    build_fresh_path as build_fresh_path,
    build_handover_path as build_handover_path,
    build_kept_path as build_kept_path,
    build_manifest_path as build_manifest_path,
    build_retained_path as build_retained_path,
    generate_ulid as generate_ulid,
    is_table_file as is_table_file,
    is_unfinished as is_unfinished,
    parse_kept_path as parse_kept_path,
    parse_manifest_seq as parse_manifest_seq,
)
from .s3 import (
    PLACEHOLDER_KEY as PLACEHOLDER_KEY,
    S3Store as S3Store,
    find_bucket_endpoint as find_bucket_endpoint,
)
