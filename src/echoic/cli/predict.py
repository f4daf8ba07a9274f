"""``echoic predict RUN DATA --out FILE``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from echoic.cli.console import AsJson, Debug, OwnCell, new_app, print_json, say
from echoic.data.writing import WRITERS, check_path, ending, write_table, write_text
from echoic.errors import OptionError
from echoic.runs import RunDirectory
from echoic.tasks.saved import load_model

app = new_app()


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="run directory", show_default=False)],
    data: Annotated[Path, typer.Argument(help="data to predict for", show_default=False)],
    out: Annotated[
        Path,
        typer.Option(help="file to write: .csv, .tsv, .parquet, .jsonl, or the format of DATA", show_default=False),
    ],
    cell: OwnCell = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Predictions for each row, same format in and out."""
    if out.exists() and data.exists() and out.samefile(data):
        raise OptionError(f"--out {out}: is the file that is read. Name another file.")
    task, model = load_model(RunDirectory(run).open().model, cell)
    check_path(out, (*WRITERS, *task.own_endings))
    alike = task.predict_alike(model, data) if ending(out) in task.own_endings else None
    if alike is not None:
        write_text(out, alike.text)
        rows, columns = alike.rows, None
    else:
        check_path(out, tuple(WRITERS))
        table = task.predict(model, data)
        write_table(out, table)
        rows, columns = table.height, table.columns
    if as_json:
        print_json({"run": str(run), "out": str(out), "rows": rows, "columns": columns})
        return
    say(f"wrote {rows} rows to {out}")
