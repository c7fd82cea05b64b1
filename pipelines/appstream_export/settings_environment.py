"""Settings from the environment: `APPSTREAM_EXPORT_EXTRACT__WORKERS=8` is `workers = 8` in `[extract]`."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from msgspec import Struct, inspect

from appstream_export.errors import SettingsError, suggest_correction
from appstream_export.location import expand_user
from appstream_export.settings_file import WAREHOUSE_VARIABLE
from appstream_export.settings_problems import list_branches
from appstream_export.user_text import TomlPath

PREFIX, BETWEEN = "APPSTREAM_EXPORT_", "__"


@dataclass(frozen=True)
class SettingOverrides:
    """Values from environment variables, as TOML would give them, and the variable of each, by the path in the file."""

    values: Mapping[TomlPath, Any]
    variables: Mapping[TomlPath, str]

    def apply(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Return a parsed file with these values in it."""
        result = dict(raw)
        for path, value in self.values.items():
            section = result
            for step in path[:-1]:
                inner = section.get(str(step), {})
                if not isinstance(inner, dict):
                    break  # the file is wrong there, which is reported
                section[str(step)] = dict(inner)
                section = section[str(step)]
            else:
                section[str(path[-1])] = value
        return result


def read_overrides(kind: type[Struct], environ: Mapping[str, str], paths: frozenset[TomlPath]) -> SettingOverrides:
    """Return the settings that the environment names; an empty variable counts as unset.

    Relative paths are relative to the current folder; `paths` are the settings that hold one. Raises SettingsError for
    a variable that looks like a setting and is none.
    """
    if not any(name.startswith(PREFIX) for name in environ):
        return SettingOverrides({}, {})
    known = {format_variable(path): (path, info) for path, info in _list_settings(inspect.type_info(kind))}
    values: dict[TomlPath, Any] = {}
    variables: dict[TomlPath, str] = {}
    for name in sorted(environ):
        if name in known and name != WAREHOUSE_VARIABLE and environ[name]:
            path, info = known[name]
            value = _parse_value(environ[name], info)
            values[path] = _resolve_path(value) if path in paths else value
            variables[path] = name
        elif name.startswith(PREFIX) and BETWEEN in name.removeprefix(PREFIX) and name not in known:
            near = suggest_correction(name, list(known))
            raise SettingsError(f"{name}: there is no such setting", fix=near or "unset it")
    return SettingOverrides(values, variables)


def format_variable(path: TomlPath) -> str:
    """Return the variable of a setting."""
    return PREFIX + BETWEEN.join(str(step).upper() for step in path)


def _list_settings(info: Any, path: TomlPath = ()) -> Iterator[tuple[TomlPath, Any]]:
    """Yield each setting that has a variable, with its type; a list of sections is one setting."""
    for field in info.fields:
        branches = list_branches(field.type)
        section = next((branch for branch in branches if isinstance(branch, inspect.StructType)), None)
        if section is None:
            yield (*path, field.name), field.type
        else:
            yield from _list_settings(section, (*path, field.name))


def _parse_value(text: str, kind: Any) -> Any:
    """Return the value that the file would hold: text without quotes, a list also as `a,b`, all else as in TOML."""
    branches = list_branches(kind)
    words = [choice for b in branches if isinstance(b, inspect.LiteralType) for choice in b.values]
    items = next((b.item_type for b in branches if isinstance(b, inspect.VarTupleType)), None)
    is_text = words or any(isinstance(b, inspect.StrType | inspect.CustomType) for b in branches)
    if text in words or (items is None and is_text):
        return text
    if isinstance(items, inspect.StrType) and not text.lstrip().startswith("["):
        return [word.strip() for word in text.split(",") if word.strip()]
    try:
        parsed = tomllib.loads(f"value = {text}")
    except ValueError:
        return text  # of the wrong type, which is reported
    return parsed["value"] if len(parsed) == 1 else text


def _resolve_path(value: Any) -> Any:
    is_path = isinstance(value, str) and "://" not in value
    return str(expand_user(value).absolute()) if is_path else value
