"""Suggest the exact fix for a failed account or scope: a statement for a policy, or a line for the settings."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from appstream_export.contracts import (
    Contract,
    build_assume_statement,
    build_discovery_statements,
    build_iam_policy,
)
from appstream_export.error_rules import UNREACHABLE, find_cause, suggest_fix
from appstream_export.errors import suggest_correction
from appstream_export.extract import ACCEPT_FLAG, Account
from appstream_export.model import KNOWN_REGIONS, Outcome, Task
from appstream_export.settings import Settings
from appstream_export.status import Status

# AWS names the type of the denying policy at the end of a message. The first type that is found selects the fix.
_FIXES_BY_POLICY_TYPE = (
    ("service control policy", "have the organization's administrator allow it, or leave the region out: {removal}"),
    ("permissions boundary", "add to the permissions boundary of {principal}: {statement}"),
    ("session policy", "set [aws] session_policy = false, or add to the policy of the session: {statement}"),
    ("VPC endpoint policy", "add to the policy of the VPC endpoint that you use: {statement}"),
    ("explicit deny", "remove the statement with this explicit deny from the policies of {principal}"),
)
_ALLOW_FIX = "add to the policy of {principal}: {statement}"
_CALLER = re.compile(r"User: (arn:\S+) is not authorized")
_SESSION_ARN = re.compile(r"arn:([^:]+):sts::(\d{12}):assumed-role/(?:.*/)?([^/]+)/[^/]+")
_PARTITION = re.compile(r"\barn:(aws[a-z-]*):")
_TOO_LONG = "DurationSeconds"


@dataclass(frozen=True)
class FixAdvisor:
    """Adviser on fixes, with the accounts and tasks of a plan and the tasks whose failure is expected."""

    settings: Settings
    contracts: Mapping[str, Contract]
    accounts: Mapping[str, Account]
    tasks: Sequence[Task]
    expected_failures: Collection[Task] = ()

    def suggest_call_fix(self, outcome: Outcome) -> str:
        """Return the fix for a scope whose session was opened and whose call was refused."""
        task, account = outcome.task, self.accounts[outcome.task.scope.account_id]
        if outcome.status is Status.DISABLED:
            where = f"--region-name {task.scope.region} --account-id {account.id}"
            return (
                f"leave the region out: {self.suggest_removal(task)}; or enable it: aws account enable-region {where}"
            )
        if outcome.status is Status.UNAVAILABLE:
            region = task.scope.region  # most often a misspelled one
            near = None if region in KNOWN_REGIONS else suggest_correction(region, KNOWN_REGIONS)
            meant = f"{near} Else leave" if near else "leave"
            return f"{meant} the region out: {self.suggest_removal(task)}; or allow calls to its endpoint"
        fix = suggest_fix(outcome.status, outcome.error_code, outcome.reason)
        if outcome.error_code in UNREACHABLE and "-fips." in (outcome.reason or ""):
            return f"unset AWS_USE_FIPS_ENDPOINT, or leave out regions without FIPS: {self.suggest_removal(task)}"
        # Only a plain denial can be fixed by a statement in a policy.
        if (
            find_cause(outcome.reason)
            or outcome.status is not Status.DENIED
            or not (outcome.error_code or "").startswith("AccessDenied")
        ):
            return fix
        contract = self.contracts[(outcome.cause or task).resource]  # the parent's call was denied, not this one
        allow = build_iam_policy([contract.iam_action])
        values = {
            "principal": _format_principal(account),
            "statement": _render_first_statement(allow),
            "removal": self.suggest_removal(task),
        }
        template = next((fix for blamed, fix in _FIXES_BY_POLICY_TYPE if blamed in (outcome.reason or "")), _ALLOW_FIX)
        return template.format(**values)

    def suggest_role_fix(self, outcome: Outcome) -> str:
        """Return the fix for an account whose role could not be assumed."""
        account, reason = self.accounts[outcome.task.scope.account_id], outcome.reason or ""
        if _TOO_LONG in reason:
            return "set [aws] session_duration_s = 3600, or raise the role's maximum session duration"
        if find_cause(reason) or not _is_access_denied(outcome):
            return suggest_fix(outcome.status, outcome.error_code, reason)
        caller = _parse_caller_arn(reason) or "the credentials that the export starts with"
        caller_fix = f"add to the policy of {caller}: {self._render_assume_statement(account)}"
        # AWS names the identity-based policy if the caller lacks the permission. In any other denial the role may be
        # missing or its trust policy may be the cause: AWS does not say which.
        if "identity-based policy" in reason:
            return caller_fix
        trust = f"add to its trust policy: {_render_trust_statement(reason, account, self._find_partition(reason))}"
        return f"create the role (iam/reader-stackset.json of init) and {trust}; if that is done, {caller_fix}"

    def suggest_discovery_fix(self, reason: str) -> str:
        """Return the fix for an organization, or its regions, that could not be listed."""
        if ACCEPT_FLAG in reason:
            return f"check the organization; if the list is right, run once with {ACCEPT_FLAG}"
        if "AccessDenied" in reason:
            who = _parse_caller_arn(reason) or "the credentials that list the organization"
            statements = build_discovery_statements(self._find_partition(reason))
            refused = [s for s in statements if any(operation in reason for operation in s["Action"])]
            return f"add to the policy of {who}: {' and '.join(map(_render_json, refused or statements))}"
        if named := find_cause(reason):
            return named
        return "run again; if it fails again, check [organization] and the network"

    def _render_assume_statement(self, account: Account) -> str:
        """Return the statement that the exporting account's policy needs for this account and those like it."""
        organization = self.settings.organization
        if organization and account.source == "organization":
            resource = f"arn:{self._find_partition()}:iam::*:role/{organization.role_name}"
            return _render_json(build_assume_statement(resource, is_in_organization=True))
        arns = sorted(a.role_arn for a in self.accounts.values() if a.role_arn and a.source == account.source)
        outside = _generalize_role_arns(arns) if organization is None and len(arns) > 1 else account.role_arn
        return _render_json(build_assume_statement(outside or arns))

    def _find_partition(self, reason: str = "") -> str:
        """Return the partition in an ARN of AWS's reason, an account's role or the settings; else `aws`."""
        organization = self.settings.organization
        roles = [a.role_arn for a in (*self.accounts.values(), *self.settings.accounts)]
        known = [reason, *roles, organization.admin_role_arn if organization else None]
        return next((found[1] for text in known if text and (found := _PARTITION.search(text))), "aws")

    def suggest_removal(self, task: Task) -> str:
        """Return the line of the settings that excludes the account's regions whose failure is expected."""
        account_id, region = task.scope.account_id, task.scope.region
        if region in self._unavailable_regions:
            return f"regions = {_render_list(r for r in self._list_regions() if r not in self._unavailable_regions)}"
        refused = {t.scope.region for t in self.expected_failures if t.scope.account_id == account_id} | {region}
        remaining = [r for r in self._list_regions(account_id) if r not in refused]
        account = self.accounts[account_id]
        if not remaining:
            return suggest_account_removal(account)
        if account.source == "organization":
            entry = f'id = "{account_id}", role_arn = "{account.role_arn}", regions = {_render_list(remaining)}'
            return f"add [[accounts]] with {entry}"
        return f"[[accounts]] {account_id} regions = {_render_list(remaining)}"

    @cached_property
    def _unavailable_regions(self) -> set[str]:
        """Regions that fail as expected in every account; empty if accounts have their own lists of regions."""
        if len({a.id for a in self.accounts.values()}) < 2 or any(a.regions for a in self.accounts.values()):
            return set()
        open_regions = {t.scope.region for t in self.tasks if t not in self.expected_failures}
        found = {t.scope.region for t in self.expected_failures} - open_regions
        return found if open_regions else set()

    def _list_regions(self, account_id: str | None = None) -> list[str]:
        scopes = (t.scope for t in self.tasks)
        return list(dict.fromkeys(s.region for s in scopes if account_id in (None, s.account_id)))


