"""A Dagster of the test's own, and an export whose configuration is a file that the environment names."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from tests.defs.exports import as_toml
from tests.export import Export

LOCAL = "telemetry: {enabled: false}\n"


@pytest.fixture
def configured(export: Export, monkeypatch: pytest.MonkeyPatch) -> Export:
    """The export's configuration as a file, named in the environment."""
    file = export.folder / "appstream-export.toml"
    file.write_text(as_toml(export))
    monkeypatch.setenv("APPSTREAM_EXPORT_CONFIG", str(file))
    return export


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A DAGSTER_HOME."""
    made = tmp_path / "dagster"
    made.mkdir()
    (made / "dagster.yaml").write_text(LOCAL)
    return made


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster in memory: SQLite files cost a new connection for each event."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def stored_instance(home: Path) -> Iterator[dg.DagsterInstance]:
    """The Dagster of that home, for what other processes or files are about."""
    with dg.DagsterInstance.from_config(str(home)) as made:
        yield made
