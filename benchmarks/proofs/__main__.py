"""`python -m benchmarks.proofs [NAME]...`: prove promises by real runs, and end with 1 when one is broken."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from types import ModuleType

from benchmarks.children import Hung
from benchmarks.findings import Findings, check_names, describe_environment, load_environment, markdown, say, text_of
from benchmarks.proofs import (
    connect,
    dashboards,
    dead_regions,
    engines,
    faults,
    feeds,
    isolation,
    lake_flips,
    lake_kills,
    lake_lives,
    lake_operations,
    lake_races,
    scale,
    storm,
    unkind,
    week,
)

MODULES = (
    *(scale, dead_regions, faults, isolation, storm, feeds, connect, dashboards, engines),
    *(lake_operations, lake_lives, lake_races, lake_kills, lake_flips, unkind, week),
)
PROOFS = {module.__name__.rpartition(".")[2]: module for module in MODULES}
"""Modules with a function `prove` and the sizes FULL and QUICK."""


def main(argv: list[str] | None = None) -> int:
    """Prove the named promises, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.proofs", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(PROOFS)}; all without one")
    parser.add_argument("--quick", action="store_true", help="small sizes: minutes instead of an hour")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything to FILE")
    flags = parser.parse_args(argv)
    check_names(parser, flags.names, PROOFS)
    environment = load_environment()
    say(describe_environment())
    proved = {name: _prove(PROOFS[name], quick=flags.quick) for name in flags.names or PROOFS}
    rows = []
    for name, (found, seconds) in proved.items():
        figures = ", ".join(f"{key} {text_of(value)}" for key, value in found.figures.items())
        rows.append([name, found.title.partition(": ")[2], figures or "-", found.verdict, seconds])
    say("\n" + markdown(["proof", "what", "figures", "verdict", "s"], rows))
    if flags.json:
        records = [
            {"name": name, "seconds": seconds, "verdict": found.verdict} | asdict(found)
            for name, (found, seconds) in proved.items()
        ]
        content = {"environment": environment, "quick": flags.quick, "proofs": records}
        flags.json.write_text(json.dumps(content, indent=1) + "\n")
    broken = sum(len(found.broken) for found, _ in proved.values())
    say(f"\n{broken} promises broken" if broken else "\nAll promises are kept.")
    return 1 if broken else 0


def _prove(proof: ModuleType, *, quick: bool) -> tuple[Findings, float]:
    began = perf_counter()
    with TemporaryDirectory(prefix="proof-") as folder:
        try:
            found = proof.prove(proof.QUICK if quick else proof.FULL, Path(folder))
        except Hung as hung:
            found = Findings(proof.__name__)
            found.promise(False, str(hung))
    say(f"\n{found}")
    return found, perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
