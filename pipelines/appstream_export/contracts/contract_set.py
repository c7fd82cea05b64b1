"""The contracts that are on, with the SQL files over their tables: packaged ones, and those of users.

A user's folder of contracts adds resources, and a user's folder of SQL adds views, marts, feeds, checks and named
queries. No name may exist twice. Files that read a resource that is off are left out, so that it costs nothing.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import overload

from appstream_export.contracts.generated_checks import render_generated_checks
from appstream_export.contracts.loader import (
    DEFAULT_RESOURCES,
    NAME,
    RESERVED_TABLE_SUFFIXES,
    RESERVED_TABLES,
    SQL_KEYWORDS,
    add_parent_keys,
    check_parents,
    check_table_names,
    load_contract,
    load_packaged_contracts,
)
from appstream_export.contracts.model import Contract, list_snapshot_tables, load_operational_tables
from appstream_export.contracts.sql_files import VIEW_FOLDERS, SqlFile, load_sql_files, parse_sql_file, parse_sql_text
from appstream_export.errors import ContractError, suggest_correction, suggest_path
from appstream_export.resources import find_resource_folder

FEEDS_FOLDER, CHECKS_FOLDER, QUERIES_FOLDER, REPORT_FOLDER = "feeds", "checks", "queries", "report"
STAR_FOLDER = f"{FEEDS_FOLDER}/v2"
"""The folder of `sql/` with the star, which the files of the report read."""
USER_SQL_FOLDERS = (*VIEW_FOLDERS, FEEDS_FOLDER, CHECKS_FOLDER, QUERIES_FOLDER)
"""Folders of SQL that users may have. The report's panels are drawn by code, so users have none."""
_FEED_SOURCES = ("feed_snapshot", "feed_publication", "feed_scopes")  # besides the catalog, only feeds may read these
_REPORT_SUBJECT = "builders"  # of the files in sql/report/, the one that lists what the page shows
# Besides the catalog, only checks may read these.
_CHECK_INPUTS = ("check_limits", "scope_limits", "table_rows", "feed_columns")
_FORMS = ("", *RESERVED_TABLE_SUFFIXES)  # of each table: newest rows, history, as of a moment
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ContractSet(Sequence[Contract]):
    """The contracts that are on, in order of their names. `user_sql` has a user's SQL files by folder."""

    contracts: tuple[Contract, ...]
    user_sql: Mapping[str, tuple[SqlFile, ...]] = field(default_factory=dict)

    @overload
    def __getitem__(self, index: int) -> Contract: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Contract]: ...
    def __getitem__(self, index: int | slice) -> Contract | Sequence[Contract]:
        return self.contracts[index]

    def __len__(self) -> int:
        return len(self.contracts)


def load_contract_set(
    folder: Path | None = None, resources: Sequence[str] | None = None, sql_folder: Path | None = None
) -> ContractSet:
    """Return the contracts that are on, with a user's SQL files; raises ContractError.

    `folder` has a user's own contracts. `resources` lists what is on; by default that is `image_builders` and every
    contract of `folder`.
    """
    packaged = _list_contract_files(find_resource_folder("schemas"))
    own = _list_own_files(folder, packaged) if folder else {}
    known = packaged | own
    wanted = {*DEFAULT_RESOURCES, *own} if resources is None else set(resources)
    for name in sorted(wanted - known.keys()):
        near = suggest_correction(name, sorted(known)) or f"choose from {', '.join(sorted(known))}"
        raise ContractError(f'[contracts] resources: there is no contract "{name}"', fix=near)
    contracts = tuple(load_contract(known[name]) for name in sorted(wanted))
    check_table_names(contracts)
    check_parents(contracts)
    contracts = tuple(add_parent_keys(contracts))
    return ContractSet(contracts, _load_user_sql(sql_folder, contracts) if sql_folder else {})


def load_all_contracts(folder: Path | None) -> list[Contract]:
    """Return the packaged contracts and those of a user's folder, on or off; raises ContractError for a double name."""
    packaged = load_packaged_contracts()
    own = _list_own_files(folder, {contract.name: contract.file for contract in packaged}) if folder else {}
    return add_parent_keys([*packaged, *map(load_contract, own.values())])


def _list_contract_files(folder: Path) -> dict[str, Path]:
    return {file.stem: file for file in sorted(folder.glob("*.toml"))}


