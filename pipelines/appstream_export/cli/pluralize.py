"""Counts in words: a number with its noun, singular or plural."""

_HISSING = ("s", "x", "z", "ch", "sh")


def format_count(number: int, what: str) -> str:
    """Return a number with its noun, in the singular or the plural.

    >>> format_count(1, "file"), format_count(12_000, "file"), format_count(2, "fix")
    ('1 file', '12,000 files', '2 fixes')
    """
    ending = "" if number == 1 else "es" if what.endswith(_HISSING) else "s"
    return f"{number:,} {what}{ending}"
