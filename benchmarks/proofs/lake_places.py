"""Where the lake's proofs put their warehouses: a folder, and a bucket of moto's S3 on 127.0.0.1."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import duckdb

from appstream_export.emulator import Emulator
from appstream_export.lake.catalog.connect import open_catalog_connection
from appstream_export.settings import S3Settings
from tests.lake.buckets import Bucket, Wire
from tests.lake.lakes import Lake

FOLDER, BUCKET = "folder", "S3"
Make = Callable[[], Lake]  # opens an empty warehouse


@contextmanager
def opened(where: str, folder: Path) -> Generator[Make]:
    """Empty warehouses in a place, for as long as the block lasts."""
    if where == FOLDER:
        numbers = count()
        yield lambda: Lake(folder / f"warehouse-{next(numbers)}")
        return
    with bucket() as found:
        past_the_wire = S3Settings(endpoint_url=found.aws.endpoint_url)
        yield lambda: _Near(found.place(), s3=past_the_wire)


class _Near(Lake):
    """Reads through the client it has: making one for each look would take longer than looking."""

    def connected(self) -> duckdb.DuckDBPyConnection:
        """Open a connection as readers do, unlocked."""
        return open_catalog_connection(self.store, lambda: self.contracts)


@contextmanager
def bucket() -> Generator[Bucket]:
    """Start a separate S3 server."""
    with Emulator() as aws, Wire(int(aws.endpoint_url.rpartition(":")[2])) as wire:
        yield Bucket(aws, wire)
