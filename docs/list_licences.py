"""List the licence of each installed distribution, as its metadata states it, in docs/licences.md.

`just licences` runs it in a separate environment with every extra; a test compares the page with what is installed.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # this folder is no package
from weigh_install import PACKAGE, find_dependencies

PAGE = Path(__file__).with_name("licences.md")
BEGIN, END = "<!-- licences: begin -->\n", "<!-- licences: end -->\n"
_SPDX: Mapping[str, str] = {
    "Apache Software License": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache 2": "Apache-2.0",
    "MIT License": "MIT",
    "BSD License": "BSD",
    "BSD-3-Clause License": "BSD-3-Clause",
    "3-Clause BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "GNU Library or Lesser General Public License (LGPL)": "LGPL-3.0-or-later",
    "LGPL with exceptions": "LGPL-3.0-or-later",
    "The Unlicense (Unlicense)": "Unlicense",
}
"""Older names of licences, as their SPDX identifiers. "BSD" is as exact as such metadata gets."""
_TEXT_MAX = 60
"""A longer `License` field is the licence's text, not its name."""


def list_licences() -> dict[str, tuple[str, str]]:
    """Return the licence of each distribution, and the extra that adds it; "" for those without an extra.

    Extras that are not installed here are left out.
    """
    base = find_dependencies("")
    found = {name: (find_licence(name), "") for name in sorted(base)}
    for extra in metadata(PACKAGE).get_all("Provides-Extra") or []:
        try:
            added = sorted(find_dependencies(extra) - base)
            found |= {name: (find_licence(name), extra) for name in added if name not in found}
        except PackageNotFoundError:
            continue
    return found


def find_licence(name: str) -> str:
    """Return the SPDX expression of a distribution: from its expression, its classifiers, or its free text."""
    known = metadata(name)
    if expression := known.get("License-Expression"):
        return expression
    classifiers = [c.rpartition(" :: ")[2] for c in known.get_all("Classifier") or () if c.startswith("License :: ")]
    named = [c for c in classifiers if c != "OSI Approved"]
    text = (known.get("License") or "").strip()
    # A classifier of BSD names no clauses; the text may.
    names = [text] if text and len(text) <= _TEXT_MAX and (not named or named == ["BSD License"]) else named
    return " OR ".join(sorted({_SPDX.get(each, each) for each in names})) or "unknown"


def render_licences(found: Mapping[str, tuple[str, str]]) -> str:
    """Return the table."""
    rows = (f"| `{name}` | {licence} | {f'`{extra}`' if extra else ''} |\n" for name, (licence, extra) in found.items())
    return "".join(["| distribution | licence | only with the extra |\n", "|---|---|---|\n", *rows])


def read_rows(text: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield the rows of the page's table, as `list_licences` returns them."""
    for name, licence, extra in re.findall(r"^\| `([\w.-]+)` \| (.*?) \| (?:`(\w+)`)? \|$", text, re.M):
        yield name, (licence, extra)


if __name__ == "__main__":
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    table = render_licences(list_licences())
    PAGE.write_text(f"{before}{BEGIN}{table}{END}{rest.partition(END)[2]}", "utf-8")
