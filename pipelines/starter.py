"""The files that `init` writes: a commented configuration and IAM policies that just suffice; overwrites nothing."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipelines.contracts import load_all
from pipelines.contracts.permissions import member_operations, policy
from pipelines.errors import SetupError
from pipelines.settings import DEFAULT_FILE as CONFIG_FILE

CONFIG = """\
# appstream-export: what is read, and where it is kept. Fill in [[accounts]], then: appstream-export run
# Lines with # show a key and its default, or an example where it has none.

warehouse = "warehouse"              # folder, relative to this file, or s3://bucket/prefix
regions = ["us-east-1"]              # wildcards allowed: ["us-east-1", "eu-*"]; "auto": wherever AWS has the service
# accounts_file = "accounts.csv"     # labels of accounts, such as team and cost centre

# One block per account. Without role_arn and profile, boto3's own credentials must belong to the account.
# [[accounts]]
# id = "111122223333"
# name = "finance-prod"              # optional: shown beside the id
# role_arn = "arn:aws:iam::111122223333:role/AppStreamExportReader"    # iam/reader-*.json: its policies
# external_id = "env:EXTERNAL_ID"    # where the role's trust policy asks for one; env: reads a variable
# profile = "finance"                # credentials to start from; default: boto3's own chain
# regions = ["eu-west-1"]            # instead of the regions above

# Instead of [[accounts]], or beside it: every account of the organization.
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
# ca_bundle = "/etc/ssl/corporate.pem"
# session_policy = false             # narrow each role's session to the operations that are asked
# session_s = 3600                   # how long a role's session lasts

[extract]
# workers = 32                       # scopes asked at once
# max_attempts = 8                   # per page, retries included
# page_size = 50                     # default: AWS's own
# names = []                         # only these items
# max_items = 1000                   # per scope; default: no limit
# max_failed_ratio = 0.0             # failed / (ok + failed) scopes above which `run` ends with 3
# task_timeout_s = 300.0             # for one scope
# run_timeout_s = 3600.0             # for all of them
# compatible = false                 # the slow way, without botocore's undocumented hooks

[lake]
# guard_percent = 50                 # a larger fall in items is not believed without --force
# file_mode = "0600"                 # or 0640, 0644, 0660, 0664
# catalog_root = "/data/warehouse"   # where readers of the catalog see the warehouse, if elsewhere
# expected_every = "1h"              # how often a snapshot is due: m, h or d

# [lake.retention]                   # what `thin` leaves: the last snapshot of each hour, day and month
# hourly_days = 7                    # for so many days
# daily_days = 90
# monthly_months = 24                # for so many months

# [lake.s3]                          # how the bucket of s3://bucket/prefix is reached; default: as boto3 would
# endpoint_url = "https://s3.example.com"
# region = "eu-west-1"
# profile = "warehouse"
# kms_key_id = "alias/warehouse"     # encrypt every object with this key
# ca_bundle = "/etc/ssl/corporate.pem"

[feeds]
# publish = true                     # with each run; else only with: appstream-export feeds publish
# prices = "prices.csv"              # what an hour of each instance type costs; without it no mart tells cost
# account_labels = ["team"]          # labels of accounts.csv that become columns of feeds
# csv = false                        # every feed as CSV too
# file_mode = "0640"                 # of feeds: others read them
# keep_generations = 24              # published ones that stay for readers at work
"""
POLICY, TRUST = "iam/reader-policy.json", "iam/reader-trust.json"


def files() -> Mapping[str, str]:
    """Every file by its name."""
    allowed = policy(member_operations(load_all()))
    return {CONFIG_FILE: CONFIG, POLICY: _json(allowed), TRUST: _json(_trust())}


def write(folder: Path) -> Iterator[tuple[str, bool]]:
    """Write what is missing; each file's name, and whether it was written (else it was there and stays)."""
    for name, text in files().items():
        place = folder / name
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("x", encoding="utf-8") as file:
                file.write(text)
            yield str(place), True
        except FileExistsError:
            yield str(place), False
        except OSError as error:
            raise SetupError(f"{place}: {error.strerror}; choose a folder that can be written: --dir") from error


def _trust() -> dict[str, Any]:
    """Who may take the role: an account to be filled in. AWS refuses the policy until it is."""
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::ACCOUNT_THAT_RUNS_THE_EXPORT:root"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": "EXTERNAL_ID_OR_DROP_THIS_CONDITION"}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2) + "\n"
