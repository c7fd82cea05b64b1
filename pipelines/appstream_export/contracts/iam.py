"""Operations that the export may call, and IAM policies for them: one list for guard, roles and sessions."""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from appstream_export.contracts.model import Contract
from appstream_export.errors import ConfigurationError

IDENTITY = "sts:GetCallerIdentity"  # proves whose credentials we hold; AWS allows it to everyone, without a policy
ASSUME = "sts:AssumeRole"
REGION_PROOF = ("account:ListRegions", "ec2:DescribeRegions")
"""What proves that a region is not enabled, where a session token of unknown origin leaves it open; optional."""
DISCOVERY = (
    "organizations:ListAccounts",
    "organizations:ListAccountsForParent",
    "organizations:ListOrganizationalUnitsForParent",
    "organizations:ListRoots",
    "ssm:GetParametersByPath",
)
_RESOURCES: Mapping[str, str] = {
    "ssm:GetParametersByPath": "ssm:*::parameter/aws/service/global-infrastructure/*"  # AWS's own, of no account
}
"""What of DISCOVERY needs no more than a part of a service, as an Arn without its partition."""

GET_OPERATIONS = frozenset(
    {
        "ce:GetAnomalyMonitors",
        "glue:GetCrawlers",
        "glue:GetDatabases",
        "glue:GetTriggers",
        "lightsail:GetBuckets",
        "lightsail:GetDisks",
        "lightsail:GetInstances",
        "lightsail:GetLoadBalancers",
        "lightsail:GetRelationalDatabases",
        "lightsail:GetStaticIps",
        "resourcegroupstaggingapi:GetResources",
        "ssm:GetInventory",
    }
)
"""Get operations that list what there is. Others of that name return credentials, or cost money per call."""
SESSION_POLICY_MAX = 2_048
"""STS's limit of an inline session policy, in characters."""
_LISTING = re.compile(r"(Describe|List)[A-Z]\w*")


IAM_PREFIXES: Mapping[str, str] = {
    "efs": "elasticfilesystem",
    "emr": "elasticmapreduce",
    "opensearch": "es",
    "resourcegroupstaggingapi": "tag",
    "sso-admin": "sso",
    "stepfunctions": "states",
}
"""IAM's prefix of services for which it is not botocore's name."""


def is_read_operation(service: str, operation: str) -> bool:
    """Return whether a contract may name the operation: Describe, List, and the Get operations that only list."""
    return bool(_LISTING.fullmatch(operation)) or f"{service}:{operation}" in GET_OPERATIONS


def list_member_operations(contracts: Iterable[Contract]) -> list[str]:
    """Return the operations that a run calls in each account, by botocore's names: appstream:DescribeImageBuilders."""
    return sorted({f"{c.service}:{c.operation}" for c in contracts})


def list_member_actions(contracts: Iterable[Contract]) -> list[str]:
    """Return the IAM actions that the role in each account needs, such as tag:GetResources."""
    return sorted({c.iam_action for c in contracts})


def list_control_plane_operations() -> list[str]:
    """Return the operations that the export's own credentials need: assuming roles, and discovery."""
    return sorted([ASSUME, *DISCOVERY])


def build_iam_policy(operations: Iterable[str]) -> dict[str, Any]:
    """Return an IAM policy that allows these operations and nothing else."""
    return {"Version": "2012-10-17", "Statement": [_build_allow_statement(operations, "*")]}


def build_control_plane_policy(
    role_name: str, partition: str = "aws", *, outside_roles: Collection[str] = ()
) -> dict[str, Any]:
    """Return the policy for `list_control_plane_operations`: of all roles, only those of this name.

    Accounts of the caller's own organization are allowed by that; `outside_roles` are Arns of roles elsewhere.
    """
    elsewhere = [build_assume_statement([*outside_roles], sid="RolesOutsideTheOrganization")] if outside_roles else []
    statements = [
        build_assume_statement(f"arn:{partition}:iam::*:role/{role_name}", is_in_organization=True),
        *elsewhere,
        *build_discovery_statements(partition),
    ]
    return {"Version": "2012-10-17", "Statement": statements}


def build_discovery_statements(partition: str = "aws") -> list[dict[str, Any]]:
    """Return the statements that allow discovery: lists of the organization, and public parameters of AWS."""
    return [
        _build_allow_statement([o for o in DISCOVERY if o not in _RESOURCES], "*"),
        *(_build_allow_statement([o], f"arn:{partition}:{of}") for o, of in _RESOURCES.items()),
    ]


def build_assume_statement(
    resource: str | list[str], *, is_in_organization: bool = False, sid: str | None = None
) -> dict[str, Any]:
    """Return the statement that lets its caller assume roles, on request only those of its own organization."""
    statement = _build_allow_statement([ASSUME], resource)
    if is_in_organization:
        statement["Condition"] = {"StringEquals": {"aws:ResourceOrgID": "${aws:PrincipalOrgID}"}}
    return {"Sid": sid} | statement if sid else statement


def render_session_policy(actions: Iterable[str]) -> str:
    """Return an inline policy that limits a role session to these actions, whatever the role allows."""
    return json.dumps(build_iam_policy(actions), separators=(",", ":"))


def check_session_policy(contracts: Iterable[Contract]) -> None:
    """Raise ConfigurationError if STS would refuse the session policy, and name the first resource that is too much."""
    actions: set[str] = set()
    for contract in contracts:
        actions.add(contract.iam_action)
        if (length := len(render_session_policy(actions))) > SESSION_POLICY_MAX:
            what = f"the session policy has {length} characters with {contract.iam_action}, and STS accepts"
            fix = f"turn off {contract.name} or another resource, or set [aws] session_policy = false"
            raise ConfigurationError(f"{contract.name}: {what} {SESSION_POLICY_MAX}", fix=fix)


def _build_allow_statement(operations: Iterable[str], resource: str | list[str]) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": sorted(operations), "Resource": resource}
