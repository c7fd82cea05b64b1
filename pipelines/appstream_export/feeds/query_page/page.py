"""The page of a named query: rows and columns as JSON, which its JavaScript draws as a chart and a table."""

import base64
import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.resources import files
from typing import Any

import jinja2
import pyarrow as pa

from appstream_export.contracts import ChartColumns, SqlFile, strip_header

_LETTERS = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})
"""Characters that could end a script element, as JSON writes them otherwise."""


def render_query_page(
    named_query: SqlFile, answer: pa.Table, chart: ChartColumns, given: Mapping[str, Any], as_of: datetime | None
) -> str:
    """Render the answer as one self-contained HTML page that makes no requests.

    `given` are the values of the query's parameters; `as_of` is when the newest snapshot of the answer was committed.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    assets = files("appstream_export.feeds.query_page")
    script = assets.joinpath("page.js").read_text("utf-8")  # built by ../report/javascript/build.mjs
    template = environment.from_string(assets.joinpath("page.html").read_text("utf-8"))
    page = template.render(
        query=named_query,
        title=f"{chart.value} by {', '.join(chart.labels)}".replace("_", " "),
        given=given,
        as_of=_convert_value(as_of),
        statement=strip_header(named_query.sql),
        answer=_encode_answer(answer, chart),
        style=files("appstream_export.feeds.report").joinpath("page.css").read_text("utf-8"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        made_at=_convert_value(datetime.now(UTC)),
    )
    return f"{page}\n"


def _encode_answer(answer: pa.Table, chart: ChartColumns) -> str:
    columns = [{"name": field.name, "kind": _get_kind(field.type)} for field in answer.schema]
    rows = [[_convert_value(value) for value in row.values()] for row in answer.to_pylist()]
    content = {"columns": columns, "rows": rows, "chart": {"value": chart.value, "labels": chart.labels}}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).translate(_LETTERS)


def _get_kind(kind: pa.DataType) -> str:
    """Return what the page does with a column: money, number, day, time or text."""
    if pa.types.is_decimal(kind):
        return "money"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return "number"
    if pa.types.is_date(kind):
        return "day"
    return "time" if pa.types.is_timestamp(kind) else "text"


def _convert_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, float) and value - value != 0:  # JSON has no infinity
        return None
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)