def _require_folder(folder: Path, setting: str) -> None:
    """Raise ContractError if a user's folder does not exist, or is a file."""
    if folder.is_file():
        raise ContractError(f"{setting} {folder}: is a file, not a folder", fix="name a folder")
    if not folder.is_dir():
        fix = suggest_path(Path(folder)) or "create it, or correct the path"
        raise ContractError(f"{setting} {folder}: no such folder", fix=fix)


def _list_own_files(folder: Path, packaged: Mapping[str, Path]) -> dict[str, Path]:
    """Return the files of a user's folder by resource; raises ContractError if a packaged contract has such a name."""
    _require_folder(folder, "[contracts] folder")
    own = _list_contract_files(folder)
    for name in own.keys() & packaged.keys():
        what = f"{own[name]}: the export has a contract of its own for {name}"
        fix = f'rename the file, or remove it and switch the other on: [contracts] resources = ["{name}"]'
        raise ContractError(what, fix=fix)
    return own


def add_contracts(contracts: Sequence[Contract], others: Iterable[Contract]) -> ContractSet:
    """Return the contracts with those of `others` whose resource and tables have new names; log the rest."""
    user_sql = contracts.user_sql if isinstance(contracts, ContractSet) else {}
    found = list(contracts)
    taken = {table.name for table in list_snapshot_tables(found)} | {f.name for fs in user_sql.values() for f in fs}
    for other in others:
        names = {table.name for table in (*other.tables, other.changes_table)}
        if other.name in {contract.name for contract in found}:
            continue
        if double := names & taken:
            _log.warning("the tables of %s are left out: %s has another meaning here", other.name, min(double))
            continue
        found.append(other)
        taken |= names
    return ContractSet(tuple(add_parent_keys(found)), user_sql)


def list_view_files(contracts: Sequence[Contract]) -> list[SqlFile]:
    """Return views and marts whose sources are on, each after the views that it reads; raises ContractError."""
    found = {file.name: file for folder in VIEW_FOLDERS for file in _list_files(contracts, folder)}
    known = _list_table_forms(contracts)
    views: list[SqlFile] = []
    for file in _sort_by_sources(found):
        if known.issuperset(file.reads):
            known.add(file.name)
            views.append(file)
    return views


def list_sql_files(contracts: Sequence[Contract], folder: str) -> list[SqlFile]:
    """Return the feeds, checks, queries or report files whose sources are on, by name; raises ContractError.

    Checks of table keys are rendered from the contracts.
    """
    views = list_view_files(contracts)
    known = {*_list_table_forms(contracts), *(file.name for file in views), *_FEED_SOURCES, *_CHECK_INPUTS}
    if folder == REPORT_FOLDER:
        known |= {file.name for file in list_sql_files(contracts, STAR_FOLDER)}
    files = {file.name: file for file in _list_files(contracts, folder)}
    if folder == CHECKS_FOLDER:
        rendered = render_generated_checks(contracts, views) if contracts else {}
        files |= {(file := parse_sql_text(Path("sql", folder, name), text)).name: file
                  for name, text in rendered.items()}  # fmt: skip
    return [files[name] for name in sorted(files) if known.issuperset(files[name].reads)]


def list_missing_resources(contracts: Sequence[Contract], file: SqlFile) -> list[str]:
    """Return the packaged resources that a file of `sql/` needs and that `contracts` lacks, in order of their names."""
    packaged = load_packaged_contracts()
    owners = {f"{table.name}{form}": contract.name
              for contract in packaged for table in (*contract.tables, contract.changes_table)
              for form in _FORMS}  # fmt: skip
    views = {view.name: view for view in list_view_files(packaged)}
    found, open_ones = set[str](), [file]
    while open_ones:
        sources = open_ones.pop().reads
        found |= {owners[name] for name in sources if name in owners}
        open_ones += [views[name] for name in sources if name in views]
    return sorted(found - {contract.name for contract in contracts})


def can_render_report(contracts: Sequence[Contract]) -> bool:
    """Return whether the resource that the report is about is on. Of others it says that they are off."""
    return any(file.name == _REPORT_SUBJECT for file in list_sql_files(contracts, REPORT_FOLDER))


