"""An emulated AWS of one account and two regions, with a builder in each, and a folder with settings to export them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appstream_export.emulator import Emulator, make_image_builder

GOOD, BAD = "111122223333/eu-west-1", "111122223333/us-east-1"
SETTINGS = """
regions = ["eu-west-1", "us-east-1"]
accounts = [{{ id = "111122223333", role_arn = "arn:aws:iam::111122223333:role/reader" }}]
aws.endpoint_url = "{url}"
extract.max_attempts = 1
feeds = {{ publish = false, report = false }}
"""


@contextmanager
def serve_two_scopes() -> Iterator[Emulator]:
    """Serve them until the block ends."""
    with Emulator() as running:
        for scope in (GOOD, BAD):
            running.put(scope, make_image_builder("a", scope=scope))
        yield running


@contextmanager
def enter_folder(folder: Path, aws: Emulator, monkeypatch: pytest.MonkeyPatch, more: str = "") -> Iterator[Path]:
    """Work in the folder, with these settings and more; remove AWS's faults at the end."""
    (folder / "appstream-export.toml").write_text(SETTINGS.format(url=aws.endpoint_url) + more)
    monkeypatch.chdir(folder)
    yield folder
    aws.heal()
