"""Contracts in a warehouse: data that lets a reader without their files see the tables of a snapshot.

A commit stores each contract as `contracts/<sha256>.json`, which never changes, and its manifest names the digests. A
contract has no SQL. Anything that may write to the warehouse may have written it, so it is read with the same checks as
a user's file; a digest does not prove its origin.
"""

import hashlib
import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

from appstream_export.contracts import Contract, ContractSet, add_contracts, decode_contract, encode_contract
from appstream_export.errors import ContractError, describe_error
from appstream_export.lake.snapshots.manifest import CONTRACT_BYTES_MAX, ContractEntry, Manifest
from appstream_export.lake.storage import Store, build_contract_path

_log = logging.getLogger(__name__)


def store_contracts(store: Store, contracts: Sequence[Contract]) -> dict[str, ContractEntry]:
    """Store contracts that the warehouse does not have yet; return the manifest's entry of each by its name."""
    entries: dict[str, ContractEntry] = {}
    for contract in contracts:
        content = encode_contract(contract)
        entry = ContractEntry(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        if entry.bytes > CONTRACT_BYTES_MAX:
            what = (
                f"{contract.file.name}: the contract has {entry.bytes:,} bytes; at most {CONTRACT_BYTES_MAX:,} are read"
            )
            raise ContractError(what, fix="shorten it, or divide it")
        _put_contract(store, build_contract_path(entry.sha256), content)
        entries[contract.name] = entry
    return entries


def _put_contract(store: Store, path: str, content: bytes) -> None:
    """Create a file whose name is its digest; after an error, the file in the store decides, as for a manifest."""
    try:
        store.put_if_absent(path, content)
    except OSError:
        # S3 gives no reason when `exists` fails, so the first error is the one to report.
        with suppress(OSError):
            if store.exists(path):
                return
        raise


def add_stored_contracts(contracts: Sequence[Contract], store: Store, manifest: Manifest | None) -> ContractSet:
    """Return the contracts, and those of a snapshot for which the reader has none; log those that cannot be used.

    A manifest of an older version names no contracts.
    """
    own = {contract.name for contract in contracts}
    missing = {name: entry for name, entry in (manifest.contracts if manifest else {}).items() if name not in own}
    return add_contracts(contracts, _load_contracts(store, missing))


def find_contract_problem(store: Store, entry: ContractEntry) -> str | None:
    """Return why a stored contract cannot be used: it is missing, changed or too large; else None."""
    try:
        _read_contract(store, entry)
    except FileNotFoundError:
        return "is missing"
    except ContractError as error:
        return error.message
    return None


def _load_contracts(store: Store, entries: Mapping[str, ContractEntry]) -> Collection[Contract]:
    found: list[Contract] = []
    for name, entry in entries.items():
        try:
            found.append(decode_contract(name, _read_contract(store, entry)))
        except Exception as error:  # noqa: BLE001  a contract that another program wrote must not stop every reader
            path, why = store.resolve_uri(build_contract_path(entry.sha256)), describe_error(error)
            _log.warning("the tables of %s are left out: %s cannot be used: %s", name, path, why)
    return found


def _read_contract(store: Store, entry: ContractEntry) -> bytes:
    """Return a stored contract; raises OSError, or ContractError if it is not what the manifest names."""
    content = store.read_tail(build_contract_path(entry.sha256), CONTRACT_BYTES_MAX + 1)
    if len(content) != entry.bytes or hashlib.sha256(content).hexdigest() != entry.sha256:
        raise ContractError("its content does not match its digest")
    return content
