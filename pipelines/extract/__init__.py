"""AWS is asked: accounts and regions become pages and outcomes. The only door to boto3's clients; knows no tables."""

from pipelines.extract.accounts import Account, listed, with_secrets, without_secrets
from pipelines.extract.discovery import Known
from pipelines.extract.outcomes import prove_closed
from pipelines.extract.pages import resumed_task
from pipelines.extract.planning import Plan, plan
from pipelines.extract.probe import Probed, probe
from pipelines.extract.regions import expand, offered, partition_of, scopes
from pipelines.extract.schedule import extract

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
