"""The `evalkit` command."""

import sys
from typing import Annotated

import typer

from evalkit import __version__
from evalkit.command import run_command
from evalkit.commands.alpaca import alpaca
from evalkit.commands.compare import compare
from evalkit.commands.import_runs import import_runs
from evalkit.commands.judge import judge
from evalkit.commands.judge_quality import judge_quality
from evalkit.commands.power import power
from evalkit.commands.report import report
from evalkit.commands.run import run

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False, rich_markup_mode=None)
app.command("run")(run)
app.command("alpaca")(alpaca)
app.command("compare")(compare)
app.command("report")(report)
app.command("import")(import_runs)
app.command("power")(power)
app.command("judge")(judge)
app.command("judge-quality")(judge_quality)


def main() -> None:
    """Run the command line of this process."""
    sys.exit(run_command(app))


def _show_version(value: bool) -> None:
    if value:
        print(f"evalkit {__version__}")
        raise typer.Exit


@app.callback()
def evalkit(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Score models on benchmarks, and say whether one is better than another."""
