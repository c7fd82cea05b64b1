"""Words that the lake's results share when they speak to people."""


def format_count(number: int, what: str) -> str:
    """A number and what is counted.

    >>> format_count(1, "file"), format_count(12_000, "file")
    ('1 file', '12,000 files')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"
