from .arrow_schema import (
    ARROW_TYPES as ARROW_TYPES,
    build_arrow_schema as build_arrow_schema,
)
from .botocore_model import (
    check_contracts as check_contracts,
    find_configured_endpoint as find_configured_endpoint,
    find_page_token as find_page_token,
    get_botocore_loader as get_botocore_loader,
    get_wire_path as get_wire_path,
    lint_contracts as lint_contracts,
    list_answer_members as list_answer_members,
    list_sensitive_members as list_sensitive_members,
    load_enum_values as load_enum_values,
    mark_sensitive_fields as mark_sensitive_fields,
)
from .botocore_propose import propose_contract as propose_contract
from .call_rules import (
    ACCOUNT as ACCOUNT,
    MONTH as MONTH,
    ONE_ACCOUNT as ONE_ACCOUNT,
    CallRules as CallRules,
    fill_inputs as fill_inputs,
)
from .column_types import DUCKDB_TYPES as DUCKDB_TYPES
from .contract_set import (
    STAR_FOLDER as STAR_FOLDER,
    ContractSet as ContractSet,
    add_contracts as add_contracts,
    can_render_report as can_render_report,
    find_unknown_sources as find_unknown_sources,
    list_missing_resources as list_missing_resources,
    list_sql_files as list_sql_files,
    list_view_files as list_view_files,
    load_all_contracts as load_all_contracts,
    load_contract_set as load_contract_set,
)
from .generated_checks import split_generated_check as split_generated_check
from .iam import (
    ASSUME as ASSUME,
    DISCOVERY as DISCOVERY,
    IDENTITY as IDENTITY,
    REGION_PROOF as REGION_PROOF,
    build_assume_statement as build_assume_statement,
    build_control_plane_policy as build_control_plane_policy,
    build_discovery_statements as build_discovery_statements,
    build_iam_policy as build_iam_policy,
    check_session_policy as check_session_policy,
    is_read_operation as is_read_operation,
    list_member_actions as list_member_actions,
    list_member_operations as list_member_operations,
    render_session_policy as render_session_policy,
)
from .joins import (
    Join as Join,
    list_joins as list_joins,
    render_parent_join as render_parent_join,
    render_related_joins as render_related_joins,
)
from .loader import (
    DEFAULT_RESOURCES as DEFAULT_RESOURCES,
    check_parents as check_parents,
    decode_contract as decode_contract,
    encode_contract as encode_contract,
    list_outer_positions as list_outer_positions,
    load_contract as load_contract,
    load_contracts as load_contracts,
    load_packaged_contracts as load_packaged_contracts,
)
from .model import (
    ACCOUNT_NAME as ACCOUNT_NAME,
    CHANGE_COLUMNS as CHANGE_COLUMNS,
    IS_STALE as IS_STALE,
    SNAPSHOT_ID as SNAPSHOT_ID,
    Column as Column,
    Contract as Contract,
    EnumValues as EnumValues,
    JoinKey as JoinKey,
    Table as Table,
    get_operational_table as get_operational_table,
    list_snapshot_tables as list_snapshot_tables,
    load_operational_tables as load_operational_tables,
)
from .paths import (
    ITEM_VALUE as ITEM_VALUE,
    LIST as LIST,
    MAP as MAP,
    MAP_KEY as MAP_KEY,
    MAP_VALUE as MAP_VALUE,
    split_path_steps as split_path_steps,
)
from .render import (
    find_stale_files as find_stale_files,
    write_rendered_files as write_rendered_files,
)
from .sql_files import (
    SEVERITIES as SEVERITIES,
    VIEW_FOLDERS as VIEW_FOLDERS,
    ChartColumns as ChartColumns,
    Param as Param,
    SqlFile as SqlFile,
    load_sql_files as load_sql_files,
    strip_header as strip_header,
)
