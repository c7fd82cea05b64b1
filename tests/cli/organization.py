"""Settings of an organization beside its AWS, for commands that are tried on it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from appstream_export.emulator import Emulator, make_image_builder

HUB, PROD, DEV, LAB = "123456789012", "111122223333", "444455556666", "777788889999"
NAMES = {HUB: "management", PROD: "prod", DEV: "dev", LAB: "lab"}
EU, US = "eu-south-1", "us-east-1"
LISTS = f"{HUB}/{US}"
"""The scope of what is asked once: the organization's accounts, and AWS's regions."""


def found(aws: Emulator, builders: int = 2, regions: Sequence[str] = (EU, US)) -> None:
    """An organization of four accounts, each with some builders in each region."""
    aws.create_organization(NAMES)
    for account_id in NAMES:
        for region in regions:
            scope = f"{account_id}/{region}"
            aws.put(scope, *(make_image_builder(f"b-{n}", scope=scope) for n in range(builders)))


def of_accounts(aws: Emulator, folder: Path, names: Mapping[str, str] = NAMES, more: str = "") -> Path:
    """Write settings that list the accounts."""
    accounts = "".join(
        f'[[accounts]]\nid = "{a}"\nname = "{name}"\nrole_arn = "arn:aws:iam::{a}:role/ops/reader"\n'
        for a, name in names.items()
    )
    return write(aws, folder, f"regions = {json.dumps([EU, US])}\n{more}", accounts)


def of_organization(aws: Emulator, folder: Path, top: str = f'regions = ["{EU}"]\n') -> Path:
    """Write settings that leave the accounts to the organization."""
    return write(aws, folder, top, '[organization]\nrole_name = "ops/reader"\n')


def write(aws: Emulator, folder: Path, top: str, sections: str) -> Path:
    """Write settings that ask this AWS."""
    file = folder / "appstream-export.toml"
    asking = f'[aws]\nendpoint_url = "{aws.endpoint_url}"\n[extract]\nmax_attempts = 2\nworkers = 4\n'
    file.write_text(f"{top}feeds.publish = false\nfeeds.report = false\n{asking}{sections}")
    return file
