"""The files that `init` writes: commented settings, CSV files to fill in, IAM policies, `dagster.yaml`."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from appstream_export.contracts import (
    build_control_plane_policy,
    build_iam_policy,
    list_member_actions,
    load_contract_set,
)
from appstream_export.errors import ConfigurationError
from appstream_export.resources import read_dagster_template
from appstream_export.settings_file import DEFAULT_FILE as CONFIG_FILE
from appstream_export.settings_schema import SCHEMA_FILE, build_settings_schema

CONFIG = """\
#:schema ./appstream-export.schema.json
# Settings of appstream-export. Fill in [[accounts]] or [organization] below, then run:
#   appstream-export doctor   # find what would stop a run, with the fix of each problem
#   appstream-export plan     # show which requests a run would send, and their cost
#   appstream-export run
# A key that is commented out shows its default, or an example if it has no default.

warehouse = "warehouse"              # a folder, relative to this file, or s3://bucket/prefix
regions = ["us-east-1"]              # wildcards: ["us-east-1", "eu-*"]; "auto": all regions with the service
# account_labels_file = "accounts.csv"     # labels of accounts, such as team and cost centre; account_id is text

# Prices: the file prices.csv beside this one is empty, because AWS's API reports no prices. Fill it in from the pricing
# page of AppStream 2.0, or from your contract. Each line has a region ("*": all), an instance_type, a platform, and the
# date from which the price is valid.

# One block per account. Without role_arn and profile, boto3 must find credentials of this account.
# [[accounts]]
# id = "111122223333"
# name = "finance-prod"              # optional: shown beside the id
# role_arn = "arn:aws:iam::111122223333:role/AppStreamExportReader"    # its policies are in iam/reader-*.json
# external_id = "env:EXTERNAL_ID"    # if the role's trust policy requires one; env: reads an environment variable
# profile = "finance"                # credentials to start from; default: those that boto3 finds
# regions = ["eu-west-1"]            # instead of the regions above

# To read all accounts of an organization, use [organization], alone or together with [[accounts]]. The StackSet
# iam/reader-stackset.json creates the role in each account. Deploy it once, from the management account or from a
# delegated administrator; r-xxxx is the id of the organization's root or of an organizational unit:
#   aws cloudformation create-stack-set --stack-set-name appstream-export-reader \\
#     --template-body file://iam/reader-stackset.json --capabilities CAPABILITY_NAMED_IAM \\
#     --permission-model SERVICE_MANAGED --auto-deployment Enabled=true,RetainStacksOnAccountRemoval=false \\
#     --parameters ParameterKey=HubAccountId,ParameterValue=999988887777 \\
#       ParameterKey=HubRoleArn,ParameterValue=arn:aws:iam::999988887777:role/appstream-export
#   aws cloudformation create-stack-instances --stack-set-name appstream-export-reader \\
#     --deployment-targets OrganizationalUnitIds=r-xxxx --regions us-east-1
# The role that runs the export needs the policy iam/hub-policy.json. One statement allows roles of the organization; a
# second one allows roles of accounts outside it: fill that one in, or remove it. A StackSet skips the management
# account: exclude that account below, or add an [[accounts]] block for it with a role or a profile.
# [organization]
# role_name = "AppStreamExportReader"    # the role in each account
# external_id = "env:EXTERNAL_ID"
# admin_role_arn = "arn:aws:iam::999988887777:role/OrganizationReader"    # a role that may list the accounts
# admin_profile = "management"       # credentials to start from; default: those that boto3 finds
# include_ous = []                   # units by id or by path of names; default: all
# exclude_ous = []
# include_accounts = []
# exclude_accounts = []

[aws]
# endpoint_url = "http://127.0.0.1:4599"    # an emulator; with a loopback address, no request leaves this machine
# allow_http = false                 # true: permit other hosts without TLS; the network can then read all data
# ca_bundle = "/etc/ssl/corporate.pem"
# session_policy = false             # true: restrict each role's session to the operations of the export
# session_duration_s = 3600          # duration of a role's session
# regional_session_tokens = false    # true: session tokens from outside were issued by regional STS endpoints

