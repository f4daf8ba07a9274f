"""``echoic VERB ...``: finds the verb's file, runs it, and turns errors into messages and exit codes.

Exit codes: 0 done; 2 the user can mend it; 1 a fault of ours; 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module

import typer
from typer.main import get_command

from echoic import __version__
from echoic.cli import console
from echoic.errors import UserError

# A verb is a file in this folder with a typer app named `app`, and a line here. Files are imported when they are used.
VERBS = {
    "train": "train a model on your own data",
    "evaluate": "metrics of a run on data it has not seen",
    "predict": "predictions for each row, same format in and out",
    "generate": "text from a language model",
    "compare": "runs side by side",
    "cells": "every cell with its equations and parameter count",
    "doctor": "what is installed, which backends, what is missing",
}

UsageError: type[typer.BadParameter] = typer.BadParameter.__bases__[0]  # typer has no public name for it
DISKS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)

USAGE = """\
echoic: recurrent networks for real sequences

usage: echoic VERB [ARGUMENTS] [OPTIONS]

{verbs}

`echoic VERB --help` shows a verb's options. Every verb takes --json (one JSON document on standard
output, nothing else there) and --debug (tracebacks).
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help", "help"):
        print(USAGE.format(verbs="\n".join(f"    {verb:<10} {summary}" for verb, summary in VERBS.items())))
        return 0 if given else 2
    if given[0] in ("-V", "--version"):
        print(f"echoic {__version__}")
        return 0
    console.show_notices()
    as_json, debug = "--json" in given, "--debug" in given
    try:
        code = _run(given[0], given[1:])
        sys.stdout.flush()  # a reader who has gone is noticed here, not when Python ends
        return code
    except UserError as error:
        if debug:
            traceback.print_exc()
        return console.fail(str(error), 2, as_json)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "echoic":
            raise
        return console.fail(f"{error.name} is not installed. Run: pip install 'echoic[all]'", 2, as_json)
    except KeyboardInterrupt:
        return console.fail("stopped.", 130, as_json)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody is there to read the rest
        return 0
    except OSError as error:
        if error.errno not in DISKS:
            return _fault(error, as_json)
        place = f"{error.filename}: " if error.filename else ""
        return console.fail(
            f"{place}{error.strerror}. Make room, or name another place that you may write to.", 2, as_json
        )
    except Exception as error:
        return _fault(error, as_json)


def _fault(error: Exception, as_json: bool) -> int:
    """Ours: with the traceback."""
    traceback.print_exception(error)
    return console.fail(f"a fault of echoic's own ({type(error).__name__}: {error}). Please report it.", 1, as_json)


def _run(verb: str, arguments: list[str]) -> int:
    if verb not in VERBS:
        near = get_close_matches(verb.lower(), VERBS, n=1)
        hint = f'Did you mean "{near[0]}"?' if near else f"There are: {', '.join(VERBS)}."
        raise UserError(f'there is no verb "{verb}". {hint}')
    command = get_command(import_module(f"echoic.cli.{verb}").app)
    try:  # step by step: typer's own way of running one gives broken pipes and Ctrl-C exit codes of its own
        with command.make_context(f"echoic {verb}", arguments) as context:
            command.invoke(context)
    except typer.Exit as stop:  # also after --help
        return stop.exit_code
    except UsageError as error:
        usage = f"\n{error.ctx.get_usage()}\n`{error.ctx.command_path} --help` explains." if error.ctx else ""
        raise UserError(f"{error.format_message()}{usage}") from error
    return 0


if __name__ == "__main__":
    sys.exit(main())
