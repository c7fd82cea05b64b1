"""The files that `init` writes: commented settings, tables to fill in, IAM that just suffices; overwrites nothing."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from appstream_export.contracts import (
    build_control_plane_policy,
    build_iam_policy,
    list_member_operations,
    load_contracts,
)
from appstream_export.errors import ConfigurationError
from appstream_export.settings import DEFAULT_FILE as CONFIG_FILE

CONFIG = """\
# appstream-export: what is read, and where it is kept. Fill in [[accounts]] or [organization], then:
#   appstream-export doctor   # what would stop a run, with each fix
#   appstream-export plan     # what a run would ask, and what that costs
#   appstream-export run
# Lines with # show a key and its default, or an example where it has none.

warehouse = "warehouse"              # folder, relative to this file, or s3://bucket/prefix
regions = ["us-east-1"]              # wildcards allowed: ["us-east-1", "eu-*"]; "auto": wherever AWS has the service
# account_labels_file = "accounts.csv"     # labels of accounts, such as team and cost centre; account_id is text

# prices.csv beside this file is empty: AWS tells no price to who may only list. Fill it in from the pricing page of
# AppStream 2.0, or from your contract: one line per region ("*": all), instance_type and platform, valid from a date.

# One block per account. Without role_arn and profile, boto3's own credentials must belong to the account.
# [[accounts]]
# id = "111122223333"
# name = "finance-prod"              # optional: shown beside the id
# role_arn = "arn:aws:iam::111122223333:role/AppStreamExportReader"    # iam/reader-*.json: its policies
# external_id = "env:EXTERNAL_ID"    # where the role's trust policy asks for one; env: reads a variable
# profile = "finance"                # credentials to start from; default: boto3's own chain
# regions = ["eu-west-1"]            # instead of the regions above

# Instead of [[accounts]], or beside it: every account of the organization. iam/reader-stackset.json makes the role in
# each; deploy it once, from the management account or a delegated administrator (r-xxxx: the root's id, or a unit's):
#   aws cloudformation create-stack-set --stack-set-name appstream-export-reader \\
#     --template-body file://iam/reader-stackset.json --capabilities CAPABILITY_NAMED_IAM \\
#     --permission-model SERVICE_MANAGED --auto-deployment Enabled=true,RetainStacksOnAccountRemoval=false \\
#     --parameters ParameterKey=HubAccountId,ParameterValue=999988887777 \\
#       ParameterKey=HubRoleArn,ParameterValue=arn:aws:iam::999988887777:role/appstream-export
#   aws cloudformation create-stack-instances --stack-set-name appstream-export-reader \\
#     --deployment-targets OrganizationalUnitIds=r-xxxx --regions us-east-1
# What the export itself starts with needs iam/hub-policy.json: roles of its organization, and in a statement of their
# own the roles of accounts outside; fill that in or take it out. StackSets leave the management account out: exclude
# it, or list it above with a role or profile of its own.
# [organization]
# role_name = "AppStreamExportReader"    # the role in each account
# external_id = "env:EXTERNAL_ID"
# admin_role_arn = "arn:aws:iam::999988887777:role/OrganizationReader"    # may list the accounts
# admin_profile = "management"
# include_ous = []
# exclude_ous = []
# include_accounts = []
# exclude_accounts = []

[aws]
# endpoint_url = "http://127.0.0.1:4599"    # an emulator; a loopback address keeps every call on this machine
# allow_http = false                 # true: endpoints beyond this machine without TLS; the network reads along
# ca_bundle = "/etc/ssl/corporate.pem"
# session_policy = false             # narrow each role's session to the operations that are asked
# session_duration_s = 3600                   # how long a role's session lasts
# regional_session_tokens = false    # true: session tokens that others obtained are of regional STS endpoints

[extract]
# workers = 32                       # scopes asked at once
# max_attempts = 8                   # per page, retries included
# page_size = 50                     # default: AWS's own
# names = []                         # only these items
# max_items = 1000                   # per scope; default: no limit
# max_failed_ratio = 0.0             # failed / (ok + failed) scopes above which `run` ends with 3
# task_timeout_s = 300.0             # for one scope
# run_timeout_s = 3600.0             # for all of them
# use_documented_client_api = false                 # the slow way, without botocore's undocumented hooks

[lake]
# max_drop_percent = 50                 # a larger drop in items is blocked without --accept-drop
# file_mode = "0600"                 # or 0640, 0644, 0660, 0664
# catalog_root = "/data/warehouse"   # where readers of the catalog see the warehouse, if elsewhere
# freshness_interval = "1h"              # how often a snapshot is due: m, h or d

