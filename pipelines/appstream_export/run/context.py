"""The settings, contracts and callbacks that every stage of a run needs, as one value."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Event

from appstream_export.contracts import Contract
from appstream_export.errors import Interrupted
from appstream_export.model import RunListener
from appstream_export.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """The settings and contracts of a run, its progress callbacks, and the event that stops it."""

    settings: Settings
    contracts: Sequence[Contract]
    listener: RunListener
    stop: Event
    moment: datetime | None = None
    """The time of a run on an emulated AWS; None is now."""

    def raise_if_stopped(self) -> None:
        """Raise Interrupted if the run was stopped."""
        if self.stop.is_set():
            raise Interrupted("interrupted: nothing was committed, the previous snapshot is unchanged")
