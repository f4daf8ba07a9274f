"""``echoic VERB ...``: finds the verb's file, runs it, and turns errors into messages and exit codes.

Exit codes: 0 done; 2 the user can mend it; 1 a fault of ours; 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module

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
        return _run(given[0], given[1:])
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
        sys.stderr.close()  # the reader of our output has gone: nobody is there to tell
        return 0
    except Exception as error:
        traceback.print_exc()
        return console.fail(f"a fault of echoic's own ({type(error).__name__}: {error}). Please report it.", 1, as_json)


def _run(verb: str, arguments: list[str]) -> int:
    if verb not in VERBS:
        near = get_close_matches(verb, VERBS, n=1)
        hint = f'Did you mean "{near[0]}"?' if near else f"There are: {', '.join(VERBS)}."
        raise UserError(f'there is no verb "{verb}". {hint}')
    app = import_module(f"echoic.cli.{verb}").app
    try:
        app(args=arguments, prog_name=f"echoic {verb}")
    except SystemExit as stop:  # how typer ends, also after --help
        return stop.code if isinstance(stop.code, int) else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
