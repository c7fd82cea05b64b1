"""Output of `settings show`: a settings file that sets everything, with the source of each value as a comment."""

import json
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from appstream_export.cli import console
from appstream_export.settings_sources import EffectiveSetting, EffectiveSettings
from appstream_export.user_text import TomlPath

_COMMENT_COLUMN_MAX = 50


def build_settings_object(settings: EffectiveSettings) -> dict[str, Any]:
    """Build one object for --json."""
    return {
        "file": str(settings.file),
        "settings": [
            {
                "key": entry.key,
                "value": entry.value,
                "source": entry.source,
                "line": entry.line,
                "variable": entry.variable,
            }
            for entry in settings.entries
        ],
    }


def render_settings_lines(settings: EffectiveSettings) -> Iterator[str]:
    """Yield the lines: valid TOML, in which settings without a value, and masked ones, are comments."""
    yield console.style(f"# {settings.file}", "2")
    width = min(_COMMENT_COLUMN_MAX, max(len(_format_assignment(entry)) for entry in settings.entries))
    for section, entries in groupby(settings.entries, lambda entry: entry.path[:-1]):
        if section:
            yield ""
            yield console.style(_format_header(section), "1")
        for entry in entries:
            source = console.style(f"# {_describe_source(entry)}", "2")
            yield f"{_format_assignment(entry):<{width}}  {source}"


def _format_assignment(entry: EffectiveSetting) -> str:
    key = str(entry.path[-1])
    if entry.value is None:
        return f"# {key} ="
    return f"{'# ' if entry.is_masked else ''}{key} = {_format_toml(entry.value)}"


def _describe_source(entry: EffectiveSetting) -> str:
    if entry.value is None:
        return "not set"
    if entry.variable:
        return entry.variable
    return f"line {entry.line}" if entry.line else entry.source


def _format_header(section: TomlPath) -> str:
    name = ".".join(step for step in section if isinstance(step, str))
    return f"[[{name}]]" if isinstance(section[-1], int) else f"[{name}]"


def _format_toml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_format_toml, value))}]"
    if isinstance(value, Mapping):
        parts = [f"{_quote(key)} = {_format_toml(part)}" for key, part in value.items()]
        return f"{{ {', '.join(parts)} }}" if parts else "{}"
    if isinstance(value, str):
        return _quote(value)
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")  # TOML refuses DEL, JSON does not
