"""The command of a fix is the one of the tool that installed us, and it removes nothing that was installed."""

import json
import shlex
import sysconfig
from collections.abc import Mapping
from pathlib import Path

import pytest

from appstream_export.error_rules import suggest_fix
from appstream_export.installation import format_install_command
from appstream_export.status import Status


def write_environment(place: Path, installer: str, origin: Mapping[str, object] | None = None) -> None:
    """Write what pip or uv leave in an environment beside our package."""
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(place), "platbase": str(place)}))
    info = site / "appstream_export-0.4.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.4\nName: appstream-export\nVersion: 0.4.0\n")
    (info / "INSTALLER").write_text(f"{installer}\n")
    if origin:
        (info / "direct_url.json").write_text(json.dumps(origin))


def write_receipt(place: Path, *requirements: str, exposed: tuple[str, ...] = ("appstream-export",)) -> None:
    """Write uv-receipt.toml as `uv tool install` does."""
    entries = ", ".join(f'{{ name = "{each}", install-path = "/bin/{each}", from = "{each}" }}' for each in exposed)
    lines = ["[tool]", f"requirements = [{', '.join(requirements)}]", f"entrypoints = [{entries}]"]
    (place / "uv-receipt.toml").write_text("\n".join(lines))


def write_pipx_metadata(place: Path, source: str, **main: object) -> None:
    """Write pipx_metadata.json as `pipx install` does, shortened to what counts."""
    package = {"package": "appstream-export", "package_or_url": source, "include_dependencies": False, "pip_args": []}
    document = {"main_package": package | main, "injected_packages": {}, "pipx_metadata_version": "0.12"}
    (place / "pipx_metadata.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("ours", "requirement"),
    [
        ('{ name = "appstream-export" }', "appstream-export[crt]"),
        ('{ name = "appstream-export", extras = ["ui"], specifier = "==0.4.0" }', "appstream-export[ui,crt]==0.4.0"),
        ('{ name = "appstream-export", extras = ["ui", "crt"], directory = "/src/e=x" }', "/src/e=x[ui,crt]"),
        ('{ name = "appstream-export", path = "/d/a-0.4.0.whl" }', "/d/a-0.4.0.whl[crt]"),
        (
            '{ name = "appstream-export", git = "https://example.com/a.git?rev=v1" }',
            "appstream-export[crt] @ git+https://example.com/a.git@v1",
        ),
    ],
)
def test_a_uv_tool_keeps_its_source_and_its_extras(ours: str, requirement: str, tmp_path: Path) -> None:
    write_receipt(tmp_path, ours)

    assert run_words(tmp_path, "crt") == ["uv", "tool", "install", "--force", requirement]


def test_a_uv_tool_keeps_dagsters_commands_and_other_packages(tmp_path: Path) -> None:
    others = ['{ name = "dagster" }', '{ name = "dagster-webserver" }', '{ name = "duckdb", specifier = "<1.5" }']
    ours = '{ name = "appstream-export", extras = ["ui"], editable = "/src/export" }'
    write_receipt(tmp_path, ours, *others, exposed=("appstream-export", "dagster", "dagster-webserver"))

    assert format_install_command("demo", prefix=tmp_path) == (
        "uv tool install --force --with-executables-from dagster,dagster-webserver --with 'duckdb<1.5' "
        "--editable '/src/export[ui,demo]'"
    )
    assert "--with dagster-celery --editable '/src/export[ui]'" in format_install_command(
        package="dagster-celery", prefix=tmp_path
    )


@pytest.mark.parametrize(
    ("source", "main", "command"),
    [
        ("appstream-export", {}, "pipx install --force 'appstream-export[crt]'"),
        (
            "/src/export[ui]",
            {"include_dependencies": True},
            "pipx install --force --include-deps '/src/export[ui,crt]'",
        ),
        (
            "git+https://me@example.com/a.git@v1",
            {"pip_args": ["--editable"]},
            "pipx install --force --editable 'appstream-export[crt] @ git+https://me@example.com/a.git@v1'",
        ),
    ],
)
def test_pipx_keeps_its_source_and_its_extras(
    source: str, main: dict[str, object], command: str, tmp_path: Path
) -> None:
    write_pipx_metadata(tmp_path, source, **main)

    assert format_install_command("crt", prefix=tmp_path) == command
    assert format_install_command(package="dagster-k8s", prefix=tmp_path) == "pipx inject appstream-export dagster-k8s"


@pytest.mark.parametrize(
    ("installer", "origin", "command"),
    [
        ("pip", {}, "pip install 'appstream-export[crt]'"),
        ("uv", {}, "uv pip install 'appstream-export[crt]'"),
        ("pip", {"url": "file:///src/my%20export", "dir_info": {}}, "pip install '/src/my export[crt]'"),
        (
            "pip",
            {"url": "file:///src/export", "dir_info": {"editable": True}},
            "pip install --editable '/src/export[crt]'",
        ),
        (
            "uv",
            {"url": "https://example.com/a.git", "vcs_info": {"vcs": "git", "requested_revision": "v1"}},
            "uv pip install 'appstream-export[crt] @ git+https://example.com/a.git@v1'",
        ),
    ],
)
def test_an_active_environment_is_extended_by_what_filled_it(
    installer: str, origin: dict[str, object], command: str, tmp_path: Path
) -> None:
    write_environment(tmp_path, installer, origin)

    assert format_install_command("crt", prefix=tmp_path, environ={"VIRTUAL_ENV": str(tmp_path)}) == command


@pytest.mark.parametrize(
    ("installer", "command"),
    [("pip", "{python} -m pip install dagster-k8s"), ("uv", "uv pip install --python {python} dagster-k8s")],
)
def test_an_environment_that_is_not_active_is_named(installer: str, command: str, tmp_path: Path) -> None:
    write_environment(tmp_path, installer)

    found = format_install_command(package="dagster-k8s", prefix=tmp_path, environ={})

    assert found == command.format(python=tmp_path / "bin" / "python")


def test_a_checkout_syncs_its_extra_and_another_project_adds_it(tmp_path: Path) -> None:
    checkout, project = tmp_path / "export", tmp_path / "project"
    for each, is_editable in ((checkout, True), (project, False)):
        origin = {"url": checkout.as_uri(), "dir_info": {"editable": is_editable}}
        write_environment(each / ".venv", "uv", origin)
        (each / "uv.lock").touch()

    assert format_install_command("dask", prefix=checkout / ".venv") == "uv sync --inexact --extra dask"
    assert format_install_command(package="dagster-k8s", prefix=checkout / ".venv") == "uv pip install dagster-k8s"
    assert run_words(project / ".venv", "dask") == ["uv", "add", f"{checkout}[dask]"]
    assert format_install_command(package="dagster-k8s", prefix=project / ".venv") == "uv add dagster-k8s"


def test_a_missing_extra_of_a_failed_scope_has_the_command_of_this_environment() -> None:
    assert suggest_fix(Status.DENIED, "MissingDependency") == format_install_command("crt")
    assert "[crt]" in format_install_command("crt") or "--extra crt" in format_install_command("crt")


def run_words(prefix: Path, extra: str) -> list[str]:
    """Return the words that a shell would pass on."""
    return shlex.split(format_install_command(extra, prefix=prefix, environ={}))
