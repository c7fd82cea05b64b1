"""`demo` and `emulate`: the product on an emulated AWS."""

import argparse
from pathlib import Path

from appstream_export.cli.options import Commands, add_command, parse_path, parse_port
from appstream_export.cli.signals import handle_stop_signals


def add_parsers(commands: Commands) -> None:
    """Add `demo` and `emulate`."""
    doc = "Try the export on an emulated AWS. Runs several times while that AWS changes, then prints the results."
    demo = add_command(commands, "demo", run_demo, doc)
    demo.add_argument("--dir", type=parse_path, default=Path("appstream-export-demo"), metavar="D",
                      help="folder for settings and warehouse (default: %(default)s)")  # fmt: skip
    demo.add_argument(
        "--resources", nargs="+", metavar="NAME", help="export only these (default: every packaged resource)"
    )
    doc = "Serve the emulated AWS on 127.0.0.1 until Ctrl-C. With --dir, serve that demo's AWS, as of its last run."
    emulate = add_command(commands, "emulate", run_emulator, doc)
    emulate.add_argument("--dir", type=parse_path, metavar="D", help="the demo's folder")
    emulate.add_argument("--estate", type=parse_path, metavar="FILE",
                         help="serve what a TOML or JSON file describes instead; see schemas/README.md")  # fmt: skip
    emulate.add_argument("--port", type=parse_port, metavar="P", help="default: the demo's, or a free one")


def run_demo(args: argparse.Namespace) -> int:
    """Run the demo; print the result of each run as it ends, then answers and commands to try."""
    from appstream_export.cli.progress import show_run_progress
    from appstream_export.cli.views import print_demo_answer, print_demo_moment, print_next_commands, summarize_run
    from appstream_export.contracts import load_contract_set
    from appstream_export.demo import answer_demo_queries, list_next_commands, play_demo

    contracts = load_contract_set()
    with handle_stop_signals() as stop:
        for moment in play_demo(
            args.dir, stop, resources=args.resources, watch=lambda: show_run_progress(is_quiet=True)
        ):
            print_demo_moment(moment, summarize_run(moment.result, contracts, moment.warehouse))
    for answer in answer_demo_queries(args.dir):
        print_demo_answer(answer)
    print_next_commands(list_next_commands(args.dir))
    return 0


def run_emulator(args: argparse.Namespace) -> int:
    """Serve the emulated AWS until a signal stops it."""
    from appstream_export.cli.views import print_served_emulator
    from appstream_export.demo import serve_emulator

    with handle_stop_signals(announce=False) as stop, serve_emulator(args.dir, args.port, args.estate) as served:
        print_served_emulator(served)
        stop.wait()
    return 0
