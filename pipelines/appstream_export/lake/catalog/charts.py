"""Which columns of an answer a chart draws: those that the query's header names, or else the first that fit."""

import pyarrow as pa

from appstream_export.contracts import ChartColumns, SqlFile
from appstream_export.errors import QueryError


def choose_chart_columns(named_query: SqlFile, answer: pa.Table) -> ChartColumns:
    """Return the columns to draw; raises QueryError if the answer has no numbers.

    Without a header: the first amount of money, else the first number, by the columns before it that are not numbers.
    """
    chart = named_query.chart or _find_chart_columns(answer.schema)
    if chart is None:
        raise QueryError(f"{named_query.name} has no numbers to draw", fix="run it without --chart and --html")
    if unknown := next((name for name in (chart.value, *chart.labels) if name not in answer.column_names), None):
        known = ", ".join(answer.column_names)
        raise QueryError(f"{named_query.place}: chart: there is no column {unknown}", fix=f"its columns are {known}")
    return chart


def is_time(kind: pa.DataType) -> bool:
    """Return whether values of a type are days or moments."""
    return pa.types.is_date(kind) or pa.types.is_timestamp(kind)


def is_number(kind: pa.DataType) -> bool:
    """Return whether values of a type are numbers."""
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def _find_chart_columns(schema: pa.Schema) -> ChartColumns | None:
    numbers = [field for field in schema if is_number(field.type)]
    money = [field for field in numbers if pa.types.is_decimal(field.type)]
    if not numbers:
        return None
    value = (money or numbers)[0].name
    before = [field.name for field in schema if not is_number(field.type)]
    place = schema.get_field_index(value)
    labels = [name for name in before if schema.get_field_index(name) < place] or before[:1]
    return ChartColumns(value, tuple(labels)) if labels else None
