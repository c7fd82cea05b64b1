"""What may be asked, and the IAM policies that allow just that: one list for the guard, roles and their sessions."""

import json
from collections.abc import Iterable
from typing import Any

from appstream_export.contracts.model import Contract

IDENTITY = "sts:GetCallerIdentity"  # proves whose credentials we hold; AWS allows it to everyone, without a policy
ASSUME = "sts:AssumeRole"
DISCOVERY = (
    "organizations:ListAccounts",
    "organizations:ListAccountsForParent",
    "organizations:ListOrganizationalUnitsForParent",
    "organizations:ListRoots",
    "ssm:GetParametersByPath",
)


def list_member_operations(contracts: Iterable[Contract]) -> list[str]:
    """What the role in each account needs: the operations of the contracts, such as appstream:DescribeImageBuilders."""
    return sorted({f"{c.service}:{c.operation}" for c in contracts})


def list_hub_operations() -> list[str]:
    """What the credentials that we start with need: the way into the accounts, and discovery."""
    return sorted([ASSUME, *DISCOVERY])


def build_iam_policy(operations: Iterable[str]) -> dict[str, Any]:
    """An IAM policy that allows these operations and nothing else."""
    return {"Version": "2012-10-17", "Statement": [_build_allow_statement(operations, "*")]}


def build_hub_policy(role_name: str, partition: str = "aws") -> dict[str, Any]:
    """What `hub_operations` lists, and of the roles those of this name only, in whichever account."""
    statements = [
        _build_allow_statement([ASSUME], f"arn:{partition}:iam::*:role/{role_name}"),
        _build_allow_statement(DISCOVERY, "*"),
    ]
    return {"Version": "2012-10-17", "Statement": statements}


def render_session_policy(operations: Iterable[str]) -> str:
    """An inline policy for one role session: these operations and nothing else, whatever the role allows."""
    return json.dumps(build_iam_policy(operations), separators=(",", ":"))


def _build_allow_statement(operations: Iterable[str], resource: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": sorted(operations), "Resource": resource}
