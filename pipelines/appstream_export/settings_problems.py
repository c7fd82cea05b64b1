"""Find all problems of a settings file at once, each with the key, the allowed values and the line."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import msgspec
from msgspec import Struct, inspect

from appstream_export.errors import SettingsError, SettingsErrors, describe_renamed, suggest_correction
from appstream_export.user_text import TomlPath, find_key_lines, find_nearest_entry

_VALUE_CHARS_MAX = 60
_WORDS_FOR_ALL = ("auto", "all", "*", "")
_SECTION_LISTS = {("accounts",)}
DecodeHook = Callable[[type, object], object]


class SettingProblem(NamedTuple):
    """An invalid value: its place in the file, what is wrong, and the fix.

    `is_required` means that its section is invalid without it. `needs` are top-level keys: if one of them is invalid
    itself, this problem is only a consequence and is not reported.
    """

    path: TomlPath
    message: str
    fix: str | None = None
    is_required: bool = False
    needs: tuple[str, ...] = ()

    def is_caused_by(self, other: "SettingProblem") -> bool:
        """Return whether fixing the other may fix this one: one concerns a part of the other's value, or needs it."""
        size = min(len(self.path), len(other.path))
        return self.path[:size] == other.path[:size] or other.path[0] in self.needs


class ValueChecker:
    """A checker that finds all values of a parsed file that are invalid for a Struct; msgspec stops at the first.

    `renamed` maps dotted keys of an earlier version to their new names.
    """

    def __init__(self, kind: type[Struct], decode: DecodeHook, renamed: Mapping[str, str]) -> None:
        self._kind, self._decode, self._renamed = kind, decode, renamed
        self._sections = dict(_list_sections(inspect.type_info(kind)))

    def find_problems(self, raw: Mapping[str, Any]) -> list[SettingProblem]:
        """Return all problems, in the order of the file."""
        return list(self._check_section(inspect.type_info(self._kind), raw, ()))

    def _check_section(self, info: Any, raw: Mapping[str, Any], path: TomlPath) -> Iterator[SettingProblem]:
        fields = {field.name: field for field in info.fields}
        hints = get_type_hints(info.cls, include_extras=True)
        suggested = set[str]()
        for key, value in raw.items():
            if key in fields:
                for problem in self._check_value(fields[key].type, hints[key], value, (*path, key)):
                    is_required = fields[key].required and problem.path == (*path, key)
                    yield problem._replace(is_required=is_required or problem.is_required)
            else:
                problem = self._build_unknown_key(key, path, list(fields))
                # A required key that the fix suggests was probably misspelled, so it is not reported as missing too.
                meant = {n for n, f in fields.items() if f.required and f'"{n}"' in f"{problem.message}{problem.fix}"}
                suggested |= meant
                yield problem._replace(is_required=bool(meant))
        for name, field in fields.items():
            if field.required and name not in raw and name not in suggested:
                message = f"{format_section(path, colon=True)}{name} is missing"
                yield SettingProblem((*path, name), message, "add it", is_required=True)

    def _check_value(self, kind: Any, hint: Any, value: Any, path: TomlPath) -> Iterator[SettingProblem]:
        branches = list_branches(kind)
        section = next((b for b in branches if isinstance(b, inspect.StructType)), None)
        listed = next((b for b in branches if isinstance(b, inspect.VarTupleType)), None)
        if section and isinstance(value, dict):
            yield from self._check_section(section, value, path)
        elif listed and isinstance(value, list):
            for n, item in enumerate(value):
                yield from self._check_value(listed.item_type, str, item, (*path, n))
        elif section or not self._is_valid(value, hint):
            yield _build_value_problem(kind, branches, value, path)

    def _is_valid(self, value: Any, hint: Any) -> bool:
        try:
            msgspec.convert(value, hint, dec_hook=self._decode)
        except msgspec.ValidationError:
            return False
        return True

    def _build_unknown_key(self, key: str, path: TomlPath, known: list[str]) -> SettingProblem:
        section = _join_section(path)
        place = format_section(path)
        if new := self._renamed.get(f"{section}.{key}".lstrip(".")):
            message, fix = describe_renamed(key, new)
            return SettingProblem((*path, key), place + message, fix)
        homes = [_describe_place(name) for name, keys in self._sections.items() if key in keys]
        fix = f"it belongs {' or '.join(homes).rstrip(',')}" if homes else suggest_correction(key, known)
        return SettingProblem(
            (*path, key), f'{place}unknown key "{key}"', fix or f"known keys: {', '.join(sorted(known))}"
        )


