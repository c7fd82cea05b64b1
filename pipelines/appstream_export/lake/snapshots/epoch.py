"""Times from microseconds. Separate from `parquet`, so that a cold query need not import Arrow."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def convert_epoch_us(micros: int) -> datetime:
    """Return a time in UTC from microseconds since 1970.

    Times are fetched as microseconds, because Arrow converts them slowly and DuckDB 1.4 needs pytz for a TIMESTAMPTZ.
    """
    return _EPOCH + timedelta(microseconds=micros)
