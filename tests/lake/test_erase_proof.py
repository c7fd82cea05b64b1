"""The proof of an erase: values of the erased rows are found wherever they lie, and however they are written there."""

import base64
import gzip
import html
import json
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from xlsxwriter import Workbook

from appstream_export.contracts import arrow_schema
from appstream_export.contracts.model import get_operational_table
from appstream_export.errors import ConfigurationError, ExportError
from appstream_export.lake.maintenance import erased_list
from appstream_export.lake.maintenance.erase import EraseResult, erase_account
from appstream_export.lake.maintenance.erase_proof import find_account_files
from appstream_export.lake.maintenance.erased_list import HashedTexts, TextMatcher
from appstream_export.lake.maintenance.erased_values import collect_texts
from tests.lake.lakes import A, C, Lake, builder, ok
from tests.slices import long_but

GONE = C.partition("/")[0]
MAIL = 'Jähne "Doe" <jaehne.doe@example.com>'
SHARED = "shared.team@example.com"


def extra(**fields: Any) -> dict[str, str]:
    """The column of unknown fields."""
    return {"extra_json": json.dumps(fields, ensure_ascii=False)}


def commit_with_drift(lake: Lake, *examples: tuple[str, str, str], answers: tuple[Any, ...]) -> None:
    """A run that saw these unknown fields and values: path, kind, example."""
    lake.minute += 1
    draft = lake.draft(*answers)
    rows = [
        {"resource": "image_builders", "path": path, "kind": kind, "example": example, "count": 2}
        for path, kind, example in examples
    ]
    draft.write({"drift": pa.Table.from_pylist(rows, arrow_schema.build_arrow_schema(get_operational_table("drift")))})
    lake.minute -= 1
    lake.commit(*answers, draft=draft)


def erased(lake: Lake, **more: Any) -> EraseResult:
    return erase_account(lake.store, lake.contracts, GONE, now=datetime.now(UTC), tool_version="0", **more)


def drift_of(lake: Lake) -> list[tuple[Any, ...]]:
    return lake.sql('select path, example, "count" from drift order by all')


@pytest.mark.slow
def test_an_example_of_drift_stays_only_where_another_account_holds_it(lake: Lake) -> None:
    answers = (
        ok(A, builder("a", state="SHARED_STATE", **extra(Team={"Mail": SHARED, "Size": 1}, Flag=True))),
        ok(C, builder("c", state="GONE_STATE", **extra(Owner=MAIL, Team={"Mail": SHARED, "Size": 1}, Flag=True))),
    )
    commit_with_drift(
        lake,
        ("Owner", "field", json.dumps(MAIL, ensure_ascii=False)),
        ("Team", "field", json.dumps({"Size": 1, "Mail": SHARED})),
        ("Flag", "field", "true"),
        ("$.Warnings", "field", json.dumps([f"write to {MAIL}"])),
        ("State", "enum", "SHARED_STATE"),
        ("State", "enum", "GONE_STATE"),
        ("State", "enum", "OF_A_ROW_THAT_IS_NOT_THERE"),
        answers=answers,
    )
    before = find_account_files(lake.store, GONE, values=HashedTexts().add_texts([MAIL])).remaining
    result = erased(lake)

    assert [path.partition(" ")[2] for path in before] == ["(contains a value of an erased row)"]
    assert before[0].startswith("tables/drift/"), "the same search finds it before"
    assert drift_of(lake) == [
        ("$.Warnings", None, 2),
        ("Flag", "true", 2),
        ("Owner", None, 2),
        ("State", "SHARED_STATE", 2),
        ("State", None, 4),
        ("Team", json.dumps({"Size": 1, "Mail": SHARED}), 2),
    ]
    assert (result.is_gone, result.remaining) == (True, ())


@pytest.mark.slow
def test_drift_of_a_run_that_did_not_have_the_account_is_as_it_was(lake: Lake) -> None:
    commit_with_drift(lake, ("Owner", "field", '"of a run before"'), answers=(ok(A, builder("a")),))
    lake.commit(ok(A, builder("a")), ok(C, builder("c")))
    paths = {path for path in lake.files() if path.startswith("tables/drift/")}

    assert erased(lake).is_gone
    assert {path for path in lake.files() if path.startswith("tables/drift/")} == paths


def write_csv(place: Path) -> None:
    place.write_text('"name"\n"' + MAIL.replace('"', '""') + '"\n')


def write_page(place: Path) -> None:
    place.write_text(f"<td>{html.escape(MAIL)}</td>")


