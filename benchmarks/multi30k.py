"""Multi30k, German to English: BLEU after so many minutes of training on this machine.

    python benchmarks/multi30k.py DATA [--minutes 30] [--model recurrent transformer] [--seed 0] [--out runs]

DATA is the folder with train, val and test_2016_flickr as .de.gz and .en.gz (raw text, a sentence a line). Texts are
read in lower case; the score is sacreBLEU (13a, lower case) of a beam of 5 on the 2016 Flickr test, whose signature is
printed. Weights are chosen on the validation part. Published: attentional GRU 28.1 (Transformer of 9 M weights 36.5).

The same by the command line:

    echoic train translate DATA/train.de.gz --target-file DATA/train.en.gz --validation DATA/val.de.gz \\
        --test DATA/test_2016_flickr.de.gz --max-minutes 30 --set lowercase=true --out RUN
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

import echoic
from echoic.metrics.translation import translation_scores

COMMON: dict[str, Any] = {"lowercase": True, "vocabulary_size": 6000, "epochs": 100}
MODELS: dict[str, dict[str, Any]] = {
    "recurrent": {"cell": "GRU", "hidden_size": 192, "layers": 2},
    # Of about as many weights, with rates at which a Transformer trains.
    "transformer": {"hidden_size": 256, "layers": 2, "heads": 4, "feedforward_size": 512, "learning_rate": 1e-3},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--model", nargs="+", choices=list(MODELS), default=["recurrent"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="other options of translate")
    arguments = parser.parse_args()
    changed = dict(assignment.split("=", 1) for assignment in arguments.set)
    for model in arguments.model:
        options = COMMON | MODELS[model] | changed | {"model": model, "seed": arguments.seed}
        score(arguments.data, model, options | {"max_minutes": arguments.minutes}, arguments.out)


def score(data: Path, model: str, options: dict[str, Any], out: Path) -> None:
    """Train one model and print what it reaches."""
    translator = echoic.Translator(
        target_file=data / "train.en.gz", validation=data / "val.de.gz", test=data / "test_2016_flickr.de.gz", **options
    )
    translator.fit(data / "train.de.gz", out=out / f"multi30k-{model}", overwrite=True)
    numbers = translator.metrics
    test = data / "test_2016_flickr.de.gz"
    outputs = translator.predict(test)
    references = [[text] for text in outputs["target"].to_list()]
    scored = translation_scores(outputs["translation"].to_list(), references, lowercase=True)
    print(f"\n{model}: {numbers['parameters']:,} weights, {numbers['seconds'] / 60:.1f} minutes, ", end="")
    print(f"{numbers['epochs']} epochs, {torch.get_num_threads()} threads, seed {options['seed']}")
    print(f"  validation BLEU {numbers['validation']['bleu']:.2f}, loss {numbers['validation']['loss']:.3f}")
    print(f"  test       BLEU {scored.metrics['bleu']:.2f}, chrF {scored.metrics['chrf']:.2f}")
    print(f"  copy of the source: BLEU {numbers['baselines']['copy_of_the_source']['bleu']:.2f}")
    for name, signature in scored.signatures.items():
        print(f"  {name}: {signature}")


if __name__ == "__main__":
    main()
