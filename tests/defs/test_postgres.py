"""The settings of deploy/ on a real Postgres: the same job, its runs and events in a server on this machine."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml

from tests.defs.exports import execute
from tests.defs.servers import ROOT, free_port
from tests.export import ACCOUNTS, Export
from tests.factories import image_builder

pytestmark = pytest.mark.slow

PASSWORD = "canary-of-postgres"


def tools() -> Path:
    """Where Postgres's programs are; Debian keeps them off the PATH."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    on_path = shutil.which("initdb")
    places = [*reversed(debian), *([Path(on_path).parent] if on_path else [])]
    found = next((place for place in places if (place / "initdb").exists() and (place / "postgres").exists()), None)
    if found is None:
        pytest.skip("needs a Postgres server: apt-get install postgresql")
    return found


@pytest.fixture(scope="module")
def postgres() -> Iterator[int]:
    """A server of its own on 127.0.0.1, and its port. It refuses root, so root runs it as whom Debian made for it."""
    place, port = tools(), free_port()
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    secret = folder / "password"
    secret.write_text(PASSWORD)
    user = None
    if os.getuid() == 0:
        user = "postgres"
        try:
            owner = pwd.getpwnam(user)
        except KeyError:
            pytest.skip("Postgres refuses root, and there is no user postgres")
        for path in (folder, secret):
            os.chown(path, owner.pw_uid, owner.pw_gid)

    def call(*command: str) -> None:
        subprocess.run([place / command[0], *command[1:]], check=True, capture_output=True, user=user, cwd=folder)

    files, log = str(folder / "files"), str(folder / "log")
    call("initdb", "-D", files, "-U", "dagster", "-A", "scram-sha-256", f"--pwfile={secret}", "--no-sync")
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} -c fsync=off"
    call("pg_ctl", "-D", files, "-l", log, "-w", "-o", options, "start")
    yield port
    call("pg_ctl", "-D", files, "-m", "immediate", "-w", "stop")
    shutil.rmtree(folder)


@pytest.mark.long
def test_runs_and_events_live_in_postgres_and_a_red_run_is_mended_there(
    configured: Export, postgres: int, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = yaml.safe_load((ROOT / "deploy" / "dagster.yaml").read_text())
    shipped["storage"]["postgres"]["postgres_db"]["port"] = postgres
    (home / "dagster.yaml").write_text(yaml.safe_dump(shipped))
    named = {"HOST": "127.0.0.1", "USER": "dagster", "PASSWORD": PASSWORD, "DB": "postgres"}
    for name, value in named.items():
        monkeypatch.setenv(f"DAGSTER_POSTGRES_{name}", value)
    scope = f"{ACCOUNTS[0]}/eu-west-1"
    configured.aws.put(scope, image_builder("a"))
    configured.aws.fail(scope, "deny")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        with execute(instance) as red:
            assert not red.success
        configured.aws.heal()
        configured.aws.reset_calls()
        with execute(instance, dg.ReexecutionOptions.from_failure(red.run_id, instance)) as green:
            assert green.success
        landed = instance.get_latest_materialization_event(dg.AssetKey("image_builders"))

    assert configured.calls() == [scope]
    assert landed is not None
    assert landed.run_id == green.run_id
    assert not list(home.rglob("*.db")), "nothing is kept in SQLite"
    kept = [file for file in home.rglob("*") if file.is_file()]
    assert [file for file in kept if PASSWORD.encode() in file.read_bytes()] == []


def test_both_files_differ_in_their_storage_alone() -> None:
    local, shared = (yaml.safe_load((ROOT / name).read_text()) for name in ("dagster.yaml", "deploy/dagster.yaml"))

    assert shared.pop("storage")
    assert local == shared
