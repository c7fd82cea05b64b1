"""`python -m benchmarks.proofs [NAME]...`: prove promises by real runs, print figures; 1 when one is broken."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from benchmarks.children import Hung
from benchmarks.findings import Findings, environment, markdown, say, surroundings, text_of
from benchmarks.proofs import (
    connect,
    dead_regions,
    engines,
    events,
    faults,
    feeds,
    isolation,
    lake_flips,
    lake_kills,
    lake_lives,
    lake_operations,
    lake_races,
    readers,
    scale,
    storm,
    unkind,
)

PROOFS: Mapping[str, tuple[Callable[[Any, Path], Findings], Any, Any]] = {
    "scale": (scale.prove, scale.FULL, scale.QUICK),
    "dead_regions": (dead_regions.prove, dead_regions.FULL, dead_regions.QUICK),
    "faults": (faults.prove, faults.FULL, faults.QUICK),
    "isolation": (isolation.prove, isolation.FULL, isolation.QUICK),
    "storm": (storm.prove, storm.FULL, storm.QUICK),
    "feeds": (feeds.prove, feeds.FULL, feeds.QUICK),
    "connect": (connect.prove, connect.FULL, connect.QUICK),
    "engines": (engines.prove, engines.FULL, engines.QUICK),
    "lake_operations": (lake_operations.prove, lake_operations.FULL, lake_operations.QUICK),
    "lake_lives": (lake_lives.prove, lake_lives.FULL, lake_lives.QUICK),
    "lake_races": (lake_races.prove, lake_races.FULL, lake_races.QUICK),
    "lake_kills": (lake_kills.prove, lake_kills.FULL, lake_kills.QUICK),
    "lake_flips": (lake_flips.prove, lake_flips.FULL, lake_flips.QUICK),
    "events": (events.prove, events.FULL, events.QUICK),
    "unkind": (unkind.prove, unkind.FULL, unkind.QUICK),
    "readers": (readers.prove, readers.FULL, readers.QUICK),
}


@dataclass(frozen=True, slots=True)
class Proved:
    """One proof, done."""

    name: str
    found: Findings
    seconds: float

    def line(self) -> list[object]:
        """Its row in the summary."""
        figures = ", ".join(f"{name} {text_of(value)}" for name, value in self.found.figures.items())
        return [self.name, self.found.title.partition(": ")[2], figures or "-", self.found.verdict, self.seconds]

    def record(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {"name": self.name, "seconds": self.seconds, "verdict": self.found.verdict} | asdict(self.found)


def main(argv: list[str] | None = None) -> int:
    """Prove what is named, or everything."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.proofs", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(PROOFS)}; all without one")
    parser.add_argument("--quick", action="store_true", help="small sizes: minutes instead of an hour")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there too")
    flags = parser.parse_args(argv)
    if unknown := set(flags.names) - set(PROOFS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(PROOFS)}")
    here = surroundings()
    say(environment())
    proved = [_prove(name, flags.quick) for name in flags.names or PROOFS]
    say("\n" + markdown(["proof", "what", "figures", "verdict", "s"], [each.line() for each in proved]))
    if flags.json:
        told = {"environment": here, "quick": flags.quick, "proofs": [each.record() for each in proved]}
        flags.json.write_text(json.dumps(told, indent=1) + "\n")
    broken = sum(len(each.found.broken) for each in proved)
    say(f"\n{broken} promises broken" if broken else "\nEvery promise was kept.")
    return 1 if broken else 0


def _prove(name: str, quick: bool) -> Proved:
    prove, full, small = PROOFS[name]
    began = perf_counter()
    with TemporaryDirectory(prefix=f"proof-{name}-") as folder:
        try:
            found = prove(small if quick else full, Path(folder))
        except Hung as hung:
            found = Findings(name.title())
            found.promise(False, str(hung))
    say(f"\n{found}")
    return Proved(name, found, perf_counter() - began)


if __name__ == "__main__":
    sys.exit(main())
