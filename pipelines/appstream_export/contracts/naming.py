"""Choose column and table names in lower_snake_case for AWS's names; no name is used twice."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from itertools import count

from appstream_export.contracts.loader import (
    HEADER_KEYS,
    NAME,
    RESERVED_COLUMNS,
    RESERVED_TABLE_SUFFIXES,
    RESERVED_TABLES,
    SQL_KEYWORDS,
    TABLE_KEYS,
    convert_to_snake_case,
)
from appstream_export.contracts.paths import MAP

# Words that say too little when the structure around them is left out.
_VAGUE = frozenset(
    """arn code count description enabled id message mode name reason size state status time type value values
    version""".split()  # noqa: SIM905
)
_VAGUE_LISTS = frozenset(
    """arns data elements entries ids items lists members names results summaries values""".split()  # noqa: SIM905
)
_LENGTH_MAX = 63
_SINGULARS = (
    (r"ies$", "y"),
    (r"(ss|x|[nt]ch|sh|us|ias)es$", r"\1"),
    (r"(?<![su])s$", ""),  # not class, not status
)


def guess_singular(plural: str) -> str:
    """Guess the singular of an English plural: `policies` → `policy`, `addresses` → `address`."""
    for pattern, ending in _SINGULARS:
        if re.search(pattern, plural):
            return re.sub(pattern, ending, plural)
    return plural


def guess_plural(name: str) -> str:
    """Guess the plural of a name in snake case: `process_compatibility` → `process_compatibilities`."""
    last = name.rpartition("_")[2]
    if guess_singular(last) != last:
        return name
    if re.search(r"[^aeiou]y$", name):
        return f"{name[:-1]}ies"
    return f"{name}es" if re.search(r"(s|x|z|[nt]ch|sh)$", name) else f"{name}s"


def guess_element_name(list_path: str) -> str:
    """Return a name for one element of a list: `VpcConfig.SubnetIds` → `subnet_id`."""
    return guess_singular(convert_to_snake_case(list_path.removesuffix(MAP).rpartition(".")[2]))


def choose_column_names(sources: Iterable[str], used_names: Collection[str], owner: str) -> dict[str, str]:
    """Return a name for each path: its last step if unique, else with the steps before it, else with `owner`."""
    paths = [source.split(".") for source in sources]
    step_counts = Counter(convert_to_snake_case(path[-1]) for path in paths)
    used = {*used_names, *RESERVED_COLUMNS, *SQL_KEYWORDS, *TABLE_KEYS}
    names: dict[str, str] = {}
    for path in sorted(paths, key=len):
        unclear = len(path) > 1 and (
            step_counts[convert_to_snake_case(path[-1])] > 1 or convert_to_snake_case(path[-1]) in _VAGUE
        )
        names[".".join(path)] = _reserve_first_free_name(
            _generate_candidate_names(path, owner, 2 if unclear else 1), used
        )
    return names


def choose_table_name(path: str, owner: str, used_names: set[str]) -> str:
    """Return a name for the table of a list: `VpcConfig.SubnetIds` of an image_builder → `image_builder_subnets`."""
    steps = path.replace("[]", "").removesuffix(MAP).split(".")
    steps[-1] = re.sub(r"(?<=[a-z])(Id|Arn)s$", "s", re.sub(r"(?<=.)List$", "", steps[-1]))
    names = (
        _prefix_with_owner(guess_plural("_".join(convert_to_snake_case(s) for s in steps[-n:])), owner)
        for n in range(1, len(steps) + 1)
    )
    return _reserve_first_free_name(map(_avoid_reserved_name, names), used_names)


def choose_resource_name(items: str, operation: str, service: str, used_names: set[str], owner: str = "") -> str:
    """Return a plural for the item table: from its list, else from the operation, else from both with the service.

    Tags are those of `owner`, the name of the parent's item.
    """
    list_name = convert_to_snake_case(items.removesuffix(MAP).rpartition(".")[2])
    list_name = guess_plural(re.sub("_list$", "", list_name))
    operation_name = guess_plural(convert_to_snake_case(re.sub(r"^(Describe|List|Get)", "", operation)))
    plain = operation_name if list_name in HEADER_KEYS | _VAGUE_LISTS else list_name
    plain = f"{owner}_{list_name}" if owner and (list_name == "tags" or plain == owner) else plain
    names = (plain, f"{convert_to_snake_case(service)}_{plain}")
    return _reserve_first_free_name(
        (_avoid_reserved_name(n) for n in names if n not in SQL_KEYWORDS | HEADER_KEYS), used_names
    )


def _avoid_reserved_name(name: str) -> str:
    is_taken = name in RESERVED_TABLES or name.endswith(RESERVED_TABLE_SUFFIXES)
    return f"{name}_entries" if is_taken else name


def _prefix_with_owner(name: str, owner: str) -> str:
    return name if name.startswith(f"{owner}_") else f"{owner}_{name}"


def _generate_candidate_names(path: list[str], owner: str, steps: int) -> Iterator[str]:
    for n in range(min(steps, len(path)), len(path) + 1):
        yield "_".join(convert_to_snake_case(step) for step in path[-n:])
    yield f"{owner}_{'_'.join(convert_to_snake_case(step) for step in path)}"


def _reserve_first_free_name(names: Iterable[str], used: set[str]) -> str:
    """Return and reserve the first allowed, unused name, else the last one with a number."""
    name = ""
    for name in names:
        if NAME.fullmatch(name) and name not in used:
            break
    else:
        numbered = (f"{name[: _LENGTH_MAX - 4]}_{n}" for n in count(2))
        name = next(n for n in numbered if n not in used)
    used.add(name)
    return name
