"""Find items of one page that share a key but differ: the key does not identify them, so neither can become a row.

Repeats on different pages are no conflict: AWS's list changed between two calls, and the later page is newer.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any

import pyarrow as pa

from appstream_export.model import Page

CONFLICT_REASON = "ambiguous key"
"""The start of the reason in quarantine; sql/checks/ambiguous_keys.sql searches for it."""


def find_key_conflicts(
    pages: Sequence[tuple[int, Page]], first_item: int, rows: pa.Table, key: Sequence[str]
) -> dict[int, tuple[Any, str]]:
    """Return the raw item and the reason for each item with an ambiguous key, by item number.

    `rows` are the rows of the item table. The items of `pages` are numbered from `first_item`.
    """
    # Cheap check first: few batches have a key twice, and only those need a comparison of raw items.
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
            reason = f'{CONFLICT_REASON}: {len(raw)} items of one page have {", ".join(key)} "{what}" but differ'
            found |= {number: (item, reason) for number, item in zip(numbers, raw, strict=True)}
    return found


def _group_by_page(
    rows: Iterable[dict[str, Any]], starts: Sequence[int]
) -> Iterator[tuple[int, tuple[Any, ...], list[int]]]:
    """Return the page's index, the key and the item numbers of each key that occurs several times on one page."""
    groups: defaultdict[tuple[int, tuple[Any, ...]], list[int]] = defaultdict(list)
    for row in rows:
        number, *values = row.values()
        groups[bisect_right(starts, number) - 1, tuple(values)].append(number)
    return ((place, values, numbers) for (place, values), numbers in groups.items() if len(numbers) > 1)