def suggest_account_removal(account: Account) -> str:
    """Return the line of the settings that excludes an account."""
    if account.source == "organization":
        return f'[organization] exclude_accounts = ["{account.id}"]'
    return f"remove [[accounts]] {account.id}"


def _is_access_denied(outcome: Outcome) -> bool:
    return outcome.status is Status.DENIED and (outcome.error_code or "").startswith("AccessDenied")


def _format_principal(account: Account) -> str:
    if account.role_arn:
        return f"role {account.role_arn.partition(':role/')[2]}"
    return f'profile "{account.profile}"' if account.profile else "boto3's default credentials"


def _parse_caller_arn(reason: str) -> str | None:
    """Return the principal that AWS names in a denial, with a session as its role; None if there is none."""
    found = _CALLER.search(reason)
    return _SESSION_ARN.sub(r"arn:\1:iam::\2:role/\3", found[1]) if found else None


def _render_trust_statement(reason: str, account: Account, partition: str) -> str:
    principal = _parse_caller_arn(reason) or f"arn:{partition}:iam::ACCOUNT_THAT_RUNS_THE_EXPORT:root"
    statement: dict[str, Any] = {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "sts:AssumeRole"}
    if account.external_id:
        statement["Condition"] = {"StringEquals": {"sts:ExternalId": "YOUR_EXTERNAL_ID"}}
    return _render_json(statement)


def _generalize_role_arns(arns: Sequence[str]) -> Any:
    """Return one pattern for roles of the same name in any account, else the list of patterns."""
    anywhere = sorted({re.sub(r"::\d{12}:", "::*:", arn) for arn in arns})
    return anywhere[0] if len(anywhere) == 1 else anywhere


def _render_first_statement(document: Mapping[str, Any]) -> str:
    return _render_json(document["Statement"][0])


def _render_json(statement: Mapping[str, Any]) -> str:
    return json.dumps(statement, separators=(", ", ": "))


def _render_list(words: Any) -> str:
    return json.dumps(list(words))
