"""Why something failed, and what happens next: the class says who acts, the text says what, where and how to fix it.

ExportError
├─ ConfigurationError       stop now, before any write: the user must change something        exit 2
├─ ScopeError               this scope failed, the run goes on; becomes a row of scope_runs
│  └─ RetriableScopeError   request again later, up to max_attempts
└─ CommitError              nothing of this snapshot is visible                               exit 4
"""

from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher, get_close_matches
from typing import ClassVar

from appstream_export.status import Status

_CANDIDATES = 10  # words that are looked at letter by letter


class ExportError(Exception):
    """A failure that the product foresees. Its text is one line for a user: `message; fix`, or `message` alone."""

    exit_code: ClassVar[int] = 4

    def __init__(self, message: str, *, fix: str | None = None) -> None:
        super().__init__(message if fix is None else f"{message}; {fix}")
        self.message, self.fix = message, fix

    @property
    def lines(self) -> list[str]:
        """The text, a line for each thing that is wrong."""
        return [str(self)]


class ConfigurationError(ExportError):
    """The user must change something; raised before any write and before any call to AWS where possible."""

    exit_code: ClassVar[int] = 2


class ContractError(ConfigurationError):
    """A file of `schemas/` does not follow the grammar; the text names file, table, column and fix."""


class SettingsError(ConfigurationError):
    """The configuration, an environment variable or a flag is wrong."""


class SettingsErrors(SettingsError):
    """Several things are wrong in one file: all of them at once, each with its line and fix."""

    LINES_MAX: ClassVar[int] = 20

    def __init__(self, errors: Sequence[SettingsError]) -> None:
        self.errors = tuple(errors)
        super().__init__(" | ".join(self.lines))

    @property
    def lines(self) -> list[str]:
        """One line per error, and one for those beyond the first twenty."""
        more = len(self.errors) - self.LINES_MAX
        shown = [str(error) for error in self.errors[: self.LINES_MAX]]
        return [*shown, f"and {more} more like these"] if more > 0 else shown


class QueryError(ConfigurationError):
    """SQL that is refused (not read only) or that DuckDB cannot run."""


class CommitError(ExportError):
    """Nothing of this snapshot is visible; the previous one still is."""


class CommitConflict(CommitError):
    """Other runs committed first, each time."""


class StorageFailed(CommitError):
    """The warehouse could not be read or written (full, read-only, damaged)."""


class ManifestDamaged(StorageFailed):
    """A manifest is not as it was written: cut, or changed. Where it is the newest, the one before may be used."""


class OutOfMemory(StorageFailed):
    """DuckDB needs more memory than its limit allows, and cannot spill it."""


class CommitStateUnknown(StorageFailed):
    """The commit's outcome is unknown. It may still become visible, so its files must not be deleted."""


class NothingExtracted(CommitError):
    """Every scope failed and there is no earlier snapshot whose rows could be kept."""


class Interrupted(CommitError):
    """The user stopped the run; nothing was committed."""


class ScopeError(ExportError):
    """One scope failed with `status`; the run goes on. `code` and `request_id` are AWS's own, where it gave them."""

    def __init__(self, status: Status, reason: str, *, code: str | None = None, request_id: str | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.code, self.request_id = status, reason, code, request_id


class RetriableScopeError(ScopeError):
    """Worth a retry; once attempts are used up it is the scope's failure."""


def describe_error(error: BaseException) -> str:
    """Return the text of any error in one line, with its class where it is not one that we foresee."""
    is_foreseen = isinstance(error, ExportError | OSError)
    return " ".join((str(error) if is_foreseen else f"{type(error).__name__}: {error}").split())


def describe_renamed(old: str, new: str) -> str:
    """Return the one line for a word of an earlier version: what it is called now."""
    return f'"{old}" is now called "{new}"; rename it'


def suggest_correction(word: str, choices: Iterable[str]) -> str | None:
    """Return `did you mean "image_builders"?` for the nearest known word, as the fix of an error, or None.

    Nearest is the one that the fewest slips of typing separate: a letter too many, too few or wrong, or, more likely
    than these, two that are swapped.
    Case, `-` and `_` do not count. Of equals the more alike comes first, then the earlier choice.
    """
    known = list(dict.fromkeys(choices))
    plain = word.casefold().replace("-", "_")
    near = [k for k in known if word and (plain in k.split("_") or k.endswith(f"_{plain}"))]
    forms: dict[str, str] = {}
    for choice in known:
        forms.setdefault(choice.casefold().replace("-", "_"), choice)
    alike = sorted(get_close_matches(plain, forms, n=_CANDIDATES, cutoff=0.5), key=list(forms).index)
    ranked = sorted(alike, key=lambda form: (_count_slips(plain, form), -SequenceMatcher(None, form, plain).ratio()))
    best = (near or [forms[form] for form in ranked])[:1]
    return f'did you mean "{best[0]}"?' if best else None


def _count_slips(word: str, other: str) -> int:
    """Return the distance of two words by Damerau and Levenshtein: 2 for a wrong letter, 1 for two that are swapped."""
    before, above = list[int](), [2 * j for j in range(len(other) + 1)]
    for i, a in enumerate(word, 1):
        row = [2 * i]
        for j, b in enumerate(other, 1):
            row.append(min(above[j] + 2, row[j - 1] + 2, above[j - 1] + 2 * (a != b)))
            if i > 1 and j > 1 and a == other[j - 2] and word[i - 2] == b:
                row[j] = min(row[j], before[j - 2] + 1)
        before, above = above, row
    return above[-1]
