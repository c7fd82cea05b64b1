from .accounts import (
    Account as Account,
    map_accounts as map_accounts,
    restore_secrets as restore_secrets,
    strip_secrets as strip_secrets,
)
from .aws import CALLS_PER_S as CALLS_PER_S, CLOCK_SKEW_MAX_S as CLOCK_SKEW_MAX_S
from .discovery import ACCEPT_FLAG as ACCEPT_FLAG, PreviousSnapshot as PreviousSnapshot
from .outcomes import resolve_outcomes as resolve_outcomes
from .plan import Plan as Plan, add_parent_tasks as add_parent_tasks, plan_extraction as plan_extraction
from .probe import ProbeResult as ProbeResult, probe_tasks as probe_tasks
from .scan import extract_tasks as extract_tasks, parse_resumed_task as parse_resumed_task
