"""What every test stands on: no AWS settings of the machine, and UTC nowhere assumed."""

import gc
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from appstream_export.emulator import Emulator
from appstream_export.extract.aws import request_template
from appstream_export.run import publishing
from tests.catalogs import begin_with_template
from tests.export import Export

if sys.dont_write_bytecode:  # then each of the processes that tests start would compile Dagster, moto, ... for itself
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.pycache_prefix = str(Path(__file__).parents[1] / ".pytest_cache" / "bytecode")
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix
    sys.dont_write_bytecode = False


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Keep what was collected out of the garbage collector's rounds: it stays to the end."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_ambient_aws(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Credentials, profiles and endpoints of this machine must not leak into a test, nor a test reach real AWS."""
    for name in [n for n in os.environ if n.startswith(("AWS_", "APPSTREAM_EXPORT_"))]:
        if name != "AWS_CA_BUNDLE":
            monkeypatch.delenv(name)
    nowhere = str(tmp_path_factory.getbasetemp() / "no-such-file")
    monkeypatch.setenv("AWS_CONFIG_FILE", nowhere)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", nowhere)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(autouse=True)
def our_log_as_it_was() -> Iterator[None]:
    """A command run within the tests' process points our log to its stderr, and Dagster may set the level of all logs.

    Neither lasts beyond its test.
    """
    log, root = logging.getLogger("appstream_export"), logging.getLogger()
    handlers, propagate, levels = [*log.handlers], log.propagate, {each: each.level for each in (log, root)}
    yield
    log.handlers, log.propagate = handlers, propagate
    for each, level in levels.items():
        each.setLevel(level)  # clears what its children keep of their level, which setting the attribute would not


@pytest.fixture(autouse=True)
def catalogs_begin_with_a_template(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not about catalogs need not wait for them; tests that are name a fixture of this name."""
    begin_with_template(monkeypatch)


@pytest.fixture
def without_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs leave out sql/checks, a third of their time: for files of tests in which other files' checks say nothing."""
    monkeypatch.setattr(publishing, "_run_checks", lambda *_: ((), None))


@pytest.fixture(autouse=True)
def no_file_is_synced(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test's files outlive a power cut, and every fsync waits for the disk; tests of the order name this fixture."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture(params=["templates", pytest.param("clients", marks=pytest.mark.slow)])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls are made with templates of requests, as usual; then by botocore's clients, as without a template."""
    if request.param == "clients":
        monkeypatch.setattr(request_template, "PROTOCOLS", ())


@pytest.fixture
def aws() -> Iterator[Emulator]:
    """An empty AWS on 127.0.0.1."""
    with Emulator() as running:
        yield running


@pytest.fixture
def export(aws: Emulator, tmp_path: Path) -> Export:
    """An export of two accounts and two regions of that AWS, into an empty warehouse."""
    return Export(aws, tmp_path)