[extract]
# workers = 64                       # scopes that are read concurrently
# max_attempts = 8                   # requests per page, retries included
# page_size = 50                     # default: that of AWS
# names = []                         # read only these items
# max_items = 1000                   # per scope; default: no limit
# max_failed_ratio = 0.0             # `run` ends with exit code 3 if failed / (ok + failed) scopes is larger
# task_timeout_s = 300.0             # for one scope
# run_timeout_s = 3600.0             # for all scopes
# use_documented_client_api = false  # true: slower, but uses only documented parts of botocore

[contracts]
# folder = "contracts"               # contracts of your own, one <resource>.toml each: see contracts propose
# resources = ["image_builders"]     # what is exported; default: image_builders, and every contract of folder
# cadence = { image_builders = "1h" }    # request a resource only so often: a number with m, h or d

[sql]
# folder = "sql"                     # SQL of your own, in views/, marts/, feeds/, checks/ and queries/

[lake]
# max_drop_percent = 50              # a larger drop in items is blocked, unless `run` has --accept-drop
# warn_drop_percent = 20             # a larger drop in a table's rows fails the check rows_fell, a warning
# file_mode = "0600"                 # or 0640, 0644, 0660, 0664
# catalog_root = "/data/warehouse"   # the path of the warehouse for readers of the catalog, if it differs
# freshness_interval = "1h"          # how often a snapshot is due: a number with m, h or d

# [lake.retention]                   # how long `expire` retains snapshots
# hourly_days = 7                    # days for which the last snapshot of each hour is retained
# daily_days = 90                    # days for which the last snapshot of each day is retained
# monthly_months = 24                # months for which the last snapshot of each month is retained

# [lake.s3]                          # connection to the bucket of s3://bucket/prefix; default: as boto3 finds it
# endpoint_url = "https://s3.example.com"    # an S3 service other than AWS
# allow_http = false                 # true: permit other hosts without TLS; the network can then read all data
# region = "eu-west-1"
# profile = "warehouse"
# access_key_id = "env:LAKE_ACCESS_KEY_ID"    # instead of a profile; only names of environment variables
# secret_access_key = "env:LAKE_SECRET_ACCESS_KEY"
# kms_key_id = "alias/warehouse"     # encrypt every object with this key
# ca_bundle = "/etc/ssl/corporate.pem"

[feeds]
# publish = true                     # false: runs do not publish feeds, only `feeds publish` does
# report = true                      # false: runs do not write report.html, only the command `report` does
# prices = "prices.csv"              # hourly prices of instance types; without them, marts show no cost
# platform_support = "platforms.csv" # end of support of platforms, in place of the list that we ship
# account_labels = ["team"]          # labels of account_labels_file that become columns of feeds
# csv = false                        # true: also write each feed as CSV
# xlsx = false                       # true: also write each feed of v2 for Excel; needs the extra excel
# tags = ["owner"]                   # tags that become columns, if the resource tags is on
# file_mode = "0640"                 # of feeds, which other users read
# keep_generations = 24              # published generations that are retained for current readers
versions = ["v2"]                    # the star; add "v1" for dashboards of 0.3; feeds of a version left out are deleted
# history_days = 400                 # days of feeds of days, spans and changes; the whole history if not set

[metrics]
# file = "/var/lib/node_exporter/appstream.prom"    # figures of each run, as OpenMetrics text; replaced whole

[heartbeat]
# url = "env:HEARTBEAT_URL"          # each run requests URL/start, then URL, or URL/fail if its exit code is not 0

