"""`python -m benchmarks`: costs of an export beside its rivals', judged by budgets; ends with 1 when one is missed."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from benchmarks import publication
from benchmarks.children import Unreachable
from benchmarks.figures import Figure, render_table, write_figures
from benchmarks.findings import check_names, describe_environment, load_environment, say
from benchmarks.race import Size, install_dlt, shrink
from benchmarks.suites import SUITES


def main(argv: list[str] | None = None, size: Size | None = None) -> int:
    """Measure the named parts, or all; `size` replaces the usual sizes and the environment of dlt."""
    parser = _make_parser()
    flags = parser.parse_args(argv)
    check_names(parser, flags.only, SUITES)
    try:
        if flags.render:
            publication.render(json.loads(flags.render.read_text()))
            return 0
        if flags.json:
            flags.json.touch()  # an unwritable place shows now, not in twenty minutes
        size = size or Size(dlt_python=install_dlt())
    except (OSError, ValueError, KeyError) as why:
        parser.error(f"{flags.render or flags.json}: {why}")
    except Unreachable as why:
        parser.error(str(why))
    size = shrink(size) if flags.quick else size
    size = replace(size, rounds=flags.rounds) if flags.rounds else size
    environment = load_environment() | {"at": f"{datetime.now(UTC):%Y-%m-%d}", "quick": flags.quick}
    say(describe_environment())
    figures = _measure(flags.only or [*SUITES], size)
    say(f"\n{render_table(figures)}")
    if flags.json:
        write_figures(flags.json, figures, environment)
    missed = [f"MISSED {each.name}" for each in figures if each.ok is False]
    say("\n" + ("\n".join(missed) or "All judged budgets hold."))
    return 1 if missed else 0


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help=f"some of {', '.join(SUITES)}")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds of each race (5); commits take nearly twice N")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures to FILE")
    parser.add_argument("--quick", action="store_true", help="small sizes: three minutes; budgets of time not judged")
    parser.add_argument(
        "--render", type=Path, metavar="FILE", help="measure nothing: publish FILE's figures in README and docs"
    )
    return parser


def _measure(names: Sequence[str], size: Size) -> list[Figure]:
    found: list[Figure] = []
    for name in names:
        began = perf_counter()
        with TemporaryDirectory(prefix=f"benchmark-{name}-") as folder:
            found += SUITES[name](size, Path(folder))
        say(f"\n({name}: {perf_counter() - began:.0f} s)")
    return found


if __name__ == "__main__":
    sys.exit(main())
