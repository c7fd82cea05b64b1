"""How this copy was installed, so that a message can name the command that adds an optional extra to it."""

import json
import os
import re
import shlex
import sys
import sysconfig
import tomllib
from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

PACKAGE = "appstream-export"
_SOURCES = ("editable", "directory", "path")  # keys of uv's receipt for something on this machine
_VERSION_OR_ADDRESS = re.compile(r"\s*(?:[<>=!~]=?|@).*")
_EXTRAS = re.compile(r"(.*?)(?:\[([\w.,\s-]*)\])?")


def format_install_command(
    extra: str = "", package: str = "", prefix: Path | None = None, environ: Mapping[str, str] = os.environ
) -> str:
    """Return the command that adds an optional extra, or another package, with the tool that installed this copy.

    The tool is uv tool, pipx, a uv project, uv pip or pip; the environment in `prefix` (default: this one) shows which.
    """
    place = prefix or Path(sys.prefix)
    if (place / "uv-receipt.toml").is_file():
        words = _build_uv_tool_command(tomllib.loads((place / "uv-receipt.toml").read_text()), extra, package)
    elif (place / "pipx_metadata.json").is_file():
        words = _build_pipx_command(json.loads((place / "pipx_metadata.json").read_text()), extra, package)
    else:
        words = _build_environment_command(place, environ, extra, package)
    return shlex.join(words)


def _build_uv_tool_command(receipt: Mapping[str, Any], extra: str, package: str) -> list[str]:
    # uv replaces the environment by what the command names. So the command repeats what the receipt has.
    noted = receipt["tool"]["requirements"]
    (ours,) = (each for each in noted if each["name"] == PACKAGE)
    providers = {each["from"] for each in receipt["tool"].get("entrypoints", ())}
    others = [each for each in noted if each is not ours]
    exposed = ",".join(_render_requirement(each) for each in others if each["name"] in providers)
    beside = [_render_requirement(each) for each in others if each["name"] not in providers]
    return [
        *("uv", "tool", "install", "--force"),
        *(("--with-executables-from", exposed) if exposed else ()),
        *(word for each in [*beside, *filter(None, [package])] for word in ("--with", each)),
        *(("--editable",) if "editable" in ours else ()),
        _add_extra(_render_requirement(ours), extra),
    ]


def _build_pipx_command(metadata: Mapping[str, Any], extra: str, package: str) -> list[str]:
    if package:
        return ["pipx", "inject", PACKAGE, package]
    main = metadata["main_package"]
    return [
        *("pipx", "install", "--force"),
        *(("--include-deps",) if main.get("include_dependencies") else ()),
        *(word for each in main.get("include_resources_from") or () for word in ("--include-resources-from", each)),
        *(("--editable",) if "--editable" in main.get("pip_args", ()) else ()),
        _add_extra(main.get("package_or_url") or PACKAGE, extra),
    ]


def _build_environment_command(place: Path, environ: Mapping[str, str], extra: str, package: str) -> list[str]:
    ours = next(iter(Distribution.discover(name=PACKAGE, path=_list_library_folders(place))), None)
    origin = _load_origin(ours)
    is_editable = origin.get("dir_info", {}).get("editable", False)
    what = package or _add_extra(_render_origin(origin), extra)
    if (place.parent / "uv.lock").is_file() or (environ.get("UV_RUN_RECURSION_DEPTH") and is_editable):
        if not is_editable:
            return ["uv", "add", what]
        # A checkout of this project has its extras in its lock. Another package must not change that.
        return ["uv", "sync", "--inexact", "--extra", extra] if extra else ["uv", "pip", "install", package]
    python = str(place / "bin" / "python")
    is_active = environ.get("VIRTUAL_ENV") == str(place)
    target = (*(("--editable",) if is_editable and extra else ()), what)
    if ours and (ours.read_text("INSTALLER") or "").strip() == "uv":
        return ["uv", "pip", "install", *(() if is_active else ("--python", python)), *target]
    # Without an active environment, the shell's pip may belong to another Python.
    return [*(("pip",) if is_active else (python, "-m", "pip")), "install", *target]


def _list_library_folders(place: Path) -> list[str]:
    if place == Path(sys.prefix):
        return sys.path
    return [sysconfig.get_path("purelib", "venv", {"base": str(place), "platbase": str(place)})]


def _load_origin(ours: Distribution | None) -> Mapping[str, Any]:
    """Return what the installer noted about our origin (PEP 610); empty for a registry's package."""
    try:
        return json.loads((ours.read_text("direct_url.json") if ours else None) or "{}")
    except ValueError:
        return {}


def _render_origin(origin: Mapping[str, Any]) -> str:
    url = origin.get("url", "")
    if url.startswith("file:"):
        return unquote(urlsplit(url).path)
    if not url:
        return PACKAGE
    vcs = origin.get("vcs_info", {})
    revision = f"@{vcs['requested_revision']}" if vcs.get("requested_revision") else ""
    return f"{PACKAGE} @ {vcs['vcs'] + '+' if vcs else ''}{url}{revision}"


def _render_requirement(noted: Mapping[str, Any]) -> str:
    """Return an entry of uv's receipt as a requirement that uv accepts."""
    extras = noted.get("extras", ())
    for place in (noted[key] for key in _SOURCES if key in noted):
        return _add_extras(place, extras)
    if "git" in noted:
        address, _, revision = noted["git"].partition("?")  # uv notes ?rev=, ?tag= or ?branch=
        at = f"@{revision.partition('=')[2]}" if revision else ""
        return _add_extras(f"{noted['name']} @ git+{address}{at}", extras)
    if "url" in noted:
        return _add_extras(f"{noted['name']} @ {noted['url']}", extras)
    return _add_extras(noted["name"] + noted.get("specifier", ""), extras)


def _add_extra(requirement: str, extra: str) -> str:
    return _add_extras(requirement, filter(None, [extra]))


def _add_extras(requirement: str, extras: Iterable[str]) -> str:
    """Return the requirement with further extras: `a>=1` as `a[x]>=1`, `/src/a[x]` as `/src/a[x,y]`."""
    if "://" in requirement and " @ " not in requirement:
        requirement = f"{PACKAGE} @ {requirement}"
    is_path = requirement.startswith(("/", ".", "~"))  # a path may hold any character of a version or an address
    rest = found[0] if not is_path and (found := _VERSION_OR_ADDRESS.search(requirement)) else ""
    what, present = _EXTRAS.fullmatch(requirement.removesuffix(rest)).groups()  # ty: ignore
    names = dict.fromkeys(name.strip() for name in [*(present or "").split(","), *extras] if name.strip())
    return f"{what}[{','.join(names)}]{rest}" if names else requirement
