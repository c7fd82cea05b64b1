"""Mask values that AWS's model marks as sensitive and no column maps, before an item is written as text."""

from collections.abc import Iterable
from typing import Any

MASK = "***"
SensitiveTree = dict[str, "SensitiveTree"]
"""The names on the paths to sensitive values; an empty tree marks a sensitive value."""


def build_sensitive_tree(paths: Iterable[str]) -> SensitiveTree:
    """Return the tree of paths such as `Owner.Email` and `Users[].Password`; `[]` adds no level."""
    root: SensitiveTree = {}
    for path in paths:
        at = root
        for step in path.replace("[]", "").split("."):
            at = at.setdefault(step, {})
    return root


def replace_sensitive_values(value: Any, tree: SensitiveTree) -> Any:
    """Return `value` with its sensitive values masked; mask all of it if it is not an object as the model defines."""
    if value is None:
        return None
    if isinstance(value, list):
        return [replace_sensitive_values(element, tree) for element in value]
    if not tree or not isinstance(value, dict):
        return MASK
    return {
        name: replace_sensitive_values(child, tree[name]) if name in tree else child for name, child in value.items()
    }
