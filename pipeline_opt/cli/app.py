"""The program: its verbs, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from pipeline_opt.cli import benchmark, compare, doctor, emulate, explain, lint, optimize, probe, profile, report, synth
from pipeline_opt.cli.console import note, warnings_as_lines
from pipeline_opt.cli.exits import ExitCode, epilog
from pipeline_opt.cli.failures import report_failure
from pipeline_opt.cli.streams import open_streams
from pipeline_opt.version import VERSION

DEBUG: Final = "PIPELINE_OPT_DEBUG"

# What is wrong with options; typer does not export this class, and where it lives differs between its versions.
_UsageProblem: Any = typer.BadParameter.__bases__[0]


class Verbs(TyperGroup):
    """The group of all verbs. What goes wrong in one ends here."""

    def invoke(self, ctx: Any) -> Any:
        """Run a verb.

        Raises:
            typer.Exit: always where the verb failed, with the exit code.
        """
        try:
            with warnings_as_lines():
                done = super().invoke(ctx)
            sys.stdout.flush()
            return done
        except (typer.Exit, typer.Abort):
            raise
        except _UsageProblem as error:
            verb = error.ctx.command_path if error.ctx else ctx.command_path
            note(f"error: {error.format_message()}\nTry '{verb} --help'.")
            raise typer.Exit(ExitCode.BAD_INPUT) from error
        except (Exception, KeyboardInterrupt) as error:
            if ctx.params.get("debug"):
                traceback.print_exception(error)
            raise typer.Exit(report_failure(error)) from error


app = typer.Typer(
    name="pipeline-opt",
    cls=Verbs,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"pipeline-opt {VERSION}")
        raise typer.Exit


@app.callback(epilog=epilog("pipeline-opt benchmark", "pipeline-opt profile data/train"))
def settings(
    debug: Annotated[
        bool, typer.Option("--debug", envvar=DEBUG, help="Show the traceback of an error, before its message.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Profile tf.data input pipelines: see why the accelerator waits, and what ends the wait."""


for _verb in (benchmark, profile, optimize, lint, report, compare, explain, synth, probe, emulate, doctor):
    _name = _verb.__name__.rpartition(".")[2]
    app.command(_name, epilog=epilog(*_verb.EXAMPLES))(_verb.run)


def main() -> None:
    """Run the command line."""
    open_streams()
    # Figures are files here, whatever backend the user's own figures want.
    os.environ["MPLBACKEND"] = "agg"
    app()
