"""Publish figures in README, docs/performance.md: each as last measured by a full run, with its date."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.children import ROOT
from benchmarks.figures import format_number
from benchmarks.findings import markdown

KEPT = "docs/images/figures.json"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
HEADLINES: Mapping[str, str] = {
    "sparse: time of a whole run / time of a plain boto3 script": "a whole run / plain boto3, 300 small scopes",
    "dense: time of a whole run / time of a plain boto3 script": "a whole run / plain boto3, 50,000 builders",
    "sparse: CPU after the sweep / that of version 0.3.0": "CPU after the sweep / that of 0.3.0, 300 small scopes",
    "dense: CPU after the sweep / that of version 0.3.0": "CPU after the sweep / that of 0.3.0, 50,000 builders",
    "dense: peak memory of a whole run": "peak memory of a whole run, 50,000 builders",
    "20,000 scopes: peak memory of a whole run": "peak memory of a whole run, 20,000 scopes",
    "sparse: our time / time of a plain boto3 script": "our time / time of a plain boto3 script, 300 small scopes",
    "dense: our time / time of a plain boto3 script": "our time / time of a plain boto3 script, 50,000 builders",
    "sparse: our time / time of dlt, tuned": "our time / time of dlt, tuned, 300 small scopes",
    "dense: our time / time of dlt, tuned": "our time / time of dlt, tuned, 50,000 builders",
    "sparse: our time / time of a DuckDB script": "our time / time of a DuckDB script, 300 small scopes",
    "dense: our time / time of a DuckDB script": "our time / time of a DuckDB script, 50,000 builders",
    "dense: our peak memory / peak memory of a DuckDB script": "our peak memory / its peak memory, 50,000 builders",
    "scale: wall/ideal": "20,000 scopes, latency 30-80 ms: time / (calls x latency / workers)",
    "peak memory at 1,000,000 items / at 10,000": "peak memory, 1,000,000 builders / 10,000 builders",
    "first: CPU of the commit and the catalog / of writing its files": "CPU of the first commit / of writing its files",
    "1% changed: CPU of the commit and the catalog / of writing its files": "the same, 1% of the builders changed",
}
"""Figures that README shows, in its words: ratios, which depend least on the machine."""
BUSY = 1.0  # from this load on, other work on the machine changes the figures

Kept = dict[str, dict[str, Any]]


def render(measured: Mapping[str, Any], root: Path = ROOT) -> None:
    """Add measured figures to the kept ones, and write every place that shows them; raises ValueError."""
    if measured["environment"]["quick"]:
        raise ValueError("measured with --quick, whose sizes are too small: run it without")
    file, taken = root / KEPT, {"at": measured["environment"]["at"], "load": measured["environment"]["load"][0]}
    kept = {each["name"]: each for each in (json.loads(file.read_text()) if file.exists() else [])}
    kept |= {each["name"]: each | taken for each in measured["figures"]}
    file.write_text(json.dumps(list(kept.values()), indent=1) + "\n")
    _replace(root / "README.md", _render_headlines(kept))
    _replace(root / "docs" / "performance.md", _render_all(kept, measured["environment"]))


def _render_headlines(kept: Kept) -> str:
    shown = {words: kept[name] for name, words in HEADLINES.items() if name in kept}
    busiest = max((each["load"] for each in shown.values()), default=0.0)
    load = f"Other work kept the machine busy (load {busiest:.1f} at the start).\n\n" if busiest > BUSY else ""
    return load + markdown(["", "measured", "budget"], [[words, *_list_cells(each)] for words, each in shown.items()])


def _render_all(kept: Kept, environment: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in environment["versions"].items())
    taken = f"The newest were taken on {environment['cores']} cores, load {environment['load'][0]:.1f}: {versions}."
    rows = [[n, *_list_cells(each), _render_spread(each), str(each["rounds"]), each["at"]] for n, each in kept.items()]
    return f"{taken}\n\n" + markdown(["figure", "measured", "budget", "spread", "rounds", "taken"], rows)


def _list_cells(each: Mapping[str, Any]) -> list[str]:
    missed = " (missed)" if each["ok"] is False else ""
    unit = f" {each['unit']}" if each["unit"] else ""
    return [format_number(each["value"]) + unit + missed, each["budget"] or ""]


def _render_spread(each: Mapping[str, Any]) -> str:
    return " - ".join(map(format_number, each["spread"])) if each["spread"] else ""


def _replace(path: Path, text: str) -> None:
    """Write `text` between the marks of a document, which must have them."""
    pattern = re.compile(f"(?<={re.escape(BEGIN)}\n).*?(?={re.escape(END)})", re.DOTALL)
    document, count = pattern.subn(lambda _: f"{text}\n", path.read_text())
    if count != 1:
        raise ValueError(f"{path.name} must have {BEGIN} and {END} once")
    path.write_text(document)
