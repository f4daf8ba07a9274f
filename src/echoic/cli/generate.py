"""``echoic generate RUN --prompt TEXT``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from echoic.cli.console import AsJson, Debug, OwnCell, new_app, print_json
from echoic.errors import OptionError
from echoic.models.sampling import Sampling
from echoic.runs import RunDirectory
from echoic.tasks.generate import Generate
from echoic.tasks.saved import load_model

app = new_app()


@app.command()
def generate(
    run: Annotated[Path, typer.Argument(help="run directory of a language model", show_default=False)],
    prompt: Annotated[str, typer.Option(help="text to continue")] = "",
    length: Annotated[int, typer.Option(help="characters or subwords to write at most")] = 500,
    temperature: Annotated[float, typer.Option(help="0 always takes the likeliest, 1 follows the model")] = 0.8,
    top_k: Annotated[int | None, typer.Option(help="choose among the k likeliest only")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="choose among the likeliest that together have this share")
    ] = None,
    stop: Annotated[str | None, typer.Option(help="end after this text")] = None,
    seed: Annotated[int | None, typer.Option(help="the same seed writes the same text")] = None,
    cell: OwnCell = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Text from a language model, shown as it comes."""
    task, model = load_model(RunDirectory(run).open().model, cell)
    if not isinstance(task, Generate):
        raise OptionError(
            f"{run}: is a run of {task.name}, expected one of generate. Train one with: echoic train generate"
        )
    sampling = Sampling(length=length, temperature=temperature, top_k=top_k, top_p=top_p, stop=stop, seed=seed)
    pieces = task.generate(model, prompt, sampling)
    if as_json:
        print_json({"run": str(run), "prompt": prompt, "text": "".join(pieces)})
        return
    print(prompt, end="", flush=True)
    for piece in pieces:
        print(piece, end="", flush=True)
    print()