def write_chart(place: Path) -> None:
    place.write_text('<script type="application/json">' + json.dumps(MAIL).replace("<", "\\u003c") + "</script>")


def write_block(place: Path) -> None:
    block = base64.b64encode(gzip.compress(json.dumps({"texts": [MAIL]}).encode())).decode()
    place.write_text(f'<script type="application/gzip" id="data-builders">{block}</script>')


def write_json(place: Path) -> None:
    place.write_text(json.dumps({"why": f"not {MAIL}"}))


def write_zip(place: Path) -> None:
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as folder:
        folder.writestr("a/b.yaml", f"owner: {MAIL}")


def write_excel(place: Path) -> None:
    with Workbook(str(place), {"constant_memory": True}) as book:
        book.add_worksheet("things").write_string(0, 0, MAIL)


def write_database(place: Path) -> None:
    with duckdb.connect(str(place)) as con:
        con.execute("create table t as select ? || i as c, i as n from range(3000) r(i)", [MAIL])


def write_comment(place: Path) -> None:
    with duckdb.connect(str(place)) as con:
        con.execute("create table t (c integer)")
        con.execute(f"comment on table t is '{MAIL}'")


def write_parquet(place: Path) -> None:
    pq.write_table(pa.table({"c": [f"said {MAIL}"] * 9}), place, compression="zstd", write_statistics=False)


def write_dictionary(place: Path) -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0, 0], pa.int32()), pa.array(["a", MAIL]))
    pq.write_table(pa.table({"c": column}), place, compression="zstd", write_statistics=False)


def write_metadata(place: Path) -> None:
    field = pa.field("c", pa.int64(), metadata={"doc": MAIL})
    pq.write_table(pa.table({"c": [1]}, schema=pa.schema([field])), place)


WRITERS = {
    "feeds/v1/x.csv": write_csv,
    "report.html": write_page,
    "page.html": write_chart,
    "block.html": write_block,
    "feeds/v1/current.json": write_json,
    "superset.zip": write_zip,
    "feeds/v1/bi.duckdb": write_database,
    "feeds/v2/x.xlsx": write_excel,
    "other.duckdb": write_comment,
    "feeds/v1/x.parquet": write_parquet,
    "feeds/v1/y.parquet": write_dictionary,
    "feeds/v1/z.parquet": write_metadata,
}


