"""Errors. The class determines what happens next; the text says what failed, where, and how to fix it.

ExportError
├─ ConfigurationError       stop now, before any write: the user must change something        exit 2
├─ ScopeError               this scope failed, the run goes on; becomes a row of scope_runs
│  └─ RetriableScopeError   request again later, up to max_attempts
└─ CommitError              nothing was committed                                             exit 4
"""

import os
import re
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher, get_close_matches
from pathlib import Path
from typing import ClassVar

from appstream_export.status import Status

_CANDIDATES = 10  # words that are looked at letter by letter
_ALIKE = 0.7  # part of the letters that names of files share if one was probably meant
_SENSITIVE_NAME = r"(?:password|passwd|secret|token|signature|credential|access_?key|api_?key)"
# What texts from outside carry secrets in, with the part that may be shown as its first group.
_SECRETS: Sequence[tuple[re.Pattern[str], str]] = tuple(
    (re.compile(pattern, re.IGNORECASE), shown)
    for pattern, shown in (
        (r"(://)[^\s/?#\"'<>]{1,500}@", r"\1***@"),  # user and password of a URL, such as a proxy's
        # A password with a slash in it, but not a port and a path.
        (r"(://)[^\s/:@\"'<>]{1,200}:(?!\d{1,5}/)[^\s@\"'<>]{1,500}@", r"\1***@"),
        # A presigned URL: the whole query, if one of its names is that of a secret.
        (
            r"(\?)(?=[^\s?\"'<>]{0,4000}(?<![a-z])(?:sig|signature|token|key|credential)\w{0,20}=)[^\s\"'<>]*",
            r"\1***",
        ),
        (rf"\b([\w.-]{{0,64}}{_SENSITIVE_NAME}[\w.-]{{0,64}}=)[^\s&;,\"'<>]+", r"\1***"),
        (rf"([\"'][\w.-]{{0,64}}{_SENSITIVE_NAME}[\w.-]{{0,64}}[\"']\s*:\s*[\"'])[^\"']+", r"\1***"),
        (r"\b((?:authorization|x-amz-security-token)\s*[:=]\s*)(?:(?:bearer|basic|digest)\s+)?\S+", r"\1***"),
        (r"\b(bearer )[\w.~+/=-]{8,}", r"\1***"),
        (r"()\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?", r"\1***"),  # a JSON web token
        (r"()(?-i:\b(?:AKIA|ASIA)(?=[A-Z0-9]*[0-9])[A-Z0-9]{12,})", r"\1***"),  # key ids
    )
)


class ExportError(Exception):
    """A failure that the product foresees. Its text is one line for a user: `message; fix`, or `message` alone.

    The message may repeat what others said, so it is masked here, whatever raises it.
    """

    exit_code: ClassVar[int] = 4

    def __init__(self, message: str, *, fix: str | None = None) -> None:
        message = replace_secrets(message)
        super().__init__(message if fix is None else f"{message}; {fix}")
        self.message, self.fix = message, fix

    @property
    def lines(self) -> list[str]:
        """The message, with a line per problem."""
        return [str(self)]


class ConfigurationError(ExportError):
    """The user must change something; raised before any write and before any call to AWS where possible."""

    exit_code: ClassVar[int] = 2


class ContractError(ConfigurationError):
    """A file of `schemas/` does not follow the grammar; the text names file, table, column and fix."""


class SettingsError(ConfigurationError):
    """The configuration, an environment variable or a flag is wrong."""


class SettingsErrors(SettingsError):
    """All problems of one file, each with its line and fix."""

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
    """SQL that is refused because it does not only read, or that DuckDB cannot run."""


class CommitError(ExportError):
    """The snapshot was not committed; readers still see the previous one."""


class CommitConflict(CommitError):
    """Other runs committed first, each time."""


class StorageFailed(CommitError):
    """The warehouse could not be read or written (full, read-only, damaged)."""


class ManifestDamaged(StorageFailed):
    """A manifest is not as it was written: cut, or changed. Where it is the newest, the one before may be used."""


class OutOfMemory(StorageFailed):
    """DuckDB needs more memory than its limit and cannot spill."""


class KeptPartsLost(StorageFailed):
    """A kept part was removed or damaged while a publisher read it: its rows must be read from elsewhere."""


class CommitStateUnknown(StorageFailed):
    """The commit's outcome is unknown. It may still succeed, so its files must not be deleted."""


class NothingExtracted(CommitError):
    """Every scope failed, and no earlier snapshot has rows to carry."""


class Interrupted(CommitError):
    """The user stopped the run; nothing was committed."""


class ScopeError(ExportError):
    """One scope failed with `status`; the run continues. `code` and `request_id` are AWS's, if it sent any."""

    def __init__(self, status: Status, reason: str, *, code: str | None = None, request_id: str | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.code, self.request_id = status, self.message, code, request_id


class RetriableScopeError(ScopeError):
    """A failure that may pass; it becomes the scope's failure once all attempts are used."""


def replace_secrets(text: str) -> str:
    """Return the text with `***` for what looks like a secret: passwords and signatures of URLs, tokens, key ids."""
    for pattern, shown in _SECRETS:
        text = pattern.sub(shown, text)
    return text


def describe_error(error: BaseException) -> str:
    """Return the text of any error in one line, with its class if it is not an ExportError."""
    is_foreseen = isinstance(error, ExportError | OSError)
    return replace_secrets(" ".join((str(error) if is_foreseen else f"{type(error).__name__}: {error}").split()))


def describe_renamed(old: str, new: str) -> tuple[str, str]:
    """Return message and fix for a renamed word."""
    return f'"{old}" is now called "{new}"', "rename it"


def suggest_correction(word: str, choices: Iterable[str]) -> str | None:
    """Return `did you mean "image_builders"?` for the nearest known word, as the fix of an error, or None.

    The nearest word has the fewest typing slips: an extra, missing or wrong letter, or (most likely, so it counts
    less) two swapped letters. Case, `-` and `_` do not count. Ties go to the more similar word, then the earlier one.
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


def suggest_path(path: Path) -> str | None:
    """Return `did you mean "folder/name"?` for the nearest name beside a path that does not exist, or None."""
    if os.path.lexists(path):
        return None
    try:
        names = sorted(place.name for place in path.parent.iterdir())
    except OSError:
        return None
    near = get_close_matches(path.name, names, n=1, cutoff=_ALIKE)
    return f'did you mean "{path.with_name(near[0])}"?' if near and path.name else None


def _count_slips(word: str, other: str) -> int:
    """Return the Damerau-Levenshtein distance of two words: 2 for a wrong letter, 1 for two swapped letters."""
    before, above = list[int](), [2 * j for j in range(len(other) + 1)]
    for i, a in enumerate(word, 1):
        row = [2 * i]
        for j, b in enumerate(other, 1):
            row.append(min(above[j] + 2, row[j - 1] + 2, above[j - 1] + 2 * (a != b)))
            if i > 1 and j > 1 and a == other[j - 2] and word[i - 2] == b:
                row[j] = min(row[j], before[j - 2] + 1)
        before, above = above, row
    return above[-1]
