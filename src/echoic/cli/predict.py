"""``echoic predict RUN DATA --out FILE``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from echoic.cli.console import AsJson, Debug, new_app, print_json, say
from echoic.data.writing import check_table_path, write_table
from echoic.errors import OptionError
from echoic.runs import RunDirectory
from echoic.tasks.saved import load_model

app = new_app()


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="run directory", show_default=False)],
    data: Annotated[Path, typer.Argument(help="data to predict for", show_default=False)],
    out: Annotated[Path, typer.Option(help="file to write: .csv, .tsv, .parquet or .jsonl", show_default=False)],
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Predictions for each row, same format in and out."""
    if out.exists() and data.exists() and out.samefile(data):
        raise OptionError(f"--out {out}: is the file that is read. Name another file.")
    check_table_path(out)
    task, model = load_model(RunDirectory(run).open().model)
    table = task.predict(model, data)
    write_table(out, table)
    if as_json:
        print_json({"run": str(run), "out": str(out), "rows": table.height, "columns": table.columns})
        return
    say(f"wrote {table.height} rows to {out}")
