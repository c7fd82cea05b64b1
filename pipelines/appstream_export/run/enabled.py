"""The contracts that settings switch on, and those of a warehouse's newest snapshot."""

from pathlib import Path

from appstream_export.contracts import Contract, ContractSet, load_all_contracts, load_contract_set
from appstream_export.errors import ContractError, suggest_correction
from appstream_export.lake.snapshots import add_stored_contracts, load_head
from appstream_export.lake.storage import Store
from appstream_export.settings import Settings


def load_known_contracts(settings: Settings) -> list[Contract]:
    """Return all contracts, on or off: the packaged ones, and those of the user's folder; raises ContractError."""
    return load_all_contracts(_find_folder(settings.contracts.folder))


def load_enabled_contracts(settings: Settings) -> ContractSet:
    """Return the contracts that a run requests, with the user's SQL; raises ContractError."""
    chosen = settings.contracts
    found = load_contract_set(_find_folder(chosen.folder), chosen.resources, _find_folder(settings.sql.folder))
    names = [contract.name for contract in found]
    for name in chosen.cadence:
        if name not in names:
            near = suggest_correction(name, names) or f"choose from {', '.join(names)}"
            raise ContractError(f"[contracts.cadence] {name}: there is no such resource, or it is off", fix=near)
    return found


def load_readable_contracts(settings: Settings, store: Store) -> ContractSet:
    """Return the enabled contracts, and those of the newest snapshot that the settings lack, for readers."""
    return add_stored_contracts(load_enabled_contracts(settings), store, load_head(store))


def _find_folder(name: str | None) -> Path | None:
    return Path(name) if name else None