# [lake.retention]                   # what `expire` leaves: the last snapshot of each hour, day and month
# hourly_days = 7                    # for so many days
# daily_days = 90
# monthly_months = 24                # for so many months

# [lake.s3]                          # how the bucket of s3://bucket/prefix is reached; default: as boto3 would
# endpoint_url = "https://s3.example.com"
# allow_http = false                 # true: without TLS beyond this machine; the network reads along
# region = "eu-west-1"
# profile = "warehouse"
# access_key_id = "env:LAKE_ACCESS_KEY_ID"    # keys of an endpoint of your own, instead of a profile; env: alone
# secret_access_key = "env:LAKE_SECRET_ACCESS_KEY"
# kms_key_id = "alias/warehouse"     # encrypt every object with this key
# ca_bundle = "/etc/ssl/corporate.pem"

[feeds]
# publish = true                     # with each run; else only with: appstream-export feeds publish
# report = true                      # report.html with each run; else only with: appstream-export report
# prices = "prices.csv"              # what an hour of each instance type costs; without it no mart tells cost
# account_labels = ["team"]          # labels of accounts.csv that become columns of feeds
# csv = false                        # every feed as CSV too
# file_mode = "0640"                 # of feeds: others read them
# keep_generations = 24              # published ones that stay for readers at work

