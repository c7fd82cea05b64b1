from .after_commit import load_run_result as load_run_result, publish_stages as publish_stages
from .arrow_memory import choose_arrow_memory as choose_arrow_memory
from .check_inputs import build_check_inputs as build_check_inputs
from .due import find_waiting_tasks as find_waiting_tasks
from .enabled import (
    load_enabled_contracts as load_enabled_contracts,
    load_known_contracts as load_known_contracts,
    load_readable_contracts as load_readable_contracts,
)
from .monitoring import (
    RunMonitor as RunMonitor,
    monitor_run as monitor_run,
    report_refused_run as report_refused_run,
    report_run_end as report_run_end,
    report_run_start as report_run_start,
)
from .prepare import PreparedRun as PreparedRun
from .publishing import republish_outputs as republish_outputs, try_after_commit as try_after_commit
from .request import (
    STAGES as STAGES,
    Request as Request,
    filter_tasks as filter_tasks,
    select_failed_tasks as select_failed_tasks,
)
from .result import RunResult as RunResult
from .shard_process import GRACE_S as GRACE_S, run_shard_process as run_shard_process
from .shards import (
    Shard as Shard,
    ShardResult as ShardResult,
    commit_shards as commit_shards,
    decode_message as decode_message,
    encode_message as encode_message,
    plan_shards as plan_shards,
)
from .stages import execute_run as execute_run
from .warehouse import (
    format_endpoints as format_endpoints,
    list_foreign_endpoints as list_foreign_endpoints,
    open_existing_warehouse as open_existing_warehouse,
    open_warehouse as open_warehouse,
)
from .web_post import post_to_url as post_to_url
