"""Each scope of a warehouse, compared with the World; and the settings of exports."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.world import Row, World

_SCOPES = "select account_id, region, status, reason, is_stale, throttles, api_calls from scope_runs"
# A list per builder, in AWS's order. Grouped once: correlated subqueries would cost a join for each builder.
ROWS = """
with subnets as (
    select account_id, region, image_builder_name, list(subnet_id order by position) as ids
    from image_builder_subnets group by all
), security_groups as (
    select account_id, region, image_builder_name, list(security_group_id order by position) as ids
    from image_builder_security_groups group by all
)
select b.account_id, b.region, b.name, b.arn, b.state, epoch_us(b.created_time), s.ids, g.ids
from image_builders as b
left join subnets as s
    on b.account_id = s.account_id and b.region = s.region and b.name = s.image_builder_name
left join security_groups as g
    on b.account_id = g.account_id and b.region = g.region and b.name = g.image_builder_name
"""
_CHANGED = "select account_id, region, count(*) filter (change = 'deleted') from image_builder_changes group by all"


@dataclass(slots=True)
class Seen:
    """One scope in the newest snapshot."""

    status: str
    reason: str | None
    is_stale: bool
    throttles: int
    api_calls: int
    rows: list[Row] = field(default_factory=list)
    deleted: int | None = None
    """Builders that the newest snapshot calls deleted; None where it has no change at all."""

    @property
    def is_ok(self) -> bool:
        """Whether it answered completely."""
        return self.status == "ok"


Scopes = dict[tuple[str, str], Seen]


def seen(warehouse: Path) -> Scopes:
    """Return every scope of the newest snapshot, rows in order of name."""
    from appstream_export.lake.catalog import connect_warehouse  # loads DuckDB, which no sweep needs

    with closing(connect_warehouse(str(warehouse))) as con:
        scopes: Scopes = {(a, r): Seen(*rest) for a, r, *rest in con.execute(_SCOPES).fetchall()}
        for scope, rows in group_rows(con.execute(ROWS).fetchall()).items():
            scopes[scope].rows = rows
        for account, region, deleted in con.execute(_CHANGED).fetchall():
            scopes[account, region].deleted = deleted
    return scopes


def group_rows(rows: Iterable[tuple[Any, ...]]) -> dict[tuple[str, str], list[Row]]:
    """Return the rows of the query ROWS by scope, in order of name."""
    found: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    for account, region, *rest in rows:
        found[account, region].append(tuple(tuple(v) if isinstance(v, list) else v for v in rest))
    return {scope: sorted(of_scope) for scope, of_scope in found.items()}


def mismatches(scopes: Scopes, now: World, before: World | None = None) -> list[str]:
    """Describe scopes with wrong rows: those of `now` are right where the scope is ok, else those of `before`."""
    wrong = []
    for (account, region), found in sorted(scopes.items()):
        world = now if found.is_ok else before
        truth = world.truth(account, region) if world else []
        if found.rows != truth:
            wrong.append(f"{account}/{region} ({found.status}): {difference(found.rows, truth)}")
        if found.is_stale is found.is_ok or (found.reason is None) is not found.is_ok:
            wrong.append(f"{account}/{region} ({found.status}): stale {found.is_stale}, reason {found.reason}")
        if not found.is_ok and found.deleted is not None:
            wrong.append(f"{account}/{region} ({found.status}): changes of a scope without an answer")
    return wrong


def difference(rows: Sequence[Row], truth: Sequence[Row]) -> str:
    """Return counts and the first row on either side that the other lacks."""
    lost = next((row for row in truth if row not in rows), None)
    extra = next((row for row in rows if row not in truth), None)
    return f"{len(rows)} rows instead of {len(truth)}; first lost {lost}; first extra {extra}"


def foreign(scopes: Scopes) -> int:
    """Count builders under another scope than that of their name and Arn."""
    return sum(not _belongs(row, scope) for scope, found in scopes.items() for row in found.rows)


def _belongs(row: Row, scope: tuple[str, str]) -> bool:
    account, region = scope
    name, arn = str(row[0]), str(row[1])
    return name.startswith(f"builder-{account}-{region}-") and arn.startswith(f"arn:aws:appstream:{region}:{account}:")


def statuses(scopes: Iterable[Seen]) -> dict[str, int]:
    """Count scopes by status."""
    return dict(sorted(Counter(scope.status for scope in scopes).items()))


def settings_of(url: str, accounts: Sequence[dict[str, Any]], regions: Sequence[str], **extract: Any) -> dict[str, Any]:
    """Return a configuration file's content: these accounts and regions of the page server at `url`."""
    scopes = {"regions": list(regions), "accounts": list(accounts)}
    return {"warehouse": "warehouse", **scopes, "aws": {"endpoint_url": url}, "extract": extract}


def by_role(account: str) -> dict[str, Any]:
    """Return one of the `[[accounts]]`, read through a role of its own."""
    return {"id": account, "role_arn": f"arn:aws:iam::{account}:role/reader"}


def write_toml(file: Path, mapping: Mapping[str, Any]) -> None:
    """Write a configuration to its file; JSON's strings, numbers and lists are TOML too."""
    parts = {f"[{name}]": [table] for name, table in mapping.items() if isinstance(table, Mapping)}
    parts |= {"[[accounts]]": mapping["accounts"]}
    top = {key: value for key, value in mapping.items() if key != "accounts" and not isinstance(value, Mapping)}
    file.write_text(_lines(top) + "".join(f"{head}\n{_lines(each)}" for head, all_ in parts.items() for each in all_))


def _lines(table: Mapping[str, Any]) -> str:
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
