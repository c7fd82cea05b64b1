"""The examples of deploy/ are correct: systemd, cron, Kubernetes, compose and the image's steps."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._utils.schedules import is_valid_cron_string

from appstream_export.cli.main import build_parser
from appstream_export.emulator import Emulator, make_image_builder
from appstream_export.settings import parse_settings

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
is_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount and to change its user")


def accepted(words: list[str]) -> bool:
    """Whether the command line is one of ours."""
    args, extra = build_parser(words[0]).parse_known_args(words)
    return args.call is not None and not extra


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units, with a program that exists here."""
    for file in (DEPLOY / "systemd").iterdir():
        text = re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={shutil.which('true')}", file.read_text())
        (tmp_path / file.name).write_text(text)
    return tmp_path


@needs_systemd
@pytest.mark.parametrize("name", ["appstream-export.service", "appstream-export.timer"])
def test_systemd_accepts_the_units(name: str, units: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", units / name], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@needs_systemd
def test_the_service_may_do_little_beside_its_work(units: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", units / "appstream-export.service"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    level = re.search(r"exposure level for \S+: ([\d.]+) OK", done.stdout)

    assert level, done.stdout + done.stderr
    assert float(level[1]) <= 2.0


def test_the_service_runs_a_command_of_ours() -> None:
    text = (DEPLOY / "systemd" / "appstream-export.service").read_text()
    [command] = re.findall(r"^ExecStart=/usr/local/bin/appstream-export (.*)$", text, re.M)

    assert accepted(shlex.split(command))


def cron_lines() -> Iterator[tuple[str, str, str]]:
    """Times, user and command of each line."""
    for line in (DEPLOY / "cron" / "appstream-export").read_text().splitlines():
        if found := re.fullmatch(r"((?:\S+ ){5})(\S+) (.*)", line) if line[0] in "*0123456789" else None:
            yield found[1].strip(), found[2], found[3]


def test_cron_accepts_the_lines_and_the_lines_run_commands_of_ours() -> None:
    times, users, commands = zip(*cron_lines(), strict=True)
    ours = [shlex.split(words) for line in commands for words in re.findall(r"appstream-export ([^&>]+)", line)]

    assert all(map(is_valid_cron_string, times))
    assert (set(users), len(ours)) == ({"appstream-export"}, 4)
    assert all(map(accepted, ours))


def test_cron_leaves_out_a_run_while_another_is_active_and_passes_on_its_exit_code(tmp_path: Path) -> None:
    program, begun = tmp_path / "appstream-export", tmp_path / "begun"
    program.write_text(f"#!/bin/sh\necho $* >> {begun}\ncat < {tmp_path}/gate\nexit 3\n")
    program.chmod(0o755)
    os.mkfifo(tmp_path / "gate")
    command = next(cron_lines())[2].replace("/var/lib/appstream-export", str(tmp_path))
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    first = subprocess.Popen(["/bin/sh", "-c", command], env=environ)
    with (tmp_path / "gate").open("w"):  # opens once the first has come so far
        second = subprocess.run(
            ["/bin/sh", "-c", command], env=environ, check=False, capture_output=True, text=True, timeout=60
        )

    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert first.wait(60) == 3
    assert begun.read_text() == "run -q --log-format text\n"


def manifests() -> dict[str, dict[str, Any]]:
    return {m["kind"]: m for m in yaml.safe_load_all((DEPLOY / "kubernetes" / "cronjob.yaml").read_text())}


def test_the_job_of_kubernetes_runs_our_command_with_settings_of_ours() -> None:
    found = manifests()
    pod = found["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    settings = parse_settings(
        tomllib.loads(found["ConfigMap"]["data"]["appstream-export.toml"]), Path("/etc/x/appstream-export.toml")
    )

    assert accepted(container["args"][1:])
    assert container["args"][0] == "appstream-export"
    assert settings.warehouse.startswith("s3://")
    assert found["Secret"]["stringData"].keys() == {"HEARTBEAT_URL"}
    assert is_valid_cron_string(found["CronJob"]["spec"]["schedule"])
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert f"USER {pod['securityContext']['runAsUser']}:" in DOCKERFILE


VALIDATE = """
import sys, yaml, kubernetes_validate as k
for manifest in yaml.safe_load_all(open(sys.argv[1])):
    k.validate(manifest, k.latest_version(), strict=True)
    print(manifest["kind"])
"""


@pytest.mark.long
def test_the_schema_of_kubernetes_accepts_the_manifests() -> None:
    file = str(DEPLOY / "kubernetes" / "cronjob.yaml")
    done = subprocess.run(
        ["uv", "run", "-q", "--no-project", "--isolated", "--with", "kubernetes-validate", "python", "-c", VALIDATE,
         file],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout.split()) == (0, [*manifests()]), done.stderr


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_a_container_gets_no_more_than_it_needs(name: str) -> None:
    service = COMPOSE["services"][name]
    writable = [v for v in service["volumes"] if not v.endswith(":ro")]

    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["healthcheck"]["test"]
    assert writable == {"postgres": ["dagster:/var/lib/postgresql/data"], "code": ["warehouse:/data"]}.get(name, [])
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_bases_of_images_are_exact_versions() -> None:
    tags = [*re.findall(r"^ARG PYTHON=(\S+)$", DOCKERFILE, re.M), COMPOSE["services"]["postgres"]["image"]]

    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.M) == ["${PYTHON}"] * 2
    assert [tag for tag in tags if not re.search(r":\d+\.\d+(\.\d+)?-[a-z]", tag)] == []
    assert re.search(r"uv==\d+\.\d+\.\d+", DOCKERFILE)


def build_image(folder: Path) -> None:
    """Do what the Dockerfile's steps do: copy what it copies, run uv, and place the files of the second stage."""
    build = DOCKERFILE.split("\nFROM ")[1]
    app = folder / "app"
    app.mkdir()
    for words in re.findall(r"^COPY (.+)$", build, re.M):
        *sources, target = words.split()
        for source in sources:
            place = app / target if (ROOT / source).is_dir() else app / target / source
            shutil.copytree(ROOT / source, place) if (ROOT / source).is_dir() else shutil.copy(ROOT / source, place)
    [sync] = re.findall(r"^RUN (uv sync .+)$", build, re.M)
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("UV_PROJECT", "VIRTUAL_ENV"))}
    subprocess.run([*shlex.split(sync), "-q", "--python", sys.executable], cwd=app, env=environ, check=True)
    home = folder / "opt" / "dagster"
    home.mkdir(parents=True)
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(DEPLOY / name, home / name)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("image")
    build_image(made)
    return made


