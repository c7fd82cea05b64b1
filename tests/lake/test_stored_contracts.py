"""Contracts in a warehouse: a reader without their files sees the tables, and nothing planted there becomes SQL."""

import hashlib
import json
import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from appstream_export.contracts import Contract, decode_contract, encode_contract, load_contract, load_contracts
from appstream_export.errors import ContractError
from appstream_export.lake.catalog import connect_unchecked
from appstream_export.lake.maintenance import erase_account, expire_snapshots, vacuum_warehouse
from appstream_export.lake.maintenance.verify import verify_warehouse
from appstream_export.lake.snapshots import load_head
from appstream_export.lake.snapshots.manifest import ContractEntry
from appstream_export.lake.storage import build_manifest_path
from appstream_export.settings import RetentionSettings
from tests.lake.lakes import EVERYWHERE, A, C, Lake, builder, ok
from tests.run.test_several_resources import FLEETS

CALLS = """
with = { Type = "PRIVATE", Filters = [{ Name = "{name}" }] }
pages = { token = "NextToken", size = "MaxResults" }
action = "appstream:ListFleets"
once_per = "account"
owned = false
per = "stacks"
limits = { max_calls = 5, max_calls_per_s = 0.5 }
"""
GROUPS = (
    (
        FLEETS
        + """stack = { from = "{name}", type = "string", doc = "Stack." }
created = { from = "Created", type = "timestamp", doc = "Quotes ' and \\" and $." }
[fleet_members]
doc = "Members."
rows_from = "Groups[].Members"
id = { from = ".", type = "string", doc = "Id." }
[ignored]
"Other" = "not needed"
"""
    )
    .replace('key = ["name"]', 'key = ["name"]\ncreated_at_column = "created"')
    .replace("[fleets]", f"{CALLS}[fleets]")
)


def own_contract(folder: Path, text: str = FLEETS) -> Contract:
    (folder / "fleets.toml").write_text(text)
    return load_contract(folder / "fleets.toml")


@pytest.fixture
def foreign(lake: Lake, tmp_path: Path) -> Lake:
    """A warehouse with a resource of which its readers have no file."""
    lake.contracts = [*load_contracts(), own_contract(tmp_path)]
    lake.commit(ok(A, builder("a")), ok(C, builder("c")))
    return lake


def stored_path(lake: Lake) -> Path:
    head = load_head(lake.store)
    assert head is not None
    return Path(lake.store.root) / "contracts" / f"{head.contracts['fleets'].sha256}.json"


def plant(lake: Lake, content: bytes, name: str = "fleets") -> None:
    """Name another contract in the newest manifest, with all digests right."""
    head = load_head(lake.store)
    assert head is not None
    digest = hashlib.sha256(content).hexdigest()
    (Path(lake.store.root) / "contracts" / f"{digest}.json").write_bytes(content)
    entries = {n: e for n, e in head.contracts.items() if n != "fleets"}
    forged = msgspec.structs.replace(head, contracts=entries | {name: ContractEntry(bytes=len(content), sha256=digest)})
    file = Path(lake.store.root) / build_manifest_path(head.seq)
    file.unlink()
    file.write_bytes(forged.add_digest().encode_json())


def load_comments(con: duckdb.DuckDBPyConnection) -> list[str]:
    sql = "select comment from duckdb_views() where view_name = 'fleets' and schema_name = 'main'"
    return [comment for (comment,) in con.sql(sql).fetchall()]


def view_names(lake: Lake) -> set[str]:
    with closing(connect_unchecked(str(lake.store.root))) as con:
        return {name for (name,) in con.sql("select view_name from duckdb_views() where not internal").fetchall()}


@pytest.mark.parametrize("text", [FLEETS, GROUPS])
def test_a_contract_comes_back_from_its_json_and_layout_does_not_change_it(text: str, tmp_path: Path) -> None:
    contract = own_contract(tmp_path, text)
    content = encode_contract(contract)

    assert replace(decode_contract("fleets", content), file=contract.file) == contract
    assert encode_contract(own_contract(tmp_path, f"# a comment\n{text}")) == content


