"""An account with e-mail addresses in all that AWS sends of it: after an erase no output holds a value of it."""

import json
from datetime import UTC, datetime
from typing import Any

import pyarrow.compute as pc
import pytest

from appstream_export.emulator import make_image_builder
from appstream_export.lake.maintenance.erase import erase_account
from appstream_export.lake.maintenance.erase_proof import _extract_texts, find_account_files
from appstream_export.lake.maintenance.erased_list import HashedTexts, TextMatcher
from appstream_export.lake.maintenance.erased_values import collect_texts
from appstream_export.lake.snapshots import load_history, open_parquet_file
from appstream_export.lake.storage import Store, paths
from appstream_export.run import republish_outputs
from appstream_export.run.warehouse import open_warehouse
from tests.export import Export

STAYS, GONE = "111122223333", "444455556666"
NAME, MAIL = "jane-doe-desktop", 'Jane "JD" Doe <jane.doe@example.com>'
QUARANTINED, SHARED = "quarantine.jane@example.com", "shared.team@example.com"


def item(account: str, name: str, **fields: Any) -> dict[str, Any]:
    return {**make_image_builder(name, scope=f"{account}/eu-west-1"), **fields}


def collect_values(store: Store) -> set[str]:
    """Texts of the account's rows in all snapshots."""
    files = {file.path for manifest in load_history(store) for file in manifest.files}
    found: set[str] = set()
    for path in files:
        rows = open_parquet_file(store, path).read()
        if "account_id" in rows.schema.names:
            found |= collect_texts(rows.filter(pc.equal(rows["account_id"], GONE)))
    return found


def search(store: Store, texts: set[str]) -> dict[str, set[str]]:
    """Which of the texts each file holds, decoded as the proof decodes it."""
    hashed = HashedTexts().add_texts(texts)
    matcher, by_hash = TextMatcher(hashed), {hashed.compute_hash(text.encode()): text for text in texts}
    found = {
        stored.path: {
            by_hash[digest]
            for cells in _extract_texts(store, stored.path, store.read_bytes(stored.path))
            for digest in matcher.find_in(cells)
        }
        for stored in store.list_all()
    }
    return {path: hits for path, hits in found.items() if hits}


def folders_of(found: dict[str, set[str]]) -> set[str]:
    """Kinds of files: tables by name, else the file's own name."""
    return {path.split("/")[1] if path.startswith("tables/") else path.rpartition("/")[2] for path in found}


@pytest.mark.slow
def test_no_output_holds_a_value_of_an_erased_account(export: Export) -> None:
    export.regions = ("eu-west-1",)
    export.more = {"feeds": {"publish": True, "report": True, "csv": True}}
    export.aws.put(f"{STAYS}/eu-west-1", item(STAYS, "of-another", Team={"Mail": SHARED}))
    mine = item(GONE, NAME, Description=MAIL, OwnerContact=[{"Mail": MAIL}], Team={"Mail": SHARED})
    export.aws.put(f"{GONE}/eu-west-1", mine, item(GONE, "odd-one-of-jane", CreatedTime=QUARANTINED))
    export.run()
    export.aws.put(f"{GONE}/eu-west-1", {**mine, "DisplayName": "changed by jane.doe@example.com"})
    export.run()
    store = open_warehouse(export.settings)
    handed = paths.build_handover_path("sweep", "1")
    committed = load_history(store)[-1].snapshot_id
    message = {"account": GONE, "snapshot_id": committed, "drift": [json.dumps(MAIL)]}
    with store.open_output(handed) as file:
        file.write(json.dumps(message, separators=(",", ":")).encode())
    secrets = {NAME, MAIL, QUARANTINED, "jane.doe@example.com"}
    values, before = collect_values(store), search(store, secrets)
    left = find_account_files(store, GONE, values=HashedTexts().add_texts(values))

    assert {NAME, MAIL, QUARANTINED, SHARED} <= values
    assert folders_of(before) >= {
        "image_builders", "image_builder_changes", "quarantine", "drift",
        "image_builders.parquet", "image_builders.csv", "bi.duckdb", "report.html", "1.json",
    }  # fmt: skip
    assert [path for path in left.remaining if path.startswith("tables/drift/")], "it holds no id, and a value"

    export.accounts = (STAYS,)
    result = erase_account(
        store, export.contracts, GONE, now=datetime.now(UTC), tool_version="0",
        republish=lambda: republish_outputs(export.settings, export.contracts),
    )  # fmt: skip

    assert (result.is_gone, result.remaining) == (True, ())
    assert search(store, secrets) == {}
    assert export.sql("select path, example from drift order by path") == [
        ("OwnerContact", None),
        ("Team", '{"Mail":"shared.team@example.com"}'),
    ]
