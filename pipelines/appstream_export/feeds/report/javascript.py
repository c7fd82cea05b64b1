"""Vega's JavaScript as one text, kept between runs: to bundle it costs more than all queries of a report."""

import logging
import os
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import platformdirs
from ulid import ULID

_log = logging.getLogger(__name__)


def load_vega_bundle() -> str:
    """What draws the charts, fit to stand inside a script element."""
    file = _find_cache_file()
    with suppress(OSError, UnicodeDecodeError):
        if file:
            return file.read_text("utf-8")
    import vl_convert

    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed").replace("</script", "<\\/script")
    if file:
        _cache_bundle(file, bundle)
    return bundle


def _find_cache_file() -> Path | None:
    """Return where the bundle is kept; None for a user without a home, such as a bare user id in a container."""
    try:
        folder = platformdirs.user_cache_path("appstream-export")
    except RuntimeError:
        return None
    # Older versions give "~/.cache" then, which would be a folder right here.
    return folder / f"vega-{version('vl-convert-python')}.js" if folder.is_absolute() else None


def _cache_bundle(file: Path, text: str) -> None:
    aside = file.with_name(f"{file.name}.{ULID()}")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        aside.write_text(text, "utf-8")
        os.replace(aside, file)  # noqa: PTH105  whole or not at all: another run may read it now
    except OSError as error:
        _log.debug("the charts' JavaScript is bundled anew each time: %s", error)
        with suppress(OSError):
            aside.unlink(missing_ok=True)
