"""Trials begin where the ones before them began."""

import pytest

from appstream_export.lake.storage.base import Store
from tests.lake.lakes import EVERYWHERE, A, B, Lake, ok
from tests.lake.model import Item, answer
from tests.lake.told import Told

pytestmark = pytest.mark.slow


def content(store: Store) -> dict[str, bytes]:
    return {file.path: store.read_bytes(file.path) for file in store.list_all()}


@EVERYWHERE
def test_a_warehouse_is_put_back_byte_by_byte_however_often_and_the_model_with_it(lake: Lake) -> None:
    told = Told(lake)
    for minute, state in enumerate(("RUNNING", "STOPPED"), 1):
        told.commit(answer(A, {"a": Item(state)}, minute=minute), planned=[A])
    told.check()
    lake.publish()
    back, there, hint = told.keep(), content(lake.store), lake.store.read_head_hint("commits")

    for _ in range(2):
        told.commit(answer(B, {"b": Item("RUNNING")}, minute=3), planned=[A, B])
        told.thin()
        told.erase(A.partition("/")[0])
        lake.draft(ok(A))
        told.tidy()
        assert there.keys() - content(lake.store).keys(), "nothing is left to be put back"
        back()

        assert (content(lake.store), lake.store.read_head_hint("commits")) == (there, hint)
        told.check()
        assert told.seq == 2
