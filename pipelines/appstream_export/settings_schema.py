"""The JSON schema of the settings file, from the types that check it, for editors that complete and check TOML."""

import re
from collections.abc import Iterator, Mapping
from inspect import cleandoc
from typing import Any

import msgspec

from appstream_export.model import ACCOUNT_ID
from appstream_export.settings import AccountSettings, Secret, Settings
from appstream_export.user_text import TomlPath

SCHEMA_FILE = "appstream-export.schema.json"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SECTION = re.compile(r"(?:# )?\[\[?([\w.]+)\]\]?\s*(?:#.*)?")
_COMMENTED_KEY = re.compile(r"(?:# )?(\w+) = .*?\S\s+# (.*)")


def build_settings_schema(example: str) -> dict[str, Any]:
    """Return the schema; the comments of the keys in `example`, a commented settings file, describe them."""
    schema = msgspec.json.schema(Settings, schema_hook=_describe_custom_type)
    definitions = schema["$defs"]
    for path, comment in _find_comments(example):
        if (found := _find_property(definitions, path)) is not None:
            found["description"] = comment
    definitions[AccountSettings.__name__]["properties"]["id"]["pattern"] = f"^{ACCOUNT_ID.pattern}$"
    return {"$schema": _DIALECT, "title": "Settings of appstream-export", **_drop_nulls(schema)}


def _drop_nulls(value: Any) -> Any:
    """Return a part of the schema without null, which TOML does not have, and without the defaults of sections."""
    if isinstance(value, list):
        return [_drop_nulls(part) for part in value if part != {"type": "null"}]
    if not isinstance(value, dict):
        return cleandoc(value) if isinstance(value, str) else value
    is_section = "$ref" in value or value.get("default", 0) is None
    kept = {key: _drop_nulls(part) for key, part in value.items() if not (key == "default" and is_section)}
    branches = kept.get("anyOf", ())
    return {**{k: v for k, v in kept.items() if k != "anyOf"}, **branches[0]} if len(branches) == 1 else kept


def _describe_custom_type(kind: type) -> dict[str, Any]:
    if kind is Secret:
        return {"type": "string"}
    raise NotImplementedError(kind)


def _find_comments(example: str) -> Iterator[tuple[TomlPath, str]]:
    """Yield each key that has a comment on its line, by its path without positions, with the comment."""
    section: TomlPath = ()
    for line in example.splitlines():
        if found := _SECTION.fullmatch(line):
            section = tuple(found[1].split("."))
        elif found := _COMMENTED_KEY.fullmatch(line):
            yield (*section, found[1]), found[2]


def _find_property(definitions: Mapping[str, Any], path: TomlPath) -> dict[str, Any] | None:
    """Return the property of a path, through the definitions of its sections."""
    properties = definitions[Settings.__name__]["properties"]
    for step in path[:-1]:
        reference = re.search(r"'\$ref': '#/\$defs/(\w+)'", str(properties.get(step)))
        if reference is None:
            return None
        properties = definitions[reference[1]]["properties"]
    return properties.get(path[-1])
