"""How this copy was installed, so that a message can name the command that adds an optional extra to it."""

import json
import os
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

PACKAGE = "appstream-export"


def format_install_command(
    extra: str, prefix: Path = Path(sys.prefix), environ: Mapping[str, str] = os.environ, source: str | None = None
) -> str:
    """Return the command that installs an extra, in the form of the tool that installed us: uv tool, pipx, uv or pip.

    `source` is a folder or URL where we do not come from a registry; by default what the installer noted.
    """
    what = f"'{source or _find_source() or PACKAGE}[{extra}]'"
    if (prefix / "uv-receipt.toml").is_file():
        return f"uv tool install --force {what}"
    if (prefix / "pipx_metadata.json").is_file():
        return f"pipx install --force {what}"
    if environ.get("UV_RUN_RECURSION_DEPTH"):
        return f"uv sync --inexact --extra {extra}"
    return f"pip install {what}" if find_spec("pip") else f"uv pip install {what}"


def _find_source() -> str | None:
    """Return the folder or URL that the installer noted (PEP 610), or None."""
    try:
        noted = json.loads(distribution(PACKAGE).read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return None
    url = noted.get("url", "")
    if url.startswith("file:"):
        return unquote(urlsplit(url).path)
    return None