@pytest.mark.parametrize("contract", load_contracts(), ids=lambda c: c.name)
def test_packaged_contracts_come_back_too(contract: Contract) -> None:
    assert replace(decode_contract(contract.name, encode_contract(contract)), file=contract.file) == contract


@EVERYWHERE
def test_a_reader_without_the_file_sees_the_table(foreign: Lake) -> None:
    with closing(connect_unchecked(str(foreign.store.root), s3=foreign.s3)) as con:
        assert con.sql("select count(*) from fleets").fetchall() == [(0,)]
        assert con.sql(
            "select comment from duckdb_views() where view_name = 'fleets' and schema_name = 'main'"
        ).fetchall() == [("One row per fleet.",)]


@pytest.mark.slow
def test_a_manifest_of_an_older_version_names_no_contracts_and_is_read(foreign: Lake) -> None:
    head = load_head(foreign.store)
    assert head is not None
    file = Path(foreign.store.root) / build_manifest_path(head.seq)
    file.unlink()
    file.write_bytes(msgspec.structs.replace(head, contracts={}).add_digest().encode_json())

    assert b'"contracts"' not in file.read_bytes()
    assert {"image_builders", "fleets_history"} <= view_names(foreign)
    assert "fleets" not in view_names(foreign)


HOSTILE: dict[str, Callable[[dict[str, Any]], object]] = {
    "a statement as name of a table": lambda raw: raw | {'x"; drop view image_builders; --': raw["fleets"]},
    "a view of the export": lambda raw: raw | {"coverage": {**CHILD}},
    "a statement as name of a column": lambda raw: (
        raw | {"fleets": {**raw["fleets"], "a) as select 1; --": {"from": "A", "type": "string", "doc": "A."}}}
    ),
    "a type of its own": lambda raw: (
        raw | {"fleets": {**raw["fleets"], "a": {"from": "A", "type": "varchar; drop view x", "doc": "A."}}}
    ),
    "sql": lambda raw: raw | {"sql": "select * from read_text('/etc/passwd')"},
    "a path that is none": lambda raw: (
        raw | {"fleets": {**raw["fleets"], "a": {"from": "A'); --", "type": "string", "doc": "A."}}}
    ),
    "an operation that writes": lambda raw: raw | {"operation": "DeleteFleet"},
    "a text of two lines": lambda raw: raw | {"doc": "one\ntwo"},
    "no table": lambda _: {},
    "a list": lambda _: [1],
    "numbers": lambda raw: dict.fromkeys(raw, 1),
    "nothing": lambda raw: dict.fromkeys(raw),
}
CHILD = {"doc": "D.", "rows_from": "A", "id": {"from": ".", "type": "string", "doc": "I."}}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_planted_contract_is_refused_as_a_file_would_be(what: str, tmp_path: Path) -> None:
    raw = json.loads(encode_contract(own_contract(tmp_path)))

    with pytest.raises(ContractError) as refused:
        decode_contract("fleets", json.dumps(HOSTILE[what](raw)).encode())
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"\xff", b"[" * 100_000, b'{"a":' * 100_000, b"{}" + b" " * 1_000_000])
def test_what_is_no_contract_is_refused(content: bytes) -> None:
    with pytest.raises(ContractError):
        decode_contract("fleets", content)


@pytest.mark.parametrize("name", ["x", "FLEETS", "x; drop view y", "select"])
def test_a_contract_under_another_name_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ContractError):
        decode_contract(name, encode_contract(own_contract(tmp_path)))


