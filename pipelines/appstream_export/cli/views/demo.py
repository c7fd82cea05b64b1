"""Output of `demo` and `emulate`: runs, answers, and commands to try."""

from pathlib import Path

from appstream_export.cli import console
from appstream_export.cli.output import write_result
from appstream_export.cli.pluralize import format_count
from appstream_export.cli.views.run import RunSummary, render_failures, render_run_facts
from appstream_export.demo import DemoAnswer, DemoMoment, NextCommands, ServedEmulator


def print_demo_moment(moment: DemoMoment, summary: RunSummary) -> None:
    """Print the result of one run of the demo."""
    if moment.number == 1:
        console.print_result(
            f"An emulated AWS with {moment.accounts} accounts in {moment.regions} regions, on 127.0.0.1"
        )
    console.print_result()
    _print_title(f"{moment.number}. {moment.description}")
    for line in render_run_facts(summary):
        console.print_result(f"   {line}")
    if summary.result.failures:
        run = console.format_command("run")
        console.print_result(f"   failed   ({run} exits with {summary.result.exit_code} here)")
    for line in render_failures(summary, is_brief=True):
        console.print_result(f"   {line}")
    console.flush_output()


def print_demo_answer(answer: DemoAnswer) -> None:
    """Print an answer, and the command that runs its query again."""
    console.print_result()
    _print_title(answer.question)
    write_result(answer.rows, "table")
    if answer.query:
        flags = [word for key, value in answer.parameters.items() for word in ("-p", f"{key}={value}")]
        warehouse = _shorten_path(answer.warehouse)
        again = console.format_command("query", answer.query, *flags, "--warehouse", warehouse)
        console.print_result(console.style(again, "2"))


def print_next_commands(commands: NextCommands) -> None:
    """Print the path of the report, and commands that work on the demo."""
    console.print_result()
    _print_title("The report: open this file in a browser")
    console.print_result(f"  {commands.report}")
    console.print_result()
    _print_title("Next commands")
    for line in (
        *(console.format_command(*words) for words in commands.reading),
        console.format_duckdb_command(*commands.duckdb),
        "",
        f"{console.format_command(*commands.emulate)}    # serves this AWS again; then, in another shell:",
        console.format_command(*commands.run),
    ):
        console.print_result(f"  {line}".rstrip())


def print_served_emulator(served: ServedEmulator) -> None:
    """Print the endpoint of the emulated AWS, and the command that exports from it."""
    console.print_result(
        f"emulated AWS with {format_count(served.accounts, 'account')} in {format_count(served.regions, 'region')}"
        f" at {served.endpoint_url}"
    )
    if served.config_file:
        console.print_result(f"use it:    {console.format_command('run', '--config', str(served.config_file))}")
    else:
        keys = "AWS_ACCESS_KEY_ID=emulator AWS_SECRET_ACCESS_KEY=emulator"
        console.print_result(f"use it:    export AWS_ENDPOINT_URL={served.endpoint_url} {keys}")
    console.print_result("stop it:   Ctrl-C")
    console.flush_output()


def _shorten_path(place: str) -> str:
    """Return a path relative to the current folder if it is inside, else unchanged."""
    path, here = Path(place), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else place


def _print_title(text: str) -> None:
    console.print_result(console.style(text, "1"))
