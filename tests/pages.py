"""The texts and tables in the compressed blocks of a report page."""

import base64
import gzip
import json
import re
from itertools import accumulate
from pathlib import Path
from typing import Any

BLOCK = re.compile(r'<script type="application/gzip" id="data-([\w-]+)">(.*?)</script>')


def read_blocks(page: Path) -> dict[str, Any]:
    """The blocks of a page by name, as JSON."""
    found = BLOCK.findall(page.read_text("utf-8"))
    return {name: json.loads(gzip.decompress(base64.b64decode(text))) for name, text in found}


def read_texts(page: Path) -> str:
    """All that a page holds, with its data decoded."""
    return page.read_text("utf-8") + json.dumps(read_blocks(page), ensure_ascii=False)


def read_rows(page: Path, name: str) -> list[dict[str, Any]]:
    """The rows of a block, as the page decodes them."""
    columns = {key: decode(column) for key, column in read_blocks(page)[name]["columns"].items()}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def decode(column: Any) -> list[Any]:
    """One column: texts by their places, numbers by their steps, or the values themselves."""
    if isinstance(column, list):
        return column
    if "steps" in column:
        return list(accumulate(column["steps"]))
    return [None if place is None else column["texts"][place] for place in column["places"]]
