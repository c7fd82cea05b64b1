"""Moments that DuckDB and Parquet give as microseconds. Apart from `parquet`, so that a cold query loads none of it."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def convert_epoch_us(micros: int) -> datetime:
    """Return a time in UTC from microseconds since 1970.

    The form in which rows fetch times: Arrow takes long to make them, and DuckDB 1.4 needs pytz for a TIMESTAMPTZ.
    """
    return _EPOCH + timedelta(microseconds=micros)
