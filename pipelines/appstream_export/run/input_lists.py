"""The lists of a run that users write: prices and platforms' end of support. Each snapshot has a copy."""

from collections.abc import Sequence
from dataclasses import dataclass

from appstream_export.inputs import read_platform_support, read_prices
from appstream_export.lake.snapshots import PriceRow, SupportRow
from appstream_export.settings import Settings


@dataclass(frozen=True, slots=True)
class InputLists:
    """The rows of the lists, as the tables of the same names have them."""

    prices: Sequence[PriceRow]
    platform_support: Sequence[SupportRow]


def read_input_lists(settings: Settings) -> InputLists:
    """Read the lists that the settings name; raises SettingsError. A run reads them before its first request."""
    feeds = settings.feeds
    return InputLists(read_prices(feeds.prices), read_platform_support(feeds.platform_support))
