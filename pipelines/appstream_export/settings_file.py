"""Find the settings file: the one that is named, else the first in the folders that belong to this user or machine."""

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from appstream_export.errors import SettingsError, suggest_path

CONFIG_VARIABLE, WAREHOUSE_VARIABLE = "APPSTREAM_EXPORT_CONFIG", "APPSTREAM_EXPORT_WAREHOUSE"
DEFAULT_FILE = "appstream-export.toml"
INIT_FIX = "create one with: appstream-export init"
DEMO_MARK = "# Made by: appstream-export demo"
"""The first words of the settings file of a demo."""
_FOLDER = "appstream-export"
MACHINE_FOLDER = Path("/etc") / _FOLDER


def find_settings_file(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the file of `--config` or `APPSTREAM_EXPORT_CONFIG`, else the first that the folders hold, or None.

    The folders: the current one; those above it, up to the home folder or the repository's root; the user's
    configuration; the machine's. Raises SettingsError if a named file does not exist, or if other users can change a
    file that was found: it names the endpoints and roles of the export.
    """
    named = path or (Path(v) if (v := environ.get(CONFIG_VARIABLE)) else None)
    if named is not None:
        if named.is_dir():
            raise SettingsError(f"{named}: is a folder, not a file", fix="name the settings file in it")
        if not named.is_file():
            raise SettingsError(f"{named}: no such file", fix=suggest_path(named) or INIT_FIX)
        return named
    for place in _list_places(environ):
        if _is_file(place):
            _refuse_other_owners(place)
            return place
    return None


def is_demo_file(file: Path) -> bool:
    """Return whether a demo wrote a settings file."""
    try:
        return file.read_bytes().startswith(DEMO_MARK.encode())
    except OSError:
        return False


def _list_places(environ: Mapping[str, str]) -> Iterator[Path]:
    yield Path(DEFAULT_FILE)
    home = _find_home()
    for folder in _list_parents(home):
        yield folder / DEFAULT_FILE
    configured = environ.get("XDG_CONFIG_HOME")
    user_folder = Path(configured) if configured else home / ".config" if home else None
    for folder in (user_folder / _FOLDER if user_folder else None, MACHINE_FOLDER):
        if folder:
            yield folder / DEFAULT_FILE


def _list_parents(home: Path | None) -> list[Path]:
    """Return the folders above the current one, up to the home folder or the repository's root; none without either."""
    try:
        current = Path.cwd()
    except OSError:  # it was removed
        return []
    found: list[Path] = []
    for folder in (current, *current.parents):
        found.append(folder)
        if folder == home or (folder / ".git").exists():
            return found[1:]
    return []


def _find_home() -> Path | None:
    try:
        return Path.home().resolve()
    except (OSError, RuntimeError):  # RuntimeError: there is none
        return None


def _is_file(place: Path) -> bool:
    try:
        return place.is_file()
    except OSError:  # a folder that this user may not enter
        return False


def _refuse_other_owners(place: Path) -> None:
    status, fix = place.stat(), f"to use it all the same: --config {place}"
    if status.st_uid not in (os.getuid(), 0):
        raise SettingsError(f"{place}: it belongs to another user, and was not named", fix=fix)
    if status.st_mode & stat.S_IWOTH:
        raise SettingsError(
            f"{place}: every user can change it, and it was not named", fix=f"chmod o-w {place}; or {fix}"
        )
