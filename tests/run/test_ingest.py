"""What a sweep does to the process that it runs in."""

import gc
from collections.abc import Generator, Iterator, Mapping

import pyarrow as pa
import pytest

from appstream_export.contracts import load_contracts
from appstream_export.model import Outcome, Page, RunListener
from appstream_export.run.ingest import FLUSH_ITEMS, GARBAGE_OBJECTS, ingest_pages
from tests.factories import image_builder, outcome, page, task


def test_garbage_is_looked_for_more_rarely_only_while_a_sweep_goes_on() -> None:
    usual, meanwhile = gc.get_threshold(), []

    def answers() -> Generator[Page | Outcome]:
        meanwhile.append(gc.get_threshold()[0])
        yield from ()
        raise OSError("the last answer is a fault")

    with pytest.raises(OSError, match="the last answer"):
        ingest_pages(answers(), load_contracts(), lambda _: None, enum_values={}, listener=RunListener())

    assert (meanwhile, gc.get_threshold()) == ([GARBAGE_OBJECTS], usual)


def test_scopes_that_are_all_under_way_end_in_few_files_not_in_one_each() -> None:
    scopes = [task(f"{n:012}/eu-west-1") for n in range(16)]
    items = [image_builder(str(n)) for n in range(FLUSH_ITEMS // 10)]
    written: list[int] = []

    def write(tables: Mapping[str, pa.Table]) -> None:
        if "image_builders" in tables:
            written.append(tables["image_builders"].num_rows)

    def answers() -> Iterator[Page | Outcome]:
        yield from (page(*items, of=scope) for scope in scopes)
        yield from (outcome(scope, items=len(items)) for scope in scopes)

    ingest_pages(answers(), load_contracts(), write, enum_values={}, listener=RunListener())

    assert (len(written), sum(written)) == (2, len(scopes) * len(items))
