"""What a contract expects of an item, as a tree: the common ground of the fast path and the careful one."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from appstream_export.contracts import Contract
from appstream_export.contracts.arrow_schema import ARROW_TYPES
from appstream_export.errors import BadContract


@dataclass(slots=True)
class Leaf:
    """A scalar of a column's type; `ignored` leaves may hold anything and are dropped."""

    type: str = "ignored"


@dataclass(slots=True)
class Struct:
    """An object; fields that are not named here are drift."""

    fields: "dict[str, Shape]" = field(default_factory=dict)


@dataclass(slots=True)
class List:
    """A list whose elements all have one shape."""

    element: "Shape | None" = None


Shape = Leaf | Struct | List


def shape_of(contract: Contract) -> Struct:
    """The tree of all paths that a contract maps or ignores; raises BadContract where two of them contradict."""
    root = Struct()
    for column in contract.item_table.own:
        _plant(contract, root, column.source.split("."), Leaf(column.type))
    for table in contract.child_tables:
        steps = [*(table.each or "").replace("[]", ".[]").split("."), "[]"]
        for column in table.own:
            own = [] if column.source == "." else column.source.split(".")
            _plant(contract, root, steps + own, Leaf(column.type))
    for path in contract.ignored:
        _plant(contract, root, [s for s in path.replace("[]", ".[]").split(".") if s], Leaf())
    return root


def arrow_type(shape: Shape) -> pa.DataType | None:
    """The Arrow type of an item once it is clean; None for what is ignored."""
    if isinstance(shape, Leaf):
        return ARROW_TYPES.get(shape.type)
    if isinstance(shape, List):
        element = arrow_type(shape.element) if shape.element else None
        return None if element is None else pa.list_(element)
    kept = ((name, arrow_type(child)) for name, child in shape.fields.items())
    return pa.struct([(name, kind) for name, kind in kept if kind is not None])


def _plant(contract: Contract, root: Struct, steps: list[str], leaf: Leaf) -> None:
    """Grow the tree along `steps` (`[]` enters a list) and put the leaf at its end."""
    at: Shape = root
    for n, step in enumerate(steps):
        last = n == len(steps) - 1
        grown = leaf if last else List() if steps[n + 1] == "[]" else Struct()
        child = _child(at, step)
        if child is None:
            _attach(at, step, grown)
        elif type(child) is not type(grown) or (last and child != grown):
            path = ".".join(steps[: n + 1]).replace(".[]", "[]")
            raise BadContract(f"{contract.file.name}: {path} is read in two ways that contradict; keep one of them")
        at = child or grown


def _child(shape: Shape, step: str) -> Shape | None:
    if isinstance(shape, Struct):
        return shape.fields.get(step)
    return shape.element if isinstance(shape, List) else None


def _attach(shape: Shape, step: str, child: Shape) -> None:
    if isinstance(shape, Struct):
        shape.fields[step] = child
    elif isinstance(shape, List):
        shape.element = child


def leaves(shape: Shape) -> Iterator[Leaf]:
    """Every leaf below a shape."""
    if isinstance(shape, Leaf):
        yield shape
    elif isinstance(shape, List):
        yield from leaves(shape.element) if shape.element else ()
    else:
        for child in shape.fields.values():
            yield from leaves(child)
