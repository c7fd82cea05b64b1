"""The exact fix for what an account or a scope answered: a statement for a policy, or a line for the settings."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from appstream_export.contracts import Contract
from appstream_export.contracts.iam import hub_policy, policy
from appstream_export.errors import fix_of
from appstream_export.extract import Account
from appstream_export.model import Outcome, Status, Task
from appstream_export.settings import Settings

# AWS ends a denial with the kind of policy that is to blame; the first word that fits says where to mend it.
_BLAMED = (
    ("service control policy", "have whoever runs the organization allow it, or leave the region out: {removal}"),
    ("permissions boundary", "add to the permissions boundary of {door}: {statement}"),
    ("session policy", "set [aws] session_policy = false, or add to the policy of the session: {statement}"),
    ("VPC endpoint policy", "add to the policy of the VPC endpoint through which you ask: {statement}"),
    ("explicit deny", "take the statement with this explicit deny out of the policies of {door}"),
)
_ALLOW = "add to the policy of {door}: {statement}"
_CALLER = re.compile(r"User: (arn:\S+) is not authorized")
_SESSION_ARN = re.compile(r"arn:([^:]+):sts::(\d{12}):assumed-role/(?:.*/)?([^/]+)/[^/]+")
_TOO_LONG = "DurationSeconds"


@dataclass(frozen=True)
class Remedies:
    """What the fixes are made of: all accounts and tasks of a plan, and those tasks that are closed by design."""

    settings: Settings
    contracts: Mapping[str, Contract]
    accounts: Mapping[str, Account]
    planned: Sequence[Task]
    closed: Collection[Task] = ()

    def of_call(self, outcome: Outcome) -> str:
        """For a scope whose session was open, and whose call was refused."""
        task, account = outcome.task, self.accounts[outcome.task.scope.account_id]
        if outcome.status is Status.DISABLED:
            where = f"--region-name {task.scope.region} --account-id {account.id}"
            return f"leave the region out: {self.removal(task)}; or enable it: aws account enable-region {where}"
        if outcome.status is Status.UNAVAILABLE:
            return f"leave the region out: {self.removal(task)}; or let calls out to its endpoint"
        fix = fix_of(outcome.status, outcome.error_code)
        if outcome.status is not Status.DENIED or not (outcome.error_code or "").startswith("AccessDenied"):
            return fix
        contract = self.contracts[task.resource]
        allow = policy([f"{contract.service}:{contract.operation}"])
        words = {"door": _door(account), "statement": _statement(allow), "removal": self.removal(task)}
        template = next((fix for blamed, fix in _BLAMED if blamed in (outcome.reason or "")), _ALLOW)
        return template.format(**words)

    def of_role(self, outcome: Outcome) -> str:
        """For an account whose role was not given to us."""
        account, reason = self.accounts[outcome.task.scope.account_id], outcome.reason or ""
        if _TOO_LONG in reason:
            return "set [aws] session_s = 3600, or raise the role's maximum session duration"
        if outcome.status is not Status.DENIED or not (outcome.error_code or "").startswith("AccessDenied"):
            return fix_of(outcome.status, outcome.error_code)
        ours = f"add to the policy of {_caller(reason) or 'what the export starts with'}: {self.assume_statement}"
        if "identity-based policy" in reason:
            return ours
        trust = f"let its trust policy say: {_trust(reason, account)}"
        return f"make the role (iam/reader-stackset.json of init) and {trust}; if it does, {ours}"

    def of_discovery(self, reason: str) -> str:
        """For an organization, or its regions, that could not be listed."""
        if "--force" in reason:
            return "look at the organization; if the list is right, run once with --force"
        if "AccessDenied" in reason:
            who = _caller(reason) or "what lists the organization"
            return f"add to the policy of {who}: {_compact(hub_policy('')['Statement'][1])}"
        return "run again; if it stays, look at [organization] and at the network"

    @property
    def assume_statement(self) -> str:
        """What the hub's policy must hold."""
        organization = self.settings.organization
        arns = sorted(a.role_arn for a in self.accounts.values() if a.role_arn)
        if organization is None:
            resource: Any = arns[0] if len(arns) == 1 else _any_account(arns)
        else:
            partition = arns[0].split(":")[1] if arns else "aws"
            resource = f"arn:{partition}:iam::*:role/{organization.role_name}"
        return _compact({"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": resource})

    def removal(self, task: Task) -> str:
        """The line of the settings without which the account is no longer asked where it is closed by design."""
        account_id, region = task.scope.account_id, task.scope.region
        if region in self._closed_to_all:
            return f"regions = {_list(r for r in self._regions() if r not in self._closed_to_all)}"
        gone = {t.scope.region for t in self.closed if t.scope.account_id == account_id} | {region}
        left = [r for r in self._regions(account_id) if r not in gone]
        account = self.accounts[account_id]
        if not left:
            return leave_out(account)
        if account.source == "organization":
            door = f'id = "{account_id}", role_arn = "{account.role_arn}", regions = {_list(left)}'
            return f"add [[accounts]] with {door}"
        return f"[[accounts]] {account_id} regions = {_list(left)}"

    @cached_property
    def _closed_to_all(self) -> set[str]:
        """Regions that are closed to every account; none where accounts have lists of their own."""
        if len(self.accounts) < 2 or any(a.regions for a in self.accounts.values()):
            return set()
        open_somewhere = {t.scope.region for t in self.planned if t not in self.closed}
        found = {t.scope.region for t in self.closed} - open_somewhere
        return found if open_somewhere else set()

    def _regions(self, account_id: str | None = None) -> list[str]:
        scopes = (t.scope for t in self.planned)
        return list(dict.fromkeys(s.region for s in scopes if account_id in (None, s.account_id)))


def leave_out(account: Account) -> str:
    """The line of the settings without which an account is not read at all."""
    if account.source == "organization":
        return f'[organization] exclude_accounts = ["{account.id}"]'
    return f"take [[accounts]] {account.id} out"


def _door(account: Account) -> str:
    if account.role_arn:
        return f"role {account.role_arn.partition(':role/')[2]}"
    return f'profile "{account.profile}"' if account.profile else "boto3's default credentials"


def _caller(reason: str) -> str | None:
    """The principal that AWS names in a denial, as policies name it: a session's role."""
    found = _CALLER.search(reason)
    return _SESSION_ARN.sub(r"arn:\1:iam::\2:role/\3", found[1]) if found else None


def _trust(reason: str, account: Account) -> str:
    principal = _caller(reason) or "arn:aws:iam::ACCOUNT_THAT_RUNS_THE_EXPORT:root"
    statement: dict[str, Any] = {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "sts:AssumeRole"}
    if account.external_id:
        statement["Condition"] = {"StringEquals": {"sts:ExternalId": "YOUR_EXTERNAL_ID"}}
    return _compact(statement)


def _any_account(arns: Sequence[str]) -> Any:
    """Roles of one name in any account; else a list of them."""
    anywhere = sorted({re.sub(r"::\d{12}:", "::*:", arn) for arn in arns})
    return anywhere[0] if len(anywhere) == 1 else anywhere


def _statement(document: Mapping[str, Any]) -> str:
    return _compact(document["Statement"][0])


def _compact(statement: Mapping[str, Any]) -> str:
    return json.dumps(statement, separators=(", ", ": "))


def _list(words: Any) -> str:
    return json.dumps(list(words))
