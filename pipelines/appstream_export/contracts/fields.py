"""The fields of AWS's answers as contracts see them: a tree of names and types, independent of botocore."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from appstream_export.contracts.model import Contract
from appstream_export.contracts.paths import LIST, MAP, open_rows_path, split_path_steps
from appstream_export.errors import suggest_correction


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an item. `kind` is `structure`, `list` or a contract type, `aws_type` the type in AWS's model.

    `entry` is the row of a map, with the fields `key` and `value`; the map itself is of kind `json`.
    """

    name: str
    kind: str
    aws_type: str
    doc: str = ""
    values: tuple[str, ...] = ()
    is_required: bool = False
    is_sensitive: bool = False
    fields: tuple["Field", ...] = ()
    element: "Field | None" = None
    entry: "Field | None" = None


@dataclass(frozen=True, slots=True)
class ProposedCalls:
    """Proposed inputs of an operation, the contract of the parent whose rows they come from, and remarks on both."""

    inputs: Mapping[str, str] = field(default_factory=dict)
    parent: Contract | None = None
    remarks: Mapping[str, str] = field(default_factory=dict)
    """A remark by `with`, `per` or the name of another key."""


@dataclass(frozen=True, slots=True)
class OperationOutput:
    """The output of a list operation: the path of its items, and the fields of one. `model` is the model's version."""

    service: str
    service_title: str
    operation: str
    items: str
    item: Field
    model: str
    calls: ProposedCalls = field(default_factory=ProposedCalls)


class NoSuchField(LookupError):
    """A path names no field. The message names the step; `fix` is the path to write instead, if known."""

    def __init__(self, message: str, *, fix: str | None = None) -> None:
        super().__init__(message if fix is None else f"{message}; {fix}")
        self.message, self.fix = message, fix


def walk_leaf_fields(field: Field, path: str = "") -> Iterator[tuple[str, Field]]:
    """Yield every value below a field with its path, such as `VpcConfig.SubnetIds[]`, in AWS's order."""
    if field.kind == "structure":
        for child in field.fields:
            yield from walk_leaf_fields(child, f"{path}.{child.name}" if path else child.name)
    elif field.element is not None:
        yield from walk_leaf_fields(field.element, f"{path}[]")
    else:
        yield path, field


def resolve_field(field: Field, path: str) -> Field:
    """Return the field at a path (`.` is the field itself, `[]` enters a list, `{}` a map); raises NoSuchField."""
    current, current_path = field, ""
    for step in split_path_steps(path):
        if step in (LIST, MAP):
            current = _get_row_field(current, current_path, step)
            current_path += step
        else:
            current = _get_child_field(current, step, current_path)
            current_path = f"{current_path}.{step}" if current_path else step
    return current


def resolve_row_field(item: Field, rows_from: str | None) -> Field:
    """Return the field of a row: the item, or an entry of the list or map `rows_from`; raises NoSuchField."""
    return item if rows_from is None else resolve_field(item, open_rows_path(rows_from))


def _get_row_field(field: Field, path: str, step: str) -> Field:
    found, kind = (field.element, "list") if step == LIST else (field.entry, "map")
    if found is None:
        fix = f'write "{path}{MAP}"' if field.entry else f'write "{path}"' if field.element else None
        raise NoSuchField(f"{path} is no {kind} but {field.aws_type}", fix=fix)
    return found


def _get_child_field(field: Field, step: str, path: str) -> Field:
    if field.kind == "list":
        raise NoSuchField(f"{path} is a list", fix=f'its elements are rows of a table with rows_from = "{path}"')
    if field.kind != "structure":
        raise NoSuchField(f'{path or "an element"} is {field.aws_type}, which has no field "{step}"')
    names = [child.name for child in field.fields]
    if step not in names:
        where = f"{path} has" if path else "there is"
        raise NoSuchField(f'{where} no field "{step}"', fix=suggest_correction(step, names))
    return field.fields[names.index(step)]