@pytest.mark.slow
def test_a_planted_contract_with_a_table_of_ours_or_nonsense_is_left_out_with_one_line(
    foreign: Lake, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    taken = (
        FLEETS
        + '[image_builder_subnets]\ndoc = "D."\nrows_from = "A"\nid = { from = ".", type = "string", doc = "I." }'
    )
    for content in (encode_contract(own_contract(tmp_path, taken)), b"{}"):
        plant(foreign, content)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            found = view_names(foreign)
        [line] = [record.getMessage() for record in caplog.records if "fleets" in record.getMessage()]
        assert ("image_builders" in found, "fleets" in found, "left out" in line) == (True, False, True)
        assert "\n" not in line


def test_a_planted_doc_stays_text(foreign: Lake) -> None:
    raw = json.loads(encode_contract(foreign.contracts[-1]))
    raw["fleets"]["doc"] = "it's \"x\"; drop view image_builders; -- $$ '"
    plant(foreign, json.dumps(raw).encode())

    with closing(connect_unchecked(str(foreign.store.root))) as con:
        assert con.sql(
            "select comment from duckdb_views() where view_name = 'fleets' and schema_name = 'main'"
        ).fetchall() == [(raw["fleets"]["doc"],)]
        assert con.sql("select count(*) from image_builders").fetchall() == [(2,)]


@pytest.mark.slow
def test_sql_in_a_warehouse_is_never_read(foreign: Lake) -> None:
    for place in ("contracts", "sql/views", "sql/marts"):
        folder = Path(foreign.store.root) / place
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "stolen.sql").write_text("-- stolen: X.\n-- reads: accounts\n-- n bigint: N.\nselect 1 as n")
        (folder / "stolen.toml").write_text(FLEETS.replace("fleet", "stolen"))

    assert not {name for name in view_names(foreign) if "stolen" in name}


@pytest.mark.parametrize("damage", ["missing", "changed"])
@pytest.mark.slow
def test_a_contract_that_is_gone_or_changed_is_named_and_a_run_stores_it_again(damage: str, foreign: Lake) -> None:
    file = stored_path(foreign)
    content = file.read_bytes()
    file.unlink()
    if damage == "changed":
        file.write_bytes(content.replace(b"One row", b"Two row"))

    [problem] = verify_warehouse(foreign.store).problems
    assert (problem.path, problem.is_note) == (f"contracts/{file.name}", True)
    assert "fleets" not in view_names(foreign)
    file.unlink(missing_ok=True)  # as the line says
    foreign.commit(ok(A, builder("a")))
    assert file.read_bytes() == content
    assert verify_warehouse(foreign.store).problems == ()


@pytest.mark.slow
def test_contracts_survive_gc_expire_and_erase(foreign: Lake) -> None:
    file, now = stored_path(foreign), datetime.now(UTC)
    foreign.commit(ok(A, builder("a", state="RUNNING")))
    policy = RetentionSettings(hourly_days=0, daily_days=0, monthly_months=0)
    expire_snapshots(foreign.store, now=now + timedelta(days=1), policy=policy, tool_version="0")
    assert erase_account(foreign.store, foreign.contracts, C.partition("/")[0], now=now, tool_version="0").is_gone
    vacuum_warehouse(foreign.store, foreign.contracts, now=now + timedelta(days=9), grace=timedelta())

    assert file.exists()
    assert "fleets" in view_names(foreign)
    assert verify_warehouse(foreign.store).is_sound


def test_any_value_in_any_place_of_a_contract_is_a_contract_or_one_error(tmp_path: Path) -> None:
    raw = json.loads(encode_contract(own_contract(tmp_path, GROUPS)))
    values = (None, 1, True, "", "a b", "'", [], [1], ["name", {}], {}, {"a": {}}, "\u0000", "\u2028")
    refused = [error for path in list_paths(raw) for value in values if (error := refusal(raw, path, value))]

    assert len(refused) > 100
    assert not [error for error in refused if "\n" in error]


def refusal(raw: Any, path: tuple[str, ...], value: object) -> str | None:
    """What a contract with this value in this place is refused with; None where it is one."""
    try:
        decode_contract("fleets", json.dumps(replace_value(raw, path, value)).encode())
    except ContractError as error:
        return str(error)
    return None


def list_paths(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(value, dict):
        return [path]
    return [path, *(found for key, inner in value.items() for found in list_paths(inner, (*path, key)))]


def replace_value(raw: Any, path: tuple[str, ...], value: object) -> Any:
    if not path:
        return value
    return raw | {path[0]: replace_value(raw[path[0]], path[1:], value)}
