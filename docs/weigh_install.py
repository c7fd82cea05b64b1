"""Measure the installed files of our dependencies and of each extra, and write them to docs/install.md.

`just weigh` runs it in a separate environment with every extra. `.pyc` files are not counted.
"""

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution, metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PACKAGE = "appstream-export"
PAGE = Path(__file__).parent / "install.md"
BEGIN, END = "<!-- sizes: begin -->\n", "<!-- sizes: end -->\n"
TOP = 10
MEGABYTE = 1_000_000


def measure_dependencies(extra: str = "") -> dict[str, int]:
    """Return the bytes of each distribution that the package needs, with an extra or without; largest first.

    Raises PackageNotFoundError if one of them is missing here.
    """
    sizes = {name: measure_files(distribution(name)) for name in find_dependencies(extra)}
    return dict(sorted(sizes.items(), key=lambda each: (-each[1], each[0])))


def find_dependencies(extra: str = "") -> set[str]:
    """Return the names of all distributions that the package needs, directly or not."""
    found, open_ones = set[tuple[str, str]](), [(PACKAGE, extra)]
    while open_ones:
        name, of_extra = open_ones.pop()
        for each in list_requirements(name, of_extra):
            # An extra needs what its distribution needs without one, too.
            news = {(canonicalize_name(each.name), part) for part in ("", *each.extras)} - found
            found |= news
            open_ones += news
    return {name for name, _ in found}


def list_requirements(name: str, extra: str) -> Iterator[Requirement]:
    """Yield the requirements of a distribution that apply here, those of the extra included."""
    for line in distribution(name).requires or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield requirement


def measure_files(found: Distribution) -> int:
    """Return the bytes of a distribution's files without `.pyc`."""
    places = (Path(str(file.locate())) for file in found.files or () if file.suffix != ".pyc")
    return sum(place.stat().st_size for place in places if place.is_file())


def render_sizes(base: Mapping[str, int], extras: Mapping[str, Mapping[str, int]]) -> str:
    """Return two tables: the largest distributions without extras, and the additions of each extra."""
    largest = list(base.items())[:TOP]
    rest = sum(base.values()) - sum(size for _, size in largest)
    lines = [
        "| distribution | MB |\n|---|---|",
        f"| **all {len(base)} without extras** | **{format_size(sum(base.values()))}** |",
        *(f"| `{name}` | {format_size(size)} |" for name, size in largest),
        f"| {len(base) - len(largest)} others | {format_size(rest)} |",
        "\n| extra | adds MB | of which |\n|---|---|---|",
    ]
    for extra, sizes in extras.items():
        added = {name: size for name, size in sizes.items() if name not in base}
        names = ", ".join(f"`{name}` {format_size(size)}" for name, size in list(added.items())[:3])
        lines.append(f"| `{extra}` | {format_size(sum(added.values()))} | {names} |")
    return "\n".join(lines) + "\n"


def format_size(size: int) -> str:
    """Return bytes as megabytes with one decimal."""
    return f"{size / MEGABYTE:.1f}"


def main() -> int:
    """Print the tables, and write them to the page with --write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write them to docs/{PAGE.name}")
    args = parser.parse_args()
    extras = metadata(PACKAGE).get_all("Provides-Extra") or []
    try:
        tables = render_sizes(measure_dependencies(), {each: measure_dependencies(each) for each in sorted(extras)})
    except PackageNotFoundError as error:
        sys.exit(f"{error.name} is not installed here: run `just weigh`, which has every extra")
    sys.stdout.write(tables)
    if args.write:
        page = PAGE.read_text()
        PAGE.write_text(re.sub(f"(?s){BEGIN}.*{END}", lambda _: f"{BEGIN}{tables}{END}", page))
    return 0


if __name__ == "__main__":
    sys.exit(main())