def remove_values(raw: Mapping[str, Any], problems: Iterable[SettingProblem]) -> dict[str, Any]:
    """Return the file without the values that have problems, so that the rest can be checked."""
    wrong = {p.path for p in problems} | {p.path[:-1] for p in problems if p.is_required}
    # Without the invalid items a list would mean something else, so it is removed whole; a list of sections is not.
    wrong |= {path[:-1] for path in wrong if isinstance(path[-1], int) and path[:-1] not in _SECTION_LISTS}
    return _copy_without(raw, wrong, ())


def find_removed_positions(problems: Iterable[SettingProblem], key: str) -> set[int]:
    """Return the positions in a list of sections that `remove_values` removes."""
    own = [p for p in problems if p.path[0] == key and len(p.path) > 1]
    return {int(p.path[1]) for p in own if len(p.path) == 2 or p.is_required}


def build_settings_error(
    file: Path, text: str | None, problems: Sequence[SettingProblem], variables: Mapping[TomlPath, str]
) -> SettingsError:
    """Return one error for all problems, in the order of their lines; without `text` they have no line numbers.

    The problem of a value from the environment names its variable; these come first.
    """
    lines = find_key_lines(text) if text else {}
    found: list[tuple[int, str, SettingProblem]] = []
    for problem in problems:
        variable = find_nearest_entry(variables, problem.path)
        line = 0 if variable else find_nearest_entry(lines, problem.path) or 0
        found.append((line, variable or f"{file}{f' line {line}' if line else ''}", problem))
    errors = [
        SettingsError(f"{place}: {problem.message}", fix=problem.fix)
        for _, place, problem in sorted(found, key=lambda entry: entry[0])
    ]
    return errors[0] if len(errors) == 1 else SettingsErrors(errors)


def format_section(path: TomlPath, *, colon: bool = False) -> str:
    """Return a section's name, such as `[extract] ` or `[[accounts]] number 1 `; empty for the top of the file."""
    if not path:
        return ""
    if isinstance(path[-1], int):
        place = f"[[{_join_section(path)}]] number {path[-1] + 1}"
    else:
        place = f"[{_join_section(path)}]"
    return place + (": " if colon else " ")


def _join_section(path: TomlPath) -> str:
    return ".".join(step for step in path if isinstance(step, str))


def _describe_place(section: str) -> str:
    if not section:
        return "at the top of the file, above the first [section],"
    return f"in [[{section}]]" if (section,) in _SECTION_LISTS else f"in [{section}]"


def _list_sections(info: Any, name: str = "") -> Iterator[tuple[str, list[str]]]:
    """Yield each section of the file by its dotted name, with its keys."""
    yield name, [field.name for field in info.fields]
    for field in info.fields:
        for branch in list_branches(field.type):
            inner = branch.item_type if isinstance(branch, inspect.VarTupleType) else branch
            if isinstance(inner, inspect.StructType):
                yield from _list_sections(inner, f"{name}.{field.name}".lstrip("."))


def list_branches(kind: Any) -> list[Any]:
    """Return the types that a value may have, without their descriptions and without None, which TOML lacks."""
    inner = kind.type if isinstance(kind, inspect.Metadata) else kind
    branches = inner.types if isinstance(inner, inspect.UnionType) else [inner]
    return [b.type if isinstance(b, inspect.Metadata) else b for b in branches if not isinstance(b, inspect.NoneType)]


