"""AWS is asked: accounts and regions become pages and outcomes. The only door to boto3's clients; knows no tables."""

from appstream_export.extract.accounts import Account, list_configured_accounts, restore_secrets, strip_secrets
from appstream_export.extract.aws.regions import (
    build_scopes,
    expand_region_patterns,
    find_partition,
    list_botocore_regions,
)
from appstream_export.extract.discovery.discover import PreviousSnapshot
from appstream_export.extract.outcomes import resolve_closed_regions
from appstream_export.extract.plan import Plan, plan_extraction
from appstream_export.extract.probe import ProbeResult, probe_tasks
from appstream_export.extract.scan.scan import parse_resumed_task
from appstream_export.extract.scan.scheduler import extract_tasks

__all__ = [
    "Account",
    "Plan",
    "PreviousSnapshot",
    "ProbeResult",
    "build_scopes",
    "expand_region_patterns",
    "extract_tasks",
    "find_partition",
    "list_botocore_regions",
    "list_configured_accounts",
    "parse_resumed_task",
    "plan_extraction",
    "probe_tasks",
    "resolve_closed_regions",
    "restore_secrets",
    "strip_secrets",
]
