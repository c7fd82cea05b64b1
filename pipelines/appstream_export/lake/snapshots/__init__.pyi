from .commit import commit_snapshot as commit_snapshot
from .epoch import convert_epoch_us as convert_epoch_us
from .losses import describe_loss as describe_loss
from .manifest import (
    KIND_ERASE as KIND_ERASE,
    KIND_EXPIRE as KIND_EXPIRE,
    KIND_REPAIR as KIND_REPAIR,
    KIND_SWEEP as KIND_SWEEP,
    PAST_KEY as PAST_KEY,
    FileEntry as FileEntry,
    Manifest as Manifest,
    TableFiles as TableFiles,
    find_attempt as find_attempt,
    find_damaged_kind as find_damaged_kind,
    find_newest_rewrite_seq as find_newest_rewrite_seq,
    get_retained_files as get_retained_files,
    is_canonical as is_canonical,
    load_head as load_head,
    load_history as load_history,
    load_superseded_manifests as load_superseded_manifests,
    read_manifest as read_manifest,
    refuse_missing_rewrite as refuse_missing_rewrite,
    remove_lost_files as remove_lost_files,
    select_history_until as select_history_until,
)
from .parquet import (
    HistoryFile as HistoryFile,
    open_parquet_file as open_parquet_file,
    read_row_groups as read_row_groups,
    write_history_rows as write_history_rows,
    write_rows as write_rows,
)
from .producer import (
    CommitRequest as CommitRequest,
    PriceRow as PriceRow,
    RunFacts as RunFacts,
    SupportRow as SupportRow,
    count_tasks as count_tasks,
    get_utc_now as get_utc_now,
    remove_files_quietly as remove_files_quietly,
)
from .reader import (
    find_last_erase as find_last_erase,
    load_head_rows as load_head_rows,
    load_head_scope_runs as load_head_scope_runs,
    load_last_known_rows as load_last_known_rows,
)
from .rewrite import RewrittenHistory as RewrittenHistory, rewrite_history as rewrite_history
from .scan_sql import build_scan_query as build_scan_query
from .staged_snapshot import StagedSnapshot as StagedSnapshot
from .stored_contracts import (
    add_stored_contracts as add_stored_contracts,
    find_contract_problem as find_contract_problem,
)
from .task_transitions import (
    DISCARDED_CODE as DISCARDED_CODE,
    ENDED_CODE as ENDED_CODE,
    get_task as get_task,
    is_expected_outcome as is_expected_outcome,
    is_failed as is_failed,
)