# To run on a schedule, set cron below and start Dagster in this folder:
#   export DAGSTER_HOME=$PWD/dagster APPSTREAM_EXPORT_CONFIG=$PWD/appstream-export.toml
#   dagster dev -m appstream_export.definitions    # needs the extra ui
[dagster]
# cron = "0 * * * *"                 # starts cron_job; without it, the schedule exists but is off
# cron_job = "snapshot"              # or "snapshot_sharded", the same run in several processes
# timezone = "UTC"                   # of cron and maintenance_cron
# maintenance_cron = "30 3 * * 0"    # runs expire, gc and verify; without it, they run only manually
# owners = ["team:appstream-export"]    # of all assets: email addresses and team:NAME
# dashboard_url = "https://bi.example.com/d/1"    # the dashboard that reads the feeds, shown after them in the lineage
# alert_webhook = "env:ALERT_WEBHOOK"    # receives a JSON message for each failed run; env: reads a variable
# ui_url = "https://dagster.example.com"    # the webserver, for links in these messages
# on_incomplete = "continue"         # assets downstream run after a red run; or "stop"
# incomplete_severity = "warn"       # of the check `complete` of tables with stale rows; or "error"
# keep_runs_days = 30                # the job prune_runs deletes older runs
# shards = 4                         # processes of snapshot_sharded, at most 16
# executor = "multiprocess"          # runs these processes; or in_process, dask, celery, kubernetes
# executor_config = { max_concurrent = 4 }    # the executor's own configuration
"""
POLICY, TRUST, STACK_SET = "iam/reader-policy.json", "iam/reader-trust.json", "iam/reader-stackset.json"
HUB_POLICY, HUB_TRUST = "iam/hub-policy.json", "iam/hub-trust.json"
ACCOUNTS, PRICES = "accounts.csv", "prices.csv"
DAGSTER = "dagster/dagster.yaml"
ROLE_NAME = "AppStreamExportReader"
_ACCOUNTS = "account_id,name,team,cost_centre\n111122223333,example-account,example-team,0000\n"  # AWS's example id
_PRICES = "region,instance_type,platform,usd_per_hour,disk_usd_per_gb_month,valid_from\n"


PARTITIONS: Mapping[str, str] = {"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}
"""The supported partitions of AWS, each with an example region."""
_HUB_ACCOUNT, _OUTSIDE_ACCOUNT = "ACCOUNT_THAT_RUNS_THE_EXPORT", "ACCOUNT_OUTSIDE_THE_ORGANIZATION"


def render_scaffold_files(partition: str = "aws") -> Mapping[str, str]:
    """Return the content of each file by name, for accounts of a partition."""
    allowed = build_iam_policy(list_member_actions(load_contract_set()))
    outside = f"arn:{partition}:iam::{_OUTSIDE_ACCOUNT}:role/{ROLE_NAME}"
    return {
        CONFIG_FILE: CONFIG.replace("arn:aws:", f"arn:{partition}:").replace("us-east-1", PARTITIONS[partition]),
        SCHEMA_FILE: render_settings_schema(),
        ACCOUNTS: _ACCOUNTS,
        PRICES: _PRICES,
        POLICY: _render_json(allowed),
        TRUST: _render_json(_build_trust_policy(partition)),
        STACK_SET: _render_json(_build_stack_set_template(allowed)),
        HUB_POLICY: _render_json(build_control_plane_policy(ROLE_NAME, partition, outside_roles=[outside])),
        HUB_TRUST: _render_json(_build_hub_trust_policy(partition)),
        DAGSTER: read_dagster_template(),
    }


def render_settings_schema() -> str:
    """Return the JSON schema of the settings file, with the comments of the scaffold as descriptions."""
    return _render_json(build_settings_schema(CONFIG))


def write_scaffold_files(folder: Path, partition: str = "aws") -> Iterator[tuple[str, bool]]:
    """Write the missing files; yield the path of each file, and whether it was written or already existed.

    Only the current user may read and write them, because users may add an external id or a webhook.
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
    """Build the trust policy with placeholders. AWS refuses it until the user replaces them."""
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:{partition}:iam::{_HUB_ACCOUNT}:root"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": "EXTERNAL_ID_OR_DROP_THIS_CONDITION"}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def _build_hub_trust_policy(partition: str) -> dict[str, Any]:
    """Build the trust policy of the hub role, for EC2 instances and ECS tasks.

    ECS sends the account for which it assumes a role, so the policy allows only this account; EC2 sends no account.
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
        "Description": "The role with which appstream-export reads this account.",
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
            "Description": "Account in which the export runs, or whose credentials assume this role for it.",
        },
        "HubRoleArn": {
            "Type": "String",
            "Default": "",
            "AllowedPattern": "^(arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]{1,512})?$",
            "Description": "Role that runs the export; empty: any role of that account that may assume roles.",
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
            "Description": "external_id of the settings; empty if they have none.",
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
                # Not as the principal: AWS would store the role's id, which changes if the role is recreated.
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
