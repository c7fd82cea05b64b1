"""Compare the inputs of a contract (`with`) with botocore's shapes: members, types, and enum values."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from appstream_export.errors import suggest_correction

_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "character": (str,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "boolean": (bool,),
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
}
_HAS_PLACEHOLDER = re.compile(r"\{\w+\}")


def find_input_problems(shape: Shape | None, inputs: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield a line per input that the shape does not accept."""
    members = shape.members if isinstance(shape, StructureShape) else {}
    for name, value in inputs.items():
        if name not in members:
            near = suggest_correction(name, list(members))
            yield f'with: there is no input "{path}{name}"' + (f"; {near}" if near else "")
        else:
            yield from _find_value_problems(members[name], value, f"{path}{name}")


def _find_value_problems(shape: Shape, value: Any, path: str) -> Iterator[str]:
    # In Python, bool is a subclass of int.
    is_type = isinstance(value, _TYPES.get(shape.type_name, ())) and isinstance(value, bool) is (
        shape.type_name == "boolean"
    )
    if not is_type:
        yield f"with: {path} is not a {shape.type_name}"
    elif isinstance(shape, StructureShape):
        missing = [name for name in shape.required_members if name not in value]
        yield from (f"with: {path} lacks {name}" for name in missing)
        yield from find_input_problems(shape, value, f"{path}.")
    elif isinstance(shape, ListShape | MapShape):
        inner = shape.member if isinstance(shape, ListShape) else shape.value
        for element in value if isinstance(shape, ListShape) else value.values():
            yield from _find_value_problems(inner, element, f"{path}[]")
    elif enum := getattr(shape, "enum", None):
        yield from _find_enum_problems(enum, value, path)


def _find_enum_problems(enum: Sequence[str], value: str, path: str) -> Iterator[str]:
    if value not in enum and not _HAS_PLACEHOLDER.search(value):
        fix = suggest_correction(value, list(enum)) or f"it is one of {', '.join(enum)}"
        yield f'with: {path} = "{value}" is unknown to AWS; {fix}'
