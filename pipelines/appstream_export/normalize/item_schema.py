"""The item schema: the fields that a contract maps or ignores, as a tree. Both the fast and the slow path use it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from appstream_export.contracts import ARROW_TYPES, LIST, MAP, MAP_KEY, MAP_VALUE, Contract, split_path_steps
from appstream_export.errors import ContractError


@dataclass(slots=True)
class Leaf:
    """A scalar of a column's type. An `ignored` leaf accepts any value, which is dropped."""

    type: str = "ignored"


@dataclass(slots=True)
class Struct:
    """An object. Fields that are not in `fields` are schema drift."""

    fields: "dict[str, SchemaNode]" = field(default_factory=dict)


@dataclass(slots=True)
class List:
    """A list whose elements all have the same schema."""

    element: "SchemaNode | None" = None


@dataclass(slots=True)
class Map(List):
    """A map, read as a list of rows with the fields `key` and `value`, in order of keys."""


SchemaNode = Leaf | Struct | List


def build_item_schema(contract: Contract) -> Struct:
    """Return the tree of all paths that a contract maps or ignores; raises ContractError if two paths contradict."""
    root = Struct()
    for column in contract.item_table.answer_columns:
        _add_leaf(contract, root, split_path_steps(contract.item_sources[column.name]), Leaf(column.type))
    for table in contract.child_tables:
        for column in table.answer_columns:
            _add_leaf(contract, root, split_path_steps(table.build_source_path(column)), Leaf(column.type))
    for path in contract.ignored:
        _add_leaf(contract, root, split_path_steps(path), Leaf())
    # Last, so that a mapped or ignored path takes precedence over a sensitive one.
    for path in contract.sensitive:
        _add_ignored_leaf(root, split_path_steps(path))
    for node in walk_nodes(root):
        if isinstance(node, Map):
            _complete_map(node)
    return root


def _complete_map(node: Map) -> None:
    """Ignore the key or value of a map that no column reads, since a row of a map always has both."""
    if isinstance(node.element, Struct):
        node.element.fields = {MAP_KEY: Leaf(), MAP_VALUE: Leaf()} | node.element.fields


def _add_ignored_leaf(root: Struct, steps: list[str]) -> None:
    """Add an `ignored` leaf at the path, unless the tree has another kind of node on the path."""
    at: SchemaNode | None = root
    for n, step in enumerate(steps):
        if at is None or (step in (LIST, MAP)) is not isinstance(at, List):
            return
        if _get_child(at, step) is None:
            _set_child(at, step, Leaf() if n == len(steps) - 1 else _create_parent(steps[n + 1]))
        at = _get_child(at, step)


def build_arrow_type(schema: SchemaNode) -> pa.DataType | None:
    """Return the Arrow type of a validated item, or None if the node is ignored."""
    if isinstance(schema, Leaf):
        return ARROW_TYPES.get(schema.type)
    if isinstance(schema, List):
        element = build_arrow_type(schema.element) if schema.element else None
        return None if element is None else pa.list_(element)
    kept = ((name, build_arrow_type(child)) for name, child in schema.fields.items())
    return pa.struct([(name, kind) for name, kind in kept if kind is not None])


def _add_leaf(contract: Contract, root: Struct, steps: list[str], leaf: Leaf) -> None:
    """Add the leaf at the path `steps`, and the nodes on the way; `[]` enters a list."""
    at: SchemaNode = root
    for n, step in enumerate(steps):
        last = n == len(steps) - 1
        grown = leaf if last else _create_parent(steps[n + 1])
        child = _get_child(at, step)
        if child is None:
            _set_child(at, step, grown)
        elif type(child) is not type(grown) or (last and child != grown):
            path = ".".join(steps[: n + 1]).replace(".[]", "[]").replace(".{}", "{}")
            raise ContractError(
                f"{contract.file.name}: {path} is mapped in two ways that contradict", fix="keep one of them"
            )
        at = child or grown


def _create_parent(step: str) -> SchemaNode:
    """Return an empty node that the step leads into."""
    return List() if step == LIST else Map() if step == MAP else Struct()


def _get_child(schema: SchemaNode, step: str) -> SchemaNode | None:
    if isinstance(schema, Struct):
        return schema.fields.get(step)
    return schema.element if isinstance(schema, List) else None


def _set_child(schema: SchemaNode, step: str, child: SchemaNode) -> None:
    if isinstance(schema, Struct):
        schema.fields[step] = child
    elif isinstance(schema, List):
        schema.element = child


def walk_nodes(schema: SchemaNode) -> Iterator[SchemaNode]:
    """Yield every node at or below a node."""
    yield schema
    if isinstance(schema, List):
        yield from walk_nodes(schema.element) if schema.element else ()
    elif isinstance(schema, Struct):
        for child in schema.fields.values():
            yield from walk_nodes(child)
