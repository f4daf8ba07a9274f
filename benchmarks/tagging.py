"""Tags of tokens: parts of speech of English and Chinese, slots with intents, named entities of English and Chinese.

    python benchmarks/tagging.py DATA [--only ud-english-ewt ...] [--seeds 0] [--minutes 20] [--out runs]

DATA is a folder with a folder for each set, in its official parts; the best weights are chosen on the dev part. Where
there is no dev part (ud-chinese-gsdsimp), a tenth of the training part takes its place. The baseline, the most frequent
tag of each word, is trained on the same rows. Nothing pretrained is used. On 2 cores:

    python benchmarks/tagging.py ../shared/data/tagging --only ud-english-ewt --minutes 20
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import echoic

ALWAYS = 1000  # epochs: more than there is time for


class Set(NamedTuple):
    """A data set: its files (validation may be None), options, the test metrics shown, what others reach in %."""

    train: str
    validation: str | None
    test: str
    options: dict[str, Any]
    shown: tuple[str, ...]
    published: str


SETS = {
    "ud-english-ewt": Set(
        "en_ewt-ud-train.conllu.gz", "en_ewt-ud-dev.conllu.gz", "en_ewt-ud-test.conllu.gz",
        {}, ("accuracy",), "most frequent tag 86.2, neural taggers without pretrained vectors 93 to 94",
    ),
    "snips": Set(
        "train.tsv.gz", "valid.tsv.gz", "test.tsv.gz", {"intent": "1", "tokens": "2", "tags": "3"},
        ("f1", "intent_accuracy", "sentence_accuracy"),
        "slot-gated BiLSTM: slot F1 88.8, intents 97.0, whole sentences 75.5 (Goo et al., 2018)",
    ),
    "weibo-ner": Set(
        "train.tsv.gz", "dev.tsv.gz", "test.tsv.gz", {"batch_size": 16, "hidden_size": 100, "epochs": 40},
        ("f1", "precision", "recall"),
        "character BiLSTM-CRF 52.8, with pretrained vectors (Zhang and Yang, 2018)",
    ),
    "wikigold": Set(
        "train.tsv.gz", "dev.tsv.gz", "test.tsv.gz", {}, ("f1", "precision", "recall"), "most frequent tag 26.4",
    ),
    "ud-chinese-gsdsimp": Set(
        "zh_gsdsimp-ud-dev.conllu.gz", None, "zh_gsdsimp-ud-test.conllu.gz",
        {}, ("accuracy",), "most frequent tag 74.2 (trained on the dev part, as here)",
    ),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    for name in arguments.only:
        chosen, folder = SETS[name], arguments.data / name
        files = {"test": folder / chosen.test}
        if chosen.validation is not None:
            files["validation"] = folder / chosen.validation
        options = {"epochs": ALWAYS} | chosen.options | files
        for seed in arguments.seeds:
            tagger = echoic.Tagger(**options, seed=seed, max_minutes=arguments.minutes)
            tagger.fit(folder / chosen.train, out=arguments.out / f"{name}-{seed}", overwrite=True)
            _show(f"{name}, seed {seed}", tagger.metrics, chosen.shown)
        print(f"  published: {chosen.published}", flush=True)


def _show(title: str, numbers: dict[str, Any], metrics: tuple[str, ...]) -> None:
    print(f"\n{title}: {numbers['parameters']:,} weights, {numbers['seconds']:.0f} s, {numbers['epochs']} epochs")
    rows = {"validation": numbers["validation"], "test": numbers["test"], **numbers["baselines"]}
    for row, scores in rows.items():
        print(f"  {row:20s} " + "   ".join(f"{metric} {100 * scores[metric]:6.2f} %" for metric in metrics))


if __name__ == "__main__":
    main()