def contained(image: Path, data: Path, *words: str, **environ: str) -> "subprocess.Popen[str]":
    """Start a program of the image without capabilities or new privileges, where it can write to `data` alone."""
    home, tmp = data / "dagster", data / "tmp"
    for folder in (home, tmp):
        folder.mkdir(exist_ok=True)
    for file in (image / "opt" / "dagster").iterdir():
        shutil.copy(file, home)
    mounts = f"mount --bind / /mnt && mount -o remount,bind,ro /mnt && mount --bind {data} /mnt{data}"
    mounts += " && mount --rbind /proc /mnt/proc && mount --rbind /dev /mnt/dev"
    limits = "--no-new-privs --bounding-set -all --inh-caps -all"
    command = f"{mounts} && exec chroot /mnt setpriv {limits} env -C {home} {shlex.join(words)}"
    clean = {
        "PATH": f"{image}/app/.venv/bin:{os.environ['PATH']}", "HOME": "/nonexistent", "TMPDIR": str(tmp),
        "DAGSTER_HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1",
        "APPSTREAM_EXPORT_CONFIG": str(data / "appstream-export.toml"),
    }  # fmt: skip
    return subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", command], env=clean | environ, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@is_root
@pytest.mark.long
def test_the_image_runs_and_serves_on_a_read_only_root_and_its_health_check_answers(
    image: Path, tmp_path: Path, aws: Emulator
) -> None:
    scope = "111122223333/eu-west-1"
    aws.put(scope, make_image_builder("a", scope=scope))
    (tmp_path / "appstream-export.toml").write_text(
        f'warehouse = "{tmp_path}/warehouse"\nregions = ["eu-west-1"]\naccounts = [{{ id = "111122223333", '
        f'role_arn = "arn:aws:iam::111122223333:role/reader" }}]\naws.endpoint_url = "{aws.endpoint_url}"\n'
    )
    denied = contained(image, tmp_path, "touch", "/mnt/x").communicate(timeout=60)[1]
    ran = contained(image, tmp_path, "appstream-export", "run", "--log-format", "json")
    out, err = ran.communicate(timeout=300)
    # With SQLite instead of Postgres, whose settings tests/defs/test_postgres.py tries.
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    shutil.copy(tmp_path / "dagster.yaml", image / "opt" / "dagster" / "dagster.yaml")
    port = "34071"
    check = COMPOSE["services"]["webserver"]["healthcheck"]["test"][1:]
    server = contained(
        image, tmp_path, "dagster-webserver", "-m", "appstream_export.definitions", "-h", "127.0.0.1", "-p", port
    )
    try:
        healthy = wait_for_health([word.replace("3000", port) for word in check], image, tmp_path)
    finally:
        server.terminate()
        server.communicate(timeout=60)

    assert "Read-only file system" in denied
    assert (ran.returncode, out) == (0, "")
    assert json.loads(err.splitlines()[-1])["items"] == 1
    assert healthy


def wait_for_health(words: list[str], image: Path, data: Path) -> bool:
    """Whether the health check of compose.yaml passes within its start period and three intervals."""
    until = time.monotonic() + 150
    while time.monotonic() < until:
        check = contained(image, data, *words)
        check.communicate(timeout=60)
        if check.returncode == 0:
            return True
        time.sleep(2)
    return False