[dagster]
# cron = "0 * * * *"                 # when the schedule runs; without it, it is there and off
# cron_job = "snapshot"              # what it starts: or snapshot_sharded, the same run by several processes
# timezone = "UTC"                   # of both crons
# maintenance_cron = "30 3 * * 0"    # expire, gc and verify; without it, only by hand
# owners = ["team:appstream-export"]    # of every asset: addresses and team:NAME
# dashboard_url = "https://bi.example.com/d/1"    # shown behind the feeds that it reads
# alert_webhook = "env:ALERT_WEBHOOK"    # told of red runs, as JSON; env: reads a variable
# keep_runs_days = 30                # what the job prune_runs leaves
# shards = 4                         # processes that share the sweep of snapshot_sharded, at most 16
# executor = "multiprocess"          # who runs them: or in_process, dask, celery, kubernetes
# executor_config = { max_concurrent = 4 }    # the executor's own
"""
POLICY, TRUST, STACK_SET = "iam/reader-policy.json", "iam/reader-trust.json", "iam/reader-stackset.json"
HUB_POLICY, HUB_TRUST = "iam/hub-policy.json", "iam/hub-trust.json"
ACCOUNTS, PRICES = "accounts.csv", "prices.csv"
ROLE_NAME = "AppStreamExportReader"
_ACCOUNTS = "account_id,name,team,cost_centre\n111122223333,example-account,example-team,0000\n"  # AWS's own example id
_PRICES = "region,instance_type,platform,usd_per_hour,disk_usd_per_gb_month,valid_from\n"


PARTITIONS: Mapping[str, str] = {"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}
"""Partitions of AWS that accounts may be in, and a region of each."""
_HUB_ACCOUNT, _OUTSIDE_ACCOUNT = "ACCOUNT_THAT_RUNS_THE_EXPORT", "ACCOUNT_OUTSIDE_THE_ORGANIZATION"


def render_scaffold_files(partition: str = "aws") -> Mapping[str, str]:
    """Render every file, by its name, for accounts of a partition."""
    allowed = build_iam_policy(list_member_operations(load_contracts()))
    outside = f"arn:{partition}:iam::{_OUTSIDE_ACCOUNT}:role/{ROLE_NAME}"
    return {
        CONFIG_FILE: CONFIG.replace("arn:aws:", f"arn:{partition}:").replace("us-east-1", PARTITIONS[partition]),
        ACCOUNTS: _ACCOUNTS,
        PRICES: _PRICES,
        POLICY: _render_json(allowed),
        TRUST: _render_json(_build_trust_policy(partition)),
        STACK_SET: _render_json(_build_stack_set_template(allowed)),
        HUB_POLICY: _render_json(build_control_plane_policy(ROLE_NAME, partition, outside_roles=[outside])),
        HUB_TRUST: _render_json(_build_hub_trust_policy(partition)),
    }


def write_scaffold_files(folder: Path, partition: str = "aws") -> Iterator[tuple[str, bool]]:
    """Write the files that are missing; yield each file's name, and whether it was written (else it was there).

    This user alone may read and write them: the settings may come to hold an external id or a webhook.
    """
    for name, text in render_scaffold_files(partition).items():
        place = folder / name
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with open(place, "x", encoding="utf-8", opener=_create_private_file) as file:
                file.write(text)
            yield str(place), True
        except FileExistsError:
            yield str(place), False
        except OSError as error:
            raise ConfigurationError(
                f"{place}: {error.strerror}", fix="choose a folder that can be written: --dir"
            ) from error


def _create_private_file(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _build_trust_policy(partition: str) -> dict[str, Any]:
    """Build the trust policy for an account to be filled in. AWS refuses the policy until it is."""
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:{partition}:iam::{_HUB_ACCOUNT}:root"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": "EXTERNAL_ID_OR_DROP_THIS_CONDITION"}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def _build_hub_trust_policy(partition: str) -> dict[str, Any]:
    """Build the trust policy of the hub: for what runs on machines or in containers that have the role.

    ECS says for which account it assumes a role, so it does that for no other one; EC2 says nothing of the kind.
    """
    machines = "ec2.amazonaws.com.cn" if partition == "aws-cn" else "ec2.amazonaws.com"
    own = {
        "StringEquals": {"aws:SourceAccount": _HUB_ACCOUNT},
        "ArnLike": {"aws:SourceArn": f"arn:{partition}:ecs:*:{_HUB_ACCOUNT}:*"},
    }
    statements = [
        {"Effect": "Allow", "Principal": {"Service": machines}, "Action": "sts:AssumeRole"},
        {
            "Effect": "Allow",
            "Principal": {"Service": "ecs-tasks.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": own,
        },
    ]
    return {"Version": "2012-10-17", "Statement": statements}


def _build_stack_set_template(policy: Mapping[str, Any]) -> dict[str, Any]:
    """Build the member role as a CloudFormation template, for one account or a whole organization."""
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "The role through which appstream-export reads this account.",
        "Parameters": _build_template_parameters(),
        "Conditions": {
            "HasExternalId": {"Fn::Not": [{"Fn::Equals": [{"Ref": "ExternalId"}, ""]}]},
            "HasHubRole": {"Fn::Not": [{"Fn::Equals": [{"Ref": "HubRoleArn"}, ""]}]},
            "IsTrustLimited": {"Fn::Or": [{"Condition": "HasExternalId"}, {"Condition": "HasHubRole"}]},
        },
        "Resources": {"Reader": {"Type": "AWS::IAM::Role", "Properties": _build_template_role(policy)}},
        "Outputs": {"RoleArn": {"Description": "role_arn", "Value": {"Fn::GetAtt": ["Reader", "Arn"]}}},
    }


def _build_template_parameters() -> dict[str, Any]:
    return {
        "HubAccountId": {
            "Type": "String",
            "AllowedPattern": "^[0-9]{12}$",
            "Description": "Account in which the export runs, or that assumes the roles for it.",
        },
        "HubRoleArn": {
            "Type": "String",
            "Default": "",
            "AllowedPattern": "^(arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]{1,512})?$",
            "Description": "Role that the export starts with; empty: whatever that account lets assume roles.",
        },
        "RoleName": {
            "Type": "String",
            "Default": ROLE_NAME,
            "AllowedPattern": "^[A-Za-z0-9_+=,.@-]{1,64}$",
            "Description": "role_name of [organization], or the name in role_arn of [[accounts]].",
        },
        "ExternalId": {
            "Type": "String",
            "Default": "",
            "NoEcho": True,
            "Description": "external_id of the settings; empty where they have none.",
        },
    }


def _build_template_role(policy: Mapping[str, Any]) -> dict[str, Any]:
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": {"Fn::Sub": "arn:${AWS::Partition}:iam::${HubAccountId}:root"}},
        "Action": "sts:AssumeRole",
        "Condition": _build_template_if(
            "IsTrustLimited",
            {
                "StringEquals": _build_template_if("HasExternalId", {"sts:ExternalId": {"Ref": "ExternalId"}}),
                # Not as the principal: the role may then be made again, under the same Arn.
                "ArnEquals": _build_template_if("HasHubRole", {"aws:PrincipalArn": {"Ref": "HubRoleArn"}}),
            },
        ),
    }
    return {
        "RoleName": {"Ref": "RoleName"},
        "Description": "Lets appstream-export list AppStream image builders, and nothing else.",
        "MaxSessionDuration": 3600,
        "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
        "Policies": [{"PolicyName": "appstream-export", "PolicyDocument": policy}],
    }


def _build_template_if(condition: str, value: Mapping[str, Any]) -> dict[str, Any]:
    return {"Fn::If": [condition, value, {"Ref": "AWS::NoValue"}]}


def _render_json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2) + "\n"
