"""Items of one page that have one key and different content: the key does not identify them, so no row can be either.

Items that repeat over pages are another matter: AWS's list moved between two calls, and the later page is newer.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any

import pyarrow as pa

from appstream_export.model import Page

CONFLICT_REASON = "ambiguous key"
"""How the reason in quarantine begins; sql/checks/ambiguous_keys.sql looks for it."""


def find_key_conflicts(
    pages: Sequence[tuple[int, Page]], first_item: int, rows: pa.Table, key: Sequence[str]
) -> dict[int, tuple[Any, str]]:
    """Return the raw item and the reason of each item that cannot be told from another one, by the item's number.

    `rows` are the item table's, of pages whose items are numbered from `first_item`.
    """
    keys = rows.group_by(["_task", *key], use_threads=False).aggregate([])
    if len(keys) == rows.num_rows:
        return {}
    starts = list(accumulate((len(page.items) for _, page in pages), initial=first_item))
    found: dict[int, tuple[Any, str]] = {}
    for place, values, numbers in _group_by_page(rows.select(["_item", *key]).to_pylist(), starts):
        items = list(pages[place][1].items)
        raw = [items[number - starts[place]] for number in numbers]
        if any(item != raw[0] for item in raw):
            what = "/".join(map(str, values))
            reason = f'{CONFLICT_REASON}: {len(raw)} items of one page have {", ".join(key)} "{what}", and they differ'
            found |= {number: (item, reason) for number, item in zip(numbers, raw, strict=True)}
    return found


def _group_by_page(
    rows: Iterable[dict[str, Any]], starts: Sequence[int]
) -> Iterator[tuple[int, tuple[Any, ...], list[int]]]:
    """Yield each page's place, and a key that several of its items have, with the numbers of those items."""
    groups: defaultdict[tuple[int, tuple[Any, ...]], list[int]] = defaultdict(list)
    for row in rows:
        number, *values = row.values()
        groups[bisect_right(starts, number) - 1, tuple(values)].append(number)
    return ((place, values, numbers) for (place, values), numbers in groups.items() if len(numbers) > 1)
