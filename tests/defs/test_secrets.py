"""No secret is in any byte of Dagster's home, with every logger at DEBUG and captured into its events."""

from pathlib import Path

import dagster as dg
import pytest

from appstream_export.emulator import Emulator
from tests.defs.exports import execute
from tests.run.test_secrets import OWN, canaries_in, faulty, given_by_sts, keys

__all__ = ["keys"]
HOOK = "https://hooks.example.com/canary-of-the-webhook"
LOUD = """
telemetry: {enabled: false}
python_logs: {python_log_level: DEBUG, managed_python_loggers: [root, botocore, urllib3, appstream_export]}
"""


@pytest.mark.slow
def test_no_secret_is_in_any_byte_of_dagsters_home(
    aws: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    faulty(aws, tmp_path)
    file = tmp_path / "config" / "appstream-export.toml"
    file.write_text(f'{file.read_text()}[dagster]\nalert_webhook = "{HOOK}"\n')
    monkeypatch.setenv("APPSTREAM_EXPORT_CONFIG", str(file))
    (home / "dagster.yaml").write_text(LOUD)
    with dg.DagsterInstance.from_config(str(home)) as instance, execute(instance) as red:
        assert not red.success
        told = repr([entry.to_json() for entry in instance.all_logs(red.run_id)])
        assert "denied" in told
    secrets = {*OWN, *given_by_sts(), HOOK}
    kept = {str(file): content for file in home.rglob("*") if file.is_file() and (content := file.read_bytes())}

    assert canaries_in(told, secrets) == []
    assert len(kept) > 3
    assert {name: hit for name, content in kept.items() if (hit := canaries_in(content, secrets))} == {}
