"""An extraction under test: few words for who is asked, and what came of it."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from appstream_export.contracts import load_contracts
from appstream_export.extract import extract_tasks
from appstream_export.extract.accounts import list_configured_accounts
from appstream_export.extract.aws import build_scopes
from appstream_export.model import Outcome, Page, ScanOptions, Task
from appstream_export.settings import Settings, parse_settings

A, B = "111122223333", "444455556666"
EU, US = "eu-west-1", "us-east-1"


@dataclass
class Answer:
    """What an extraction gave, in order."""

    results: list[Page | Outcome] = field(default_factory=list)

    @property
    def pages(self) -> list[Page]:
        return [r for r in self.results if isinstance(r, Page)]

    @property
    def outcomes(self) -> dict[str, Outcome]:
        return {str(r.task.scope): r for r in self.results if isinstance(r, Outcome)}

    @property
    def only(self) -> Outcome:
        (outcome,) = self.outcomes.values()
        return outcome

    @property
    def statuses(self) -> dict[str, str]:
        return {scope: str(outcome.status) for scope, outcome in self.outcomes.items()}

    def items(self, scope: str | None = None) -> list[Any]:
        """Raw items of answered tasks, in order; those of a scan that had to begin anew left out."""
        ended = {o.task for o in self.outcomes.values() if o.status.is_answer}
        starts = {p.task: n for n, p in enumerate(self.pages) if p.number == 0}
        pages = [p for n, p in enumerate(self.pages) if p.task in ended and n >= starts[p.task]]
        return [i for p in pages if scope in (None, str(p.task.scope)) for i in p.items]

    def names(self, scope: str | None = None) -> list[Any]:
        return [i["Name"] for i in self.items(scope)]


@dataclass
class Asking:
    """Who is asked, and how; accounts are roles unless `accounts` says otherwise."""

    endpoint_url: str | None
    folder: Path
    ids: Sequence[str] = (A,)
    regions: Sequence[str] = (EU,)
    accounts: list[dict[str, Any]] | None = None
    extract: dict[str, Any] = field(default_factory=lambda: {"max_attempts": 2, "workers": 8})
    aws: dict[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        roles = [{"id": i, "role_arn": f"arn:aws:iam::{i}:role/reader"} for i in self.ids]
        mapping = {
            "regions": list(self.regions),
            "accounts": self.accounts or roles,
            "aws": self.aws | ({"endpoint_url": self.endpoint_url} if self.endpoint_url else {}),
            "extract": self.extract,
        }
        return parse_settings(mapping, self.folder / "appstream-export.toml")

    def start(self, *, stop: threading.Event | None = None, run_id: str = "run-1", **options: Any) -> Any:
        """The generator of pages and outcomes; `options` are the fields of ScanOptions."""
        settings, configured = self.settings, list_configured_accounts(self.settings)
        tasks = [Task("image_builders", s) for s in build_scopes(settings, configured, "appstream")]
        contracts = {c.name: c for c in load_contracts()}
        accounts = {a.id: a for a in configured}
        stop = stop or threading.Event()
        return extract_tasks(tasks, contracts, accounts, settings, ScanOptions(**options), run_id=run_id, stop=stop)

    def run(self, **options: Any) -> Answer:
        """All of it."""
        return Answer(list(self.start(**options)))
