"""The settings that a command uses, each with what set it: the file, an environment variable, or nothing."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from msgspec import Struct, structs

from appstream_export.errors import replace_secrets
from appstream_export.settings import Secret, SettingsText, parse_settings_text, read_settings_text
from appstream_export.settings_file import WAREHOUSE_VARIABLE
from appstream_export.user_text import TomlPath, find_key_lines, find_nearest_entry

_MASK = "***"


class EffectiveSetting(NamedTuple):
    """A setting as TOML would hold it, without secrets; None if not set. `line` or `variable` is its source."""

    path: TomlPath
    value: Any
    source: Literal["default", "file", "environment"]
    line: int | None = None
    variable: str | None = None

    @property
    def is_masked(self) -> bool:
        """Return whether a secret was replaced in the value, which is then not the setting's own."""
        return _MASK in str(self.value)

    @property
    def key(self) -> str:
        """The dotted key, such as `extract.workers` or `accounts[0].id`."""
        return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.path).lstrip(".")


@dataclass(frozen=True)
class EffectiveSettings:
    """All settings, in the order of a settings file, and the file that was read."""

    file: Path
    entries: tuple[EffectiveSetting, ...]


def read_effective_settings(
    path: Path | None = None, environ: Mapping[str, str] = os.environ, *, warehouse: str | None = None
) -> EffectiveSettings:
    """Read and check the settings, and return each with its source; raises SettingsError.

    `warehouse` is the value of the variable that replaces the warehouse of every command.
    """
    text = read_settings_text(path, environ)
    settings = parse_settings_text(text, needs_accounts=False)
    variables = dict(text.overrides.variables)
    if warehouse:
        settings = structs.replace(settings, warehouse=warehouse)
        variables[("warehouse",)] = WAREHOUSE_VARIABLE
    finder = _SourceFinder(text, variables)
    return EffectiveSettings(text.file.absolute(), tuple(finder.list_entries(settings, ())))


class _SourceFinder:
    """A finder of the sources of settings."""

    def __init__(self, text: SettingsText, variables: Mapping[TomlPath, str]) -> None:
        self._raw, self._variables = text.raw, variables
        self._lines = find_key_lines(text.text)

    def list_entries(self, section: Struct, path: TomlPath) -> Iterator[EffectiveSetting]:
        """Yield the settings of a section, and then those of the sections in it, as TOML wants it."""
        values = [((*path, name), getattr(section, name)) for name in section.__struct_fields__]
        for place, value in values:
            if not _is_section(value):
                yield self._build_entry(place, value)
        for place, value in values:
            for inner, part in _list_parts(place, value) if _is_section(value) else ():
                yield from self.list_entries(part, inner)

    def _build_entry(self, path: TomlPath, value: Any) -> EffectiveSetting:
        shown = _replace_secrets(str(path[-1]), value)
        if variable := find_nearest_entry(self._variables, path):
            return EffectiveSetting(path, shown, "environment", variable=variable)
        if _has_value(self._raw, path):
            return EffectiveSetting(path, shown, "file", line=find_nearest_entry(self._lines, path))
        return EffectiveSetting(path, shown, "default")


def _is_section(value: Any) -> bool:
    return isinstance(value, Struct) or (isinstance(value, tuple) and bool(value) and isinstance(value[0], Struct))


def _list_parts(path: TomlPath, value: Any) -> list[tuple[TomlPath, Struct]]:
    return [(path, value)] if isinstance(value, Struct) else [((*path, n), part) for n, part in enumerate(value)]


def _has_value(raw: Any, path: TomlPath) -> bool:
    try:
        for step in path:
            raw = raw[step]
    except (KeyError, IndexError, TypeError):  # TypeError: the accounts come from the environment, as one value
        return False
    return True


def _replace_secrets(key: str, value: Any) -> Any:
    if isinstance(value, Secret):
        return f"env:{value.variable_name}" if value.is_variable else _MASK
    if isinstance(value, str):
        masked = replace_secrets(f"{key}={value}").removeprefix(f"{key}=")
        return _MASK if masked.startswith(_MASK) else masked  # a secret with spaces would be masked in part
    if isinstance(value, Mapping):
        return {name: _replace_secrets(name, part) for name, part in value.items()}
    return [_replace_secrets(key, part) for part in value] if isinstance(value, tuple | list) else value
