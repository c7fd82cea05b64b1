"""AWS is asked: accounts and regions become pages and outcomes. The only door to boto3's clients; knows no tables."""

from appstream_export.extract.accounts import Account, listed, with_secrets, without_secrets
from appstream_export.extract.aws.regions import expand, offered, partition_of, scopes
from appstream_export.extract.discovery.discover import Known
from appstream_export.extract.outcomes import prove_closed
from appstream_export.extract.plan import Plan, plan
from appstream_export.extract.probe import Probed, probe
from appstream_export.extract.scan.scan import resumed_task
from appstream_export.extract.scan.scheduler import extract

__all__ = [
    "Account",
    "Known",
    "Plan",
    "Probed",
    "expand",
    "extract",
    "listed",
    "offered",
    "partition_of",
    "plan",
    "probe",
    "prove_closed",
    "resumed_task",
    "scopes",
    "with_secrets",
    "without_secrets",
]
