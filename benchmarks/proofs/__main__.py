"""`python -m benchmarks.proofs [scale|faults|isolation|storm|events]... [--quick]`: figures; 1 when one is broken."""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.findings import Findings, environment, say
from benchmarks.proofs import events, faults, isolation, scale, storm

PROOFS: Mapping[str, tuple[Callable[[Any, Path], Findings], Any, Any]] = {
    "scale": (scale.prove, scale.FULL, scale.QUICK),
    "faults": (faults.prove, faults.FULL, faults.QUICK),
    "isolation": (isolation.prove, isolation.FULL, isolation.QUICK),
    "storm": (storm.prove, storm.FULL, storm.QUICK),
    "events": (events.prove, events.FULL, events.QUICK),
}


def main(argv: list[str] | None = None) -> int:
    """Prove what is named, or everything."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.proofs", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="PROOF", help=f"some of {', '.join(PROOFS)}; all without one")
    parser.add_argument("--quick", action="store_true", help="small sizes: two minutes instead of a quarter of an hour")
    flags = parser.parse_args(argv)
    if unknown := set(flags.names) - set(PROOFS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(PROOFS)}")
    say(environment())
    broken = [what for name in flags.names or PROOFS for what in _prove(name, flags.quick).broken]
    say(f"\n{len(broken)} promises broken" if broken else "\nEvery promise was kept.")
    return 1 if broken else 0


def _prove(name: str, quick: bool) -> Findings:
    prove, full, small = PROOFS[name]
    with TemporaryDirectory(prefix=f"proof-{name}-") as folder:
        found = prove(small if quick else full, Path(folder))
    say(f"\n{found}")
    return found


if __name__ == "__main__":
    sys.exit(main())