def _build_value_problem(kind: Any, branches: Sequence[Any], value: Any, path: TomlPath) -> SettingProblem:
    inner = [step for step in path if isinstance(step, str)][-1]
    section = format_section(path[: path.index(inner)])
    is_secret = any(isinstance(b, inspect.CustomType) for b in branches)
    shown = "***" if is_secret else describe_value(value)
    message = f"{section}{inner}: {shown} is not {describe_type(kind)}"
    return SettingProblem(path, message, _suggest_value(branches, value, inner, is_secret=is_secret))


def _suggest_value(branches: Sequence[Any], value: Any, key: str, *, is_secret: bool) -> str | None:
    """Return how to write the value, if it is clear what the user meant."""
    kinds = {type(b) for b in branches}
    if inspect.VarTupleType in kinds and isinstance(value, dict):
        return f"write [[{key}]], with two brackets on each side"
    if inspect.VarTupleType in kinds and isinstance(value, str) and value not in _WORDS_FOR_ALL:
        return f"write {key} = [{describe_value(value)}]"
    texts = [str(choice) for b in branches if isinstance(b, inspect.LiteralType) for choice in b.values]
    if texts:
        return suggest_correction(str(value), texts)
    if kinds & {inspect.StrType, inspect.CustomType} and not isinstance(value, str | dict | list):
        return "write it in quotes" if is_secret else f'write it in quotes: "{describe_value(value)}"'
    if kinds & {inspect.IntType, inspect.FloatType, inspect.BoolType} and isinstance(value, str):
        return "write it without quotes" if _is_number_or_flag(value) else None
    return None


def _is_number_or_flag(text: str) -> bool:
    return text in ("true", "false") or text.replace(".", "", 1).isdigit()


def describe_value(value: Any) -> str:
    """Return a value as TOML writes it, cut to 60 characters."""
    if isinstance(value, dict):
        return "a section"
    if isinstance(value, list):
        return "a list"
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, str | bool) else str(value)
    return text if len(text) <= _VALUE_CHARS_MAX else f"{text[: _VALUE_CHARS_MAX - 1]}…"


def describe_type(kind: Any) -> str:
    """Return the allowed values in words: `a whole number from 1 to 256`, `one of "0600", "0640"`."""
    if isinstance(kind, inspect.Metadata) and (described := (kind.extra_json_schema or {}).get("description")):
        return str(described)
    found = [_describe_branch(branch) for branch in _list_described_branches(kind)]
    return " or ".join(found)


def _list_described_branches(kind: Any) -> list[Any]:
    """Return the types that a value may have, without None, with their descriptions."""
    branches = kind.types if isinstance(kind, inspect.UnionType) else [kind]
    return [b for b in branches if not isinstance(b, inspect.NoneType)]


def _describe_branch(kind: Any) -> str:
    match kind:
        case inspect.Metadata():
            return describe_type(kind if kind.extra_json_schema else kind.type)
        case inspect.IntType() | inspect.FloatType():
            return _describe_number("a whole number" if isinstance(kind, inspect.IntType) else "a number", kind)
        case inspect.BoolType():
            return "true or false"
        case inspect.LiteralType():
            return f"one of {', '.join(json.dumps(value) for value in kind.values)}"
        case inspect.VarTupleType():
            is_section = isinstance(kind.item_type, inspect.StructType)
            return "a list of sections" if is_section else 'a list of strings such as ["a", "b"]'
        case inspect.StrType():
            return "a string that is not empty" if kind.min_length else "a string"
        case inspect.CustomType():
            return "a string"
    return "a section"


def _describe_number(what: str, kind: Any) -> str:
    if kind.ge is not None and kind.le is not None:
        return f"{what} from {kind.ge} to {kind.le}"
    if kind.gt is not None:
        return f"{what} above {kind.gt}"
    return f"{what} from {kind.ge}" if kind.ge is not None else what


def _copy_without(value: Any, wrong: set[TomlPath], path: TomlPath) -> Any:
    if isinstance(value, list):
        return [_copy_without(item, wrong, (*path, n)) for n, item in enumerate(value) if (*path, n) not in wrong]
    if isinstance(value, Mapping):
        return {k: _copy_without(v, wrong, (*path, k)) for k, v in value.items() if (*path, k) not in wrong}
    return value
