"""Values in parsed answers."""

from typing import Any


def get_nested_value(value: object, path: tuple[str, ...]) -> Any:
    """Return the value at a path of nested objects, or None if the path ends early."""
    for step in path:
        if not isinstance(value, dict):
            return None
        value = value.get(step)
    return value