@pytest.mark.slow
def test_a_value_of_an_erased_row_is_found_in_every_kind_of_file(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")), ok(C, builder("c", **extra(Owner=[{"Mail": MAIL}]))))

    def plant() -> None:
        for path, write in WRITERS.items():
            place = Path(lake.store.root) / path
            place.parent.mkdir(parents=True, exist_ok=True)
            write(place)

    result = erased(lake, republish=plant)

    assert not result.is_gone
    assert set(result.remaining) == {f"{path} (contains a value of an erased row)" for path in WRITERS}


def test_what_cannot_be_opened_counts_as_holding_it(lake: Lake) -> None:
    lake.commit(ok(A), ok(C, builder("c")))

    def plant() -> None:
        (Path(lake.store.root) / "bi.duckdb").write_bytes(b"compressed, and no database")

    assert erased(lake, republish=plant).remaining == ("bi.duckdb",)


@pytest.mark.parametrize("word", [SHARED, "of-another-account", "description"])
def test_words_that_others_hold_or_the_product_ships_are_no_leftovers(lake: Lake, word: str) -> None:
    others = builder("a", display_name="prefix of-another-account suffix", **extra(Team=SHARED))
    lake.commit(ok(A, others), ok(C, builder("c", display_name=word)))

    def plant() -> None:
        (Path(lake.store.root) / "report.html").write_text(word)

    assert erased(lake, republish=plant).is_gone


def kill_erase(lake: Lake, folder: str) -> None:
    """An erase that is killed when it removes the first file of a folder."""
    healthy = lake.store

    class Stopping:
        def __getattr__(self, name: str) -> Any:
            return self.remove_or_fail if name == "remove" else getattr(healthy, name)

        def remove_or_fail(self, path: str) -> None:
            if path.startswith(folder):
                raise KeyboardInterrupt(path)
            healthy.remove(path)

    lake.store = Stopping()
    with pytest.raises(KeyboardInterrupt):
        erased(lake)
    lake.store = healthy


def plant_csv(lake: Lake) -> Path:
    """A file that no erase deletes, with a value of the account."""
    place = Path(lake.store.root) / "export.csv"
    write_csv(place)
    return place


def find_lists(lake: Lake) -> list[Path]:
    """Files with hashes of erased values."""
    return [*Path(lake.store.root).glob("erased/*")]


LEFT = ("export.csv (contains a value of an erased row)",)


@pytest.mark.slow
@pytest.mark.parametrize("folder", long_but(["tables/", "commits/"], "tables/"))
def test_an_erase_that_was_killed_after_its_commit_still_looks_for_the_values(lake: Lake, folder: str) -> None:
    commit_with_drift(
        lake,
        ("Owner", "field", json.dumps(MAIL, ensure_ascii=False)),
        answers=(ok(A, builder("a")), ok(C, builder("c"))),  # only drift holds the value
    )
    place = plant_csv(lake)
    kill_erase(lake, folder)
    again = erased(lake)
    place.unlink()
    last = erased(lake)

    assert (again.is_gone, again.remaining) == (False, LEFT)
    assert (last.is_gone, last.remaining) == (True, ())


@pytest.mark.slow
def test_an_erase_called_again_for_the_proof_looks_for_the_values_until_they_are_gone(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")), ok(C, builder("c", display_name=MAIL)))
    place = plant_csv(lake)
    results = [erased(lake) for _ in range(3)]
    looked = erased(lake, dry_run=True)
    (listed,) = find_lists(lake)
    content = listed.read_bytes()
    place.unlink()
    last = erased(lake)

    assert [(result.is_gone, result.remaining) for result in results] == [(False, LEFT)] * 3
    assert (looked.rows, looked.is_gone) == (0, False)
    assert not [text for text in (GONE, MAIL, "example.com") if text.encode() in content + listed.name.encode()]
    assert (last.is_gone, last.remaining) == (True, ())
    assert find_lists(lake) == [], "removed with the clean proof"
    with pytest.raises(ConfigurationError, match=r"erased before.*only its id was searched for"):
        erased(lake)


@pytest.mark.slow
@pytest.mark.parametrize("damage", [Path.unlink, lambda place: place.chmod(0o600) or place.write_text("{")])
def test_without_a_whole_list_of_values_an_erase_does_not_say_that_they_are_gone(
    lake: Lake, damage: Callable[[Path], object]
) -> None:
    lake.commit(ok(A, builder("a")), ok(C, builder("c", display_name=MAIL)))
    kill_erase(lake, "tables/")
    for place in find_lists(lake):
        damage(place)
    result = erased(lake)

    assert (result.is_gone, result.has_values, result.remaining) == (False, False, ())


def test_an_erase_that_fails_before_its_commit_leaves_no_list(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")), ok(C, builder("c")))
    healthy = lake.store

    class Full:
        def __getattr__(self, name: str) -> Any:
            return self.open_or_fail if name == "open_output" else getattr(healthy, name)

        def open_or_fail(self, path: str) -> Any:
            if path.startswith("tables/snapshots/"):
                assert find_lists(lake), "written before the commit"
                raise OSError(28, "No space left on device", path)
            return healthy.open_output(path)

    lake.store = Full()
    with pytest.raises(ExportError):
        erased(lake)
    lake.store = healthy

    assert find_lists(lake) == []


@pytest.mark.parametrize("count", [1, 400])
def test_a_matcher_finds_exactly_what_is_there_whatever_its_characters(count: int) -> None:
    texts = [f"{n}-{MAIL}\n\\d+(|[*?." for n in range(count)] + ["x" * 5000]
    hashed = HashedTexts().add_texts(texts)
    find: Callable[..., set[str]] = TextMatcher(hashed).find_in
    hashes = [hashed.compute_hash(text.encode()) for text in texts]

    assert find(pa.array([f"<{texts[0]}>", "x" * 4999, None])) == {hashes[0]}
    assert find(pa.array(["y".join(texts).encode()], pa.large_binary())) == {*hashes}
    assert find(pa.array(["nothing", ""])) == set()


@pytest.mark.parametrize("shift", range(9))
def test_a_value_across_two_slices_of_a_large_file_is_found(shift: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erased_list, "_SLICE_BYTES", 16)
    hashed = HashedTexts().add_texts([MAIL, "8 chars!"])

    assert len(TextMatcher(hashed).find_in(pa.array(["x" * (9 + shift) + MAIL + "x" * shift + "8 chars!"]))) == 2


def test_texts_of_rows_are_those_of_json_too() -> None:
    nested = json.dumps(
        {"Tags": {"me@example.com": ["short", json.dumps({"Inner": "deep inside"})]}, "Broken": "{not json}"}
    )
    rows = pa.table({"json": [nested, None], "text": ["long enough", "no"], "count": [123456789, 2]})

    assert collect_texts(rows) == {"me@example.com", "deep inside", "{not json}", "long enough"}
