"""Manifests: what is damaged is named, what is newer is refused clearly."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appstream_export.errors import ConfigurationError, ExportError, StorageFailed
from appstream_export.lake.maintenance.verify import verify_warehouse
from appstream_export.lake.snapshots.manifest import load_head
from tests.lake.lakes import A, Lake, builder, ok


def path_of(lake: Lake) -> Path:
    return lake.store.root / "commits/000000000001.json"


def test_a_manifest_reads_back_as_it_was_written(lake: Lake) -> None:
    assert lake.commit(ok(A)) == load_head(lake.store)


def test_there_is_no_head_before_the_first_commit(lake: Lake) -> None:
    assert load_head(lake.store) is None


def test_other_names_among_the_commits_are_no_manifests(lake: Lake) -> None:
    manifest = lake.commit(ok(A))
    for name in ("notes.txt", ".tmp-x.json", "2.json", "000000000002.json.bak"):
        path_of(lake).with_name(name).touch()

    assert load_head(lake.store) == manifest


def damage_text(text: str) -> str:
    return text.replace('"ok', '"no').replace("sweep", "sweet")


DAMAGES = {
    "text": damage_text,
    "cut": lambda t: t[:100],
    "empty": lambda _: "",
    "list": lambda _: "[]",
    "bare": lambda _: "{}",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_manifest_is_named(lake: Lake, damage: Callable[[str], str]) -> None:
    lake.commit(ok(A))
    path_of(lake).write_text(damage(path_of(lake).read_text()))

    with pytest.raises(StorageFailed, match=r"commits/000000000001\.json is damaged") as found:
        load_head(lake.store)
    assert "\n" not in str(found.value)


def rewritten(lake: Lake, **changes: Any) -> None:
    content = json.loads(path_of(lake).read_text())
    path_of(lake).write_text(json.dumps(content | changes))


def test_a_manifest_of_a_newer_format_is_refused_with_what_to_do(lake: Lake) -> None:
    lake.commit(ok(A))
    rewritten(lake, schema_version=3, tables="something new")

    with pytest.raises(ConfigurationError, match=r"written in format 3 by a newer appstream-export.*upgrade"):
        load_head(lake.store)


def test_a_manifest_under_another_number_is_damaged(lake: Lake) -> None:
    lake.commit(ok(A))
    path_of(lake).rename(path_of(lake).with_name("000000000007.json"))

    with pytest.raises(ExportError, match="damaged"):
        load_head(lake.store)


@pytest.mark.parametrize(
    "path",
    [
        "../elsewhere/snapshot_id=x/a.parquet",
        "/etc/snapshot_id=x/a.parquet",
        "tables/t/snapshot_id=x/../../../../a.parquet",
        "tables/image_builders/*/*.parquet",
        "tables/image_builders/snapshot_id=x/[a-z].parquet",
    ],
)
def test_a_forged_path_is_refused_by_all_before_anything_is_read(lake: Lake, path: str) -> None:
    manifest = lake.commit(ok(A, builder("a")))
    items = manifest.tables["image_builders"]
    forged = msgspec.structs.replace(items, files=[msgspec.structs.replace(items.files[0], path=path)])
    tables = manifest.tables | {"image_builders": forged}
    path_of(lake).write_bytes(msgspec.structs.replace(manifest, tables=tables).add_digest().encode_json())

    for act in (lambda: load_head(lake.store), lake.publish, lambda: lake.commit(ok(A))):
        with pytest.raises(StorageFailed, match=r"json is damaged: .* is not a table file") as refused:
            act()
        assert "\n" not in str(refused.value)
    assert [(p.path, p.is_note) for p in verify_warehouse(lake.store).problems] == [
        ("commits/000000000001.json", False)
    ]


def test_layout_and_spaces_do_not_matter(lake: Lake) -> None:
    manifest = lake.commit(ok(A))
    rewritten(lake)

    assert load_head(lake.store) == manifest


def forge(lake: Lake, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the newest manifest, and compute its digest again as its writer would."""
    content = json.loads(path_of(lake).read_text())
    change(content)
    del content["digest"]
    digest = hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()
    path_of(lake).write_text(json.dumps(content | {"digest": digest}))


def retire(columns: dict[str, Any]) -> Callable[[dict[str, Any]], object]:
    """Name a table of a contract that is gone, with these columns over the files of another."""
    return lambda m: m["tables"].update(gone=m["tables"]["image_builders"] | {"columns": columns})


def keep(columns: dict[str, Any]) -> Callable[[dict[str, Any]], object]:
    """Name such a table among the rows that outlive their snapshots."""
    return lambda m: m.update(past=[], kept={"gone": [m["tables"]["image_builders"] | {"columns": columns}]})


FORGED: dict[str, Callable[[dict[str, Any]], object]] = {
    "a retired column of an unknown type": retire({"x": "odd"}),
    "a retired column without a name": retire({"": "string"}),
    "a retired column that is SQL": retire({"a\"b'; --": "string"}),
    "a retired column that no file has": retire({"x": "string"}),
    "retired columns that differ in case": retire({"x": "string", "X": "string"}),
    "a kept column of an unknown type": keep({"x": "odd"}),
    "a kept column that no file has": keep({"x": "string"}),
    "a column that is no text": lambda m: m["tables"]["image_builders"]["columns"].update(name=None),
    "columns that no file has": lambda m: m["tables"]["image_builders"].update(columns={"x": "string"}),
    "a table that is SQL": lambda m: m["tables"].update({'x"; --': m["tables"]["image_builders"]}),
    "a table that differs in case": lambda m: m["tables"].update(ACCOUNTS=m["tables"]["accounts"]),
    "no table of snapshots": lambda m: m["tables"].pop("snapshots"),
    "no table of scopes": lambda m: m["tables"].pop("scope_runs"),
    "no tables": lambda m: m.update(tables={}),
    "fewer rows than none": lambda m: m["tables"]["image_builders"]["files"][0].update(rows=-1),
    "more bytes than a file has": lambda m: m["tables"]["image_builders"]["files"][0].update(bytes=2**64),
    "a digest that is none": lambda m: m["tables"]["image_builders"]["files"][0].update(sha256="x"),
    "an unknown kind": lambda m: m.update(kind="sweet"),
    "an id that is a path": lambda m: m.update(snapshot_id="../x"),
    "a moment without a zone": lambda m: m.update(committed_at="2026-01-01T00:00:00"),
    "a count that no column holds": lambda m: m["counts"].update(items=2**70),
    "itself as its history": lambda m: m.update(past=[dict(m)]),
}


@pytest.mark.parametrize("change", FORGED.values(), ids=FORGED)
def test_whatever_a_forged_manifest_says_is_refused_in_one_line(
    lake: Lake, change: Callable[[dict[str, Any]], object]
) -> None:
    lake.commit(ok(A, builder("a")))
    path_of(lake).chmod(0o600)
    forge(lake, change)

    def read_and_continue() -> None:
        lake.connected().sql("from image_builders_history").fetchall()
        lake.commit(ok(A, builder("a")))

    with pytest.raises(ExportError) as refused:
        read_and_continue()
    assert "\n" not in str(refused.value)
    assert re.search(r"restore|verify", str(refused.value)), "says how to fix it"
    if "is damaged" in str(refused.value):
        assert [problem.path for problem in verify_warehouse(lake.store).problems] == ["commits/000000000001.json"]
