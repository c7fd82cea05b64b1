"""`python -m benchmarks`: what an export costs beside its rivals, judged by budgets; 1 when one is missed."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from benchmarks import environments, publication
from benchmarks.figures import Figure, table, write
from benchmarks.findings import environment, say, surroundings
from benchmarks.sizes import Size, quick
from benchmarks.suites import LONG, SUITES


def main(argv: list[str] | None = None, size: Size | None = None) -> int:
    """Measure what is named, or everything but the longest; `size` stands in for environments and sizes."""
    flags = _parser().parse_args(argv)
    if unknown := set(flags.only) - set(SUITES):
        _parser().error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(SUITES)}")
    try:
        if flags.render:
            publication.render(json.loads(flags.render.read_text()))
            return 0
        if flags.json:
            flags.json.touch()  # a place where nothing can be written is known now, not in twenty minutes
        size = size or _usual(sys.argv[1:] if argv is None else argv)
    except (OSError, ValueError, KeyError) as why:
        _parser().error(f"{flags.render or flags.json}: {why}")
    except environments.Unreachable as why:
        _parser().error(str(why))
    size = quick(size) if flags.quick else size
    size = replace(size, rounds=flags.rounds) if flags.rounds else size
    here = surroundings() | {"at": f"{datetime.now(UTC):%Y-%m-%d}", "quick": flags.quick}
    say(environment())
    figures = _measured(flags.only or [name for name in SUITES if name not in LONG], size)
    say(f"\n{table(figures)}")
    if flags.json:
        write(flags.json, figures, here)
    missed = [each.name for each in figures if each.ok is False]
    say("\n" + ("\n".join(f"MISSED {name}" for name in missed) if missed else "Every budget that is judged holds."))
    return 1 if missed else 0


def _usual(arguments: list[str]) -> Size:
    environments.leave_pandas(arguments)
    return Size(pythons=environments.pythons())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help=f"some of {', '.join(SUITES)}")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds of each race (5); commits take nearly twice N")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    parser.add_argument("--quick", action="store_true", help="small sizes: three minutes, and no budget of time judged")
    parser.add_argument(
        "--render", type=Path, metavar="FILE", help="measure nothing: put a FILE's figures into README, docs, pictures"
    )
    return parser


def _measured(names: Sequence[str], size: Size) -> list[Figure]:
    found: list[Figure] = []
    for name in names:
        began = perf_counter()
        with TemporaryDirectory(prefix=f"benchmark-{name}-") as folder:
            found += SUITES[name](size, Path(folder))
        say(f"\n({name}: {perf_counter() - began:.0f} s)")
    return found


if __name__ == "__main__":
    sys.exit(main())