def find_unknown_sources(contracts: Sequence[Contract], every: Sequence[Contract]) -> Iterator[str]:
    """Yield a line per user's SQL file that reads a table or view that exists nowhere; `every` are on or off."""
    user_sql = contracts.user_sql if isinstance(contracts, ContractSet) else {}
    views = {file.name for folder in VIEW_FOLDERS for file in _list_files(contracts, folder)}
    known = {*_list_table_forms(every), *views, *_FEED_SOURCES, *_CHECK_INPUTS}
    for file in (file for files in user_sql.values() for file in files):
        for name in (name for name in file.reads if name not in known):
            near = suggest_correction(name, [n for n in sorted(known) if not n.endswith(RESERVED_TABLE_SUFFIXES)])
            yield f"{file.place}: reads {name}, which does not exist{f'; {near}' if near else ''}"


def _list_files(contracts: Sequence[Contract], folder: str) -> tuple[SqlFile, ...]:
    own = contracts.user_sql.get(folder, ()) if isinstance(contracts, ContractSet) else ()
    return (*load_sql_files(folder), *own)


def _list_table_forms(contracts: Sequence[Contract]) -> set[str]:
    return {f"{table.name}{form}" for table in list_snapshot_tables(contracts) for form in _FORMS}


def _sort_by_sources(files: Mapping[str, SqlFile]) -> Iterator[SqlFile]:
    try:
        order = TopologicalSorter({n: [r for r in f.reads if r in files] for n, f in files.items()}).static_order()
        yield from [files[name] for name in order]
    except CycleError as error:
        raise ContractError(
            f"sql/: {' reads '.join(error.args[1])}: views may not read each other in a circle"
        ) from None


def _load_user_sql(folder: Path, contracts: Sequence[Contract]) -> dict[str, tuple[SqlFile, ...]]:
    """Return a user's SQL files by folder; raises ContractError for a misplaced file and for a double name."""
    _require_folder(folder, "[sql] folder")
    found: dict[str, list[SqlFile]] = {}
    for file in sorted(folder.rglob("*.sql")):
        if file.parent.parent != folder or file.parent.name not in USER_SQL_FOLDERS:
            places = ", ".join(str(folder / name) for name in USER_SQL_FOLDERS)
            raise ContractError(f"{file}: only files in {places} are read", fix="move it into one of them")
        parsed = replace(parse_sql_file(file), place=str(file.relative_to(folder.parent)))
        _check_user_file(parsed, file.parent.name, contracts)
        found.setdefault(file.parent.name, []).append(parsed)
    views = [file for name in VIEW_FOLDERS for file in found.get(name, ())]
    for file in views:
        if sum(other.name == file.name for other in views) > 1:
            raise ContractError(f"{file.place}: another view or mart has this name", fix="rename one")
    return {name: tuple(files) for name, files in found.items()}


def _check_user_file(file: SqlFile, folder: str, contracts: Sequence[Contract]) -> None:
    if not NAME.fullmatch(file.name) or file.name in SQL_KEYWORDS or file.name.endswith(RESERVED_TABLE_SUFFIXES):
        what = f'{file.place}: "{file.name}" cannot be its name: it must be lower_snake_case, and no word of SQL'
        raise ContractError(what, fix="rename the file")
    taken = {packaged.name: packaged.place for packaged in load_sql_files(folder)}
    if folder in (*VIEW_FOLDERS, FEEDS_FOLDER):
        taken |= dict.fromkeys(RESERVED_TABLES, "the export") | _list_taken_tables(folder, contracts)
    if file.name in taken:
        raise ContractError(f"{file.place}: {taken[file.name]} has this name already", fix="rename the file")
    if file.kept_columns:
        what = f"{file.place}: kept: only a view that is packaged can have it"
        raise ContractError(what, fix="remove that line")
    if folder in VIEW_FOLDERS and not file.columns:
        raise ContractError(
            f"{file.place}: its header describes no column", fix='add lines such as "-- n bigint: Doc."'
        )


def _list_taken_tables(folder: str, contracts: Sequence[Contract]) -> dict[str, str]:
    """Return names of tables with their places. A feed may replace that of a user's own table, by its name."""
    taken = {table.name: "a table of the export" for table in load_operational_tables()}
    packaged = _list_contract_files(find_resource_folder("schemas"))
    for contract in contracts:
        if folder != FEEDS_FOLDER or contract.name in packaged:
            taken |= dict.fromkeys((t.name for t in (*contract.tables, contract.changes_table)), contract.file.name)
    return taken
