"""Catalogs in a fifth of the time: creating hundreds of views takes half a second, taking over another's a tenth."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from appstream_export.lake.catalog import connect_as_rendered, file
from appstream_export.lake.storage import CATALOG_FILE, Store
from tests.lake.lakes import A, Lake, builder, ok

_read_published_catalog = file.read_published_catalog


@cache
def build_template() -> bytes:
    """A catalog to begin with, made once per process."""
    with TemporaryDirectory() as folder:
        lake = Lake(Path(folder) / "warehouse")
        lake.commit(ok(A, builder("a")))
        lake.publish()
        connect_as_rendered(lake.store, lake.contracts).close()  # compares it, so that no test has to
        return _read_published_catalog(lake.store)


def begin_with_template(patch: pytest.MonkeyPatch) -> None:
    """Let a warehouse's first catalog take over the template's views where they equal its own: see `write_catalog`."""
    patch.setattr(file, "read_published_catalog", _read_or_take_template)


def _read_or_take_template(place: Store, path: str = CATALOG_FILE) -> bytes:
    if found := _read_published_catalog(place, path):
        return found
    file.read_published_catalog = _read_published_catalog  # for the template itself
    try:
        return build_template()
    finally:
        file.read_published_catalog = _read_or_take_template
