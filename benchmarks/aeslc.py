"""Subject lines of e-mails (AESLC): ROUGE on the official test part.

    python benchmarks/aeslc.py DATA [--minutes 30] [--seed 0] [--model transformer] [--out runs/aeslc]

DATA is a folder with train.jsonl.gz, dev.jsonl.gz and test.jsonl.gz (body, subject). The best weights are chosen on the
validation part. Published, on the same test part (Zhang et al., 2020): a Transformer from scratch 15.04 / 7.39 / 14.93,
the best before pretraining 23.67 / 10.29 / 23.44, PEGASUS large 37.69 / 21.85 / 36.84. The first eight words of the
body, counted on white space: 9.9 / 3.7 / 9.5.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import echoic

# What a training of half an hour is best spent on, on two cores.
OPTIONS: dict[str, Any] = {"max_source": 200, "max_length": 32, "layers": 1, "batch_size": 32, "epochs": 14}


def main() -> None:
    """Train, score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="recurrent")
    parser.add_argument("--out", type=Path, default=None, help="run directory to write")
    arguments = parser.parse_args()
    files = {"validation": arguments.data / "dev.jsonl.gz", "test": arguments.data / "test.jsonl.gz"}
    columns = {"source": "body", "target": "subject"}
    limits = {"max_minutes": arguments.minutes, "seed": arguments.seed, "model": arguments.model}
    started = time.monotonic()
    summarizer = echoic.Summarizer(**OPTIONS, **columns, **files, **limits)
    summarizer.fit(arguments.data / "train.jsonl.gz", out=arguments.out, overwrite=True)
    minutes = (time.monotonic() - started) / 60
    for name, scores in {"model": summarizer.metrics["test"], **summarizer.metrics["baselines"]}.items():
        print(f"{name:16s} ROUGE-1 {scores['rouge_1']:5.2f}  ROUGE-2 {scores['rouge_2']:5.2f}  "
              f"ROUGE-L {scores['rouge_l']:5.2f}")  # fmt: skip
    numbers = summarizer.metrics
    print(f"{minutes:.1f} minutes ({numbers['epochs']} epochs), {numbers['parameters']:,} weights, options {OPTIONS}")


if __name__ == "__main__":
    main()
