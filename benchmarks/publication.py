"""Figures into README, docs/performance.md and pictures: of each, the last that a full run measured, with its date."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks import pictures
from benchmarks.children import ROOT
from benchmarks.findings import markdown

KEPT = "docs/images/figures.json"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
HEADLINES: Mapping[str, str] = {
    "sparse: wall, plain script, public boto3 alone / ours": "a plain boto3 script takes, 300 small scopes",
    "dense: wall, plain script, public boto3 alone / ours": "the same, 50,000 builders",
    "sparse: wall, dlt tuned, our clients and reader / ours": "dlt, tuned and given our clients, 300 small scopes",
    "dense: wall, dlt tuned, our clients and reader / ours": "the same, 50,000 builders",
    "dense: wall, ours / DuckDB on raw pages, our clients": "we take, over a DuckDB script given our clients",
    "dense: peak memory over the DuckDB script's": "peak memory, over the same script's",
    "scale: wall/ideal": "20,000 scopes, 30-80 ms: wall over calls x latency / workers",
    "peak memory at 1,000,000 items over that at 10,000": "peak memory, 1,000,000 builders over 10,000",
    "commit over writing the same files, CPU: first, with the catalog": "the first commit, over writing its files",
    "commit over writing the same files, CPU: 1% changed, with the catalog": "a commit with 1% changed, the same",
}
"""Figures that README shows, in its words: ratios, which depend on the machine least."""

BUSY = 1.0
"""A load from which on walls tell of others too, not of us alone."""

Kept = dict[str, dict[str, Any]]


class QuickFigures(ValueError):
    """Figures of `--quick` are no figures to publish."""


def render(told: Mapping[str, Any], root: Path = ROOT) -> None:
    """Put what was measured beside what is kept, and write every place that shows it; raises QuickFigures."""
    if told["environment"]["quick"]:
        raise QuickFigures("measured with --quick, whose sizes are too small: run it without")
    kept = _merged(_read(root / KEPT), told)
    (root / KEPT).write_text(json.dumps(list(kept.values()), indent=1) + "\n")
    _replace(root / "README.md", _headlines(kept))
    _replace(root / "docs" / "performance.md", _everything(kept, told["environment"]))
    for name, draw in PICTURES.items():
        draw(kept, root / "docs" / "images" / name)


def _read(path: Path) -> Kept:
    return {each["name"]: each for each in json.loads(path.read_text())} if path.exists() else {}


def _merged(kept: Kept, told: Mapping[str, Any]) -> Kept:
    taken = {"at": told["environment"]["at"], "load": told["environment"]["load"][0]}
    return kept | {each["name"]: each | taken for each in told["figures"]}


def _headlines(kept: Kept) -> str:
    rows = [[words, *_cells(kept[name])] for name, words in HEADLINES.items() if name in kept]
    busiest = max((kept[name]["load"] for name in HEADLINES if name in kept), default=0.0)
    load = f"Others kept the machine busy meanwhile (load {busiest:.1f} at the start).\n\n" if busiest > BUSY else ""
    return load + markdown(["", "measured", "budget"], rows)


def _everything(kept: Kept, environment: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in environment["versions"].items())
    taken = f"The newest were taken on {environment['cores']} cores, load {environment['load'][0]:.1f}: {versions}."
    rows = [[name, *_cells(each), _spread(each), str(each["rounds"]), each["at"]] for name, each in kept.items()]
    return f"{taken}\n\n" + markdown(["figure", "measured", "budget", "spread", "rounds", "taken"], rows)


def _cells(each: Mapping[str, Any]) -> list[str]:
    missed = " (missed)" if each["ok"] is False else ""
    return [_number(each["value"]) + (f" {each['unit']}" if each["unit"] else "") + missed, each["budget"] or ""]


def _spread(each: Mapping[str, Any]) -> str:
    return " - ".join(map(_number, each["spread"])) if each["spread"] else ""


def _number(value: float | None) -> str:
    if value is None:
        return "none"
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}".removesuffix(".00")


def _replace(path: Path, text: str) -> None:
    """Write `text` between the marks of a document, which must have them."""
    document = path.read_text()
    pattern = re.compile(f"(?<={re.escape(BEGIN)}\n).*?(?={re.escape(END)})", re.DOTALL)
    made, count = pattern.subn(lambda _: f"{text}\n", document)
    if count != 1:
        raise ValueError(f"{path.name} must have {BEGIN} and {END} once")
    path.write_text(made)


def _points(kept: Iterable[str], pattern: str) -> list[tuple[str, int]]:
    found = ((name, re.fullmatch(pattern, name)) for name in kept)
    return sorted(((n, int(m[1].replace(",", ""))) for n, m in found if m), key=lambda point: point[1])


def _curve(pattern: str, x: str, y: str) -> Callable[[Kept, Path], None]:
    def draw(kept: Kept, path: Path) -> None:
        points = [(size, float(kept[name]["value"])) for name, size in _points(kept, pattern)]
        if points:
            pictures.curve(points, x, y, path)

    return draw


def _rivals(kept: Kept, path: Path) -> None:
    bars = []
    for name, each in kept.items():
        found = re.fullmatch(r"(sparse|dense): wall, (.+) / ours", name)
        inverse = re.fullmatch(r"(sparse|dense): wall, ours / (.+)", name)
        if (match := found or inverse) and each["value"]:
            bars.append((match[1], match[2], each["value"] if found else 1 / each["value"]))
    if bars:
        pictures.bars(bars, path)


PICTURES: Mapping[str, Callable[[Kept, Path], None]] = {
    "rivals.svg": _rivals,
    "growth-scopes-cpu.svg": _curve(r"growth: sweep of ([\d,]+) scopes, CPU", "scopes", "CPU of the sweep, s"),
    "growth-scopes-memory.svg": _curve(
        r"growth: sweep of ([\d,]+) scopes, peak memory", "scopes", "peak memory of the sweep, MB"
    ),
    "growth-items-memory.svg": _curve(
        r"growth: ([\d,]+) items, peak memory", "image builders", "peak memory of two snapshots, MB"
    ),
}
"""Picture → who draws it, where its figures are kept."""
