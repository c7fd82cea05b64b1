"""Names for what AWS calls otherwise: columns and tables in lower_snake_case, singular and plural, never twice."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from itertools import count

from appstream_export.contracts.loader import (
    HEAD_WORDS,
    NAME,
    RESERVED,
    SQL_WORDS,
    TABLE_WORDS,
    TAKEN_ENDINGS,
    TAKEN_TABLES,
    snake,
)

# Words that say too little when the structure around them is left out.
_VAGUE = frozenset(
    """arn code count description enabled id message mode name reason size state status time type value values
    version""".split()  # noqa: SIM905
)
_LENGTH_MAX = 63
_SINGULARS = (
    (r"ies$", "y"),
    (r"(ss|x|[nt]ch|sh|us|ias)es$", r"\1"),
    (r"(?<![su])s$", ""),  # not class, not status
)


def singular_of(plural: str) -> str:
    """`fleets` → `fleet`, `policies` → `policy`, `addresses` → `address`; a guess, as English goes."""
    for pattern, ending in _SINGULARS:
        if re.search(pattern, plural):
            return re.sub(pattern, ending, plural)
    return plural


def column_names(sources: Iterable[str], taken: Collection[str], owner: str) -> dict[str, str]:
    """A name for each path: its last step where that is clear, else with the steps before it, else with `owner`."""
    paths = [source.split(".") for source in sources]
    often = Counter(snake(path[-1]) for path in paths)
    used = {*taken, *RESERVED, *SQL_WORDS, *TABLE_WORDS}
    names: dict[str, str] = {}
    for path in sorted(paths, key=len):
        unclear = len(path) > 1 and (often[snake(path[-1])] > 1 or snake(path[-1]) in _VAGUE)
        names[".".join(path)] = _first_free(_longer_and_longer(path, owner, 2 if unclear else 1), used)
    return names


def table_name(path: str, owner: str, taken: set[str]) -> str:
    """A name for the table of a list: `VpcConfig.SubnetIds` of an image_builder → `image_builder_subnets`."""
    steps = path.replace("[]", "").split(".")
    steps[-1] = re.sub(r"(?<=[a-z])(Id|Arn)s$", "s", re.sub(r"(?<=.)List$", "s", steps[-1]))
    names = (_owned("_".join(snake(s) for s in steps[-n:]), owner) for n in range(1, len(steps) + 1))
    return _first_free(map(_as_table_name, names), taken)


def resource_name(items: str, operation: str, service: str, taken: set[str]) -> str:
    """A name for the items' table: their list's, or the operation's where that says nothing, or with the service."""
    of_list = snake(items.rpartition(".")[2])
    of_list = f"{of_list.removesuffix('_list')}s" if of_list.endswith("_list") else of_list
    of_operation = snake(re.sub(r"^(Describe|List|Get)", "", operation))
    plain = of_operation if of_list in HEAD_WORDS else of_list
    names = (plain, f"{snake(service)}_{plain}")
    return _first_free((_as_table_name(n) for n in names if n not in SQL_WORDS | HEAD_WORDS), taken)


def _as_table_name(name: str) -> str:
    is_taken = name in TAKEN_TABLES or name.endswith(TAKEN_ENDINGS)
    return f"{name}_entries" if is_taken else name


def _owned(name: str, owner: str) -> str:
    return name if name.startswith(f"{owner}_") else f"{owner}_{name}"


def _longer_and_longer(path: list[str], owner: str, steps: int) -> Iterator[str]:
    for n in range(min(steps, len(path)), len(path) + 1):
        yield "_".join(snake(step) for step in path[-n:])
    yield f"{owner}_{'_'.join(snake(step) for step in path)}"


def _first_free(names: Iterable[str], used: set[str]) -> str:
    """The first name that is allowed and free, else the last one with a number; it is used from then on."""
    name = ""
    for name in names:
        if NAME.fullmatch(name) and name not in used:
            break
    else:
        numbered = (f"{name[: _LENGTH_MAX - 4]}_{n}" for n in count(2))
        name = next(n for n in numbered if n not in used)
    used.add(name)
    return name
