"""Check the inputs of an emulated operation as AWS does, and choose the items that answer them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .operations import EmulatedOperation, load_list_operation

# Inputs that a field of another name decides.
FILTER_FIELDS: Mapping[tuple[str, str], str] = {("DescribeImages", "Type"): "Visibility"}
# Inputs that name a resource without saying of which kind.
PARENTS: Mapping[tuple[str, str], str] = {
    ("DescribeImagePermissions", "Name"): "DescribeImages",
    ("ListEntitledApplications", "EntitlementName"): "DescribeEntitlements",
}
# AWS wants one of these, though none of them is required.
ONE_OF: Mapping[str, tuple[str, ...]] = {
    "DescribeApplicationFleetAssociations": ("FleetName", "ApplicationArn"),
    "DescribeUserStackAssociations": ("StackName", "UserName"),
}
PYTHON_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "boolean": (bool,),
    "list": (list,),
    "structure": (dict,),
    "map": (dict,),
}


def find_input_problem(operation: EmulatedOperation, params: Mapping[str, Any]) -> str | None:
    """Return the first problem of the inputs in AWS's words, or None. Tokens are checked where they are read."""
    size = params.get(operation.page_size or "")
    if isinstance(size, int) and operation.max_page_size and size > operation.max_page_size:
        return _describe_problem(
            operation.page_size or "", size, f"have value less than or equal to {operation.max_page_size}"
        )
    if isinstance(size, int) and size < 1:
        return _describe_problem(operation.page_size or "", size, "have value greater than or equal to 1")
    shape = operation.model.input_shape
    checked = {name: value for name, value in params.items() if name != operation.input_token}
    return next(_walk_problems("", shape, checked), None) if shape else None


def find_missing_choice(operation: EmulatedOperation, params: Mapping[str, Any]) -> str | None:
    """Return a problem if AWS wants one of several inputs and has none, or None."""
    choices = ONE_OF.get(operation.name, ())
    return None if not choices or set(choices) & params.keys() else f"Specify {' or '.join(choices)}."


def is_selected(operation: EmulatedOperation, item: Any, inputs: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Return whether an item answers the inputs of a request: those it was put for, else its fields of that name."""
    if any(given.get(name) != value for name, value in inputs.items()):
        return False
    return all(
        _is_allowed(item, FILTER_FIELDS.get((operation.name, name), name), value)
        for name, value in given.items()
        if name not in inputs
    )


def list_unknown_names(given: Mapping[str, Any], items: Iterable[Any]) -> list[str]:
    """Return the elements of inputs such as `Names` and `Arns` that no item has."""
    known = [item for item in items if isinstance(item, dict)]
    return [
        value
        for name, values in given.items()
        if isinstance(values, list) and name.endswith(("Names", "Arns", "ARNs"))
        for value in values
        if value not in {item.get(name[:-1]) for item in known}
    ]


def select_parent_input(operation: EmulatedOperation, name: str) -> str | None:
    """Return the operation that lists the resources which an input names: `StackName` those of `DescribeStacks`."""
    if (operation.name, name) in PARENTS:
        return PARENTS[operation.name, name]
    found = re.fullmatch(r"([A-Z]\w+)Name", name)
    names = [f"{verb}{found[1]}s" for verb in ("Describe", "List")] if found else []
    return next((name for name in names if load_list_operation(operation.service, name)), None)


def _is_allowed(item: Any, field: str, value: Any) -> bool:
    """Return whether an item's field allows a value; a field that the item lacks allows any."""
    if not isinstance(item, dict):
        return True
    if isinstance(value, list):
        own = item.get(field.removesuffix("s"))
        return own is None or own in value
    own = item.get(field)
    return not isinstance(own, str | int | float) or isinstance(value, dict) or own == value


def _walk_problems(path: str, shape: Any, value: Any) -> Iterator[str]:
    expected = PYTHON_TYPES.get(shape.type_name)
    if expected and (not isinstance(value, expected) or (isinstance(value, bool) and bool not in expected)):
        yield _describe_problem(path, value, f"be a {shape.type_name}")
        return
    yield from _walk_constraints(path, shape, value)
    if shape.type_name == "structure":
        for name in shape.required_members:
            if name not in value:
                yield _describe_problem(f"{path}.{name}".lstrip("."), None, "not be null")
        for name, member in shape.members.items():
            if name in value:
                yield from _walk_problems(f"{path}.{name}".lstrip("."), member, value[name])
    elif shape.type_name == "list":
        for position, element in enumerate(value, 1):
            yield from _walk_problems(f"{path}.{position}.member", shape.member, element)


def _walk_constraints(path: str, shape: Any, value: Any) -> Iterator[str]:
    least, most, enum = shape.metadata.get("min"), shape.metadata.get("max"), getattr(shape, "enum", None)
    is_number = shape.type_name in ("integer", "long")
    size = value if is_number else len(value) if shape.type_name in ("string", "list", "map") else None
    what = "value" if is_number else "length"
    if enum and value not in enum:
        yield _describe_problem(path, value, f"satisfy enum value set: [{', '.join(enum)}]")
    if size is not None and least is not None and size < least:
        yield _describe_problem(path, value, f"have {what} greater than or equal to {least}")
    if size is not None and most is not None and size > most:
        yield _describe_problem(path, value, f"have {what} less than or equal to {most}")


def _describe_problem(path: str, value: Any, constraint: str) -> str:
    """Return a problem in the words of AWS's validation, which writes members with a small first letter."""
    member = path[:1].lower() + path[1:]
    said = "" if value is None else f"'{value}' "
    return (
        f"1 validation error detected: Value {said}at '{member}' failed to satisfy constraint: Member must {constraint}"
    )
