from .charts import choose_chart_columns as choose_chart_columns
from .checks import SEVERITY_ERROR as SEVERITY_ERROR, CheckResult as CheckResult, run_checks as run_checks
from .column_lineage import ColumnTracer as ColumnTracer, SourceColumn as SourceColumn
from .compaction import list_part_keys as list_part_keys
from .completeness import (
    TableCompleteness as TableCompleteness,
    UnseenScope as UnseenScope,
    load_completeness as load_completeness,
)
from .connect import (
    build_no_snapshot_error as build_no_snapshot_error,
    connect_unchecked as connect_unchecked,
    connect_warehouse as connect_warehouse,
    export_catalog as export_catalog,
    publish_catalog as publish_catalog,
    refresh_catalog as refresh_catalog,
)
from .feed_connection import (
    FEED_SNAPSHOT as FEED_SNAPSHOT,
    FEED_SNAPSHOT_COLUMNS as FEED_SNAPSHOT_COLUMNS,
    FeedConnection as FeedConnection,
    get_feed_table_name as get_feed_table_name,
    get_last_erase_seq as get_last_erase_seq,
    open_duckdb_file as open_duckdb_file,
    open_feed_connection as open_feed_connection,
)
from .named_queries import (
    check_values as check_values,
    get_named_query as get_named_query,
    load_named_queries as load_named_queries,
    load_shown_time as load_shown_time,
    parse_parameters as parse_parameters,
    run_named_query as run_named_query,
)
from .printable import PrintedAs as PrintedAs
from .query import (
    build_row_loader as build_row_loader,
    run_query as run_query,
    split_statements as split_statements,
)
from .query_rows import QueryRows as QueryRows
from .rendered import (
    compare_published_catalog as compare_published_catalog,
    connect_as_rendered as connect_as_rendered,
)
from .setup_sql import render_setup_lines as render_setup_lines
from .shared import SharedConnection as SharedConnection
from .shown import (
    load_catalog_seq as load_catalog_seq,
    load_feeds_database_snapshot_id as load_feeds_database_snapshot_id,
)
from .summary import (
    SnapshotSummary as SnapshotSummary,
    count_expected_scopes as count_expected_scopes,
    count_items_by_scope as count_items_by_scope,
    count_items_by_state as count_items_by_state,
    count_rows as count_rows,
    count_scopes_by_status as count_scopes_by_status,
    load_last_requests as load_last_requests,
    load_sweeps as load_sweeps,
    summarize_snapshot as summarize_snapshot,
)
from .table_reader import (
    find_newest_snapshot_id as find_newest_snapshot_id,
    is_relation_type as is_relation_type,
    load_table as load_table,
    open_relation as open_relation,
    wrap_relation as wrap_relation,
)
from .user_sql import find_user_sql_problems as find_user_sql_problems
from .views import render_newest_select as render_newest_select
