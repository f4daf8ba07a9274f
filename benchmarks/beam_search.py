"""Beam search batched over sentences and hypotheses against a loop over sentences, with the same model.

    python benchmarks/beam_search.py SENTENCES [--run RUN] [--width 5] [--sentences 1000] [--model transformer]

SENTENCES is a text file (or .gz) with one sentence a line, e.g. test_2016_flickr.de.gz of Multi30k. Without a run a
model with random weights is taken, which does not know when to end and writes ten symbols more than it reads. No speed
is printed where the two do not find the same outputs.
"""

from __future__ import annotations

import argparse
import gzip
import time
from pathlib import Path

import numpy as np
import torch

import echoic
from echoic.data.subwords import SubwordVocabulary
from echoic.models.pair_models import MODELS, build_pair_model
from echoic.models.pair_settings import PairSettings, PairSizes
from echoic.models.search import Beam, Hypothesis, beam_search, search_texts
from echoic.models.sequence_to_sequence import END, EncoderDecoder


def one_by_one(model: EncoderDecoder, sources: list[np.ndarray], beam: Beam) -> list[list[Hypothesis]]:
    """A sentence at a time; its hypotheses are still a batch."""
    found = []
    for source in sources:
        symbols = torch.from_numpy(np.append(source, END))[None]
        found += beam_search(model, symbols, torch.tensor([symbols.shape[1]]), beam)
    return found


def random_model(lines: list[str], name: str) -> tuple[EncoderDecoder, list[np.ndarray]]:
    """A model of the usual size, and the sentences in 8,000 subwords."""
    vocabulary = SubwordVocabulary.fit(lines, 8000)
    torch.manual_seed(0)
    model = build_pair_model(PairSizes(vocabulary.size, vocabulary.size, True), PairSettings(model=name))
    with torch.no_grad():
        model.softmax.bias[END] -= 1e3  # type: ignore[union-attr, index, operator]
    return model, [vocabulary.encode(line) for line in lines]


def trained_model(lines: list[str], run: Path) -> tuple[EncoderDecoder, list[np.ndarray]]:
    """The model of a run of translate or summarize, and the sentences in its symbols."""
    task, model = echoic.load(run).fitted()
    return model, [task.preprocessing.text.encode_source(line) for line in lines]


def main() -> None:
    """Print seconds of both and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, metavar="SENTENCES")
    parser.add_argument("--run", type=Path)
    parser.add_argument("--model", choices=list(MODELS), default="recurrent")
    parser.add_argument("--width", type=int, default=5)
    parser.add_argument("--sentences", type=int, default=1000)
    asked = parser.parse_args()
    content = asked.file.read_bytes()
    text = (gzip.decompress(content) if asked.file.suffix == ".gz" else content).decode("utf-8")
    lines = text.splitlines()[: asked.sentences]
    model, sources = trained_model(lines, asked.run) if asked.run else random_model(lines, asked.model)
    model.eval()
    beam = Beam(asked.width, ratio=None if asked.run else 1.0, max_length=60)
    search_texts(model, sources[:50], beam)  # first calls are slower
    seconds, found = {}, {}
    for name, search in {"batched": search_texts, "one by one": one_by_one}.items():
        started = time.perf_counter()
        found[name] = search(model, sources, beam)
        seconds[name] = time.perf_counter() - started
    ours, loop = found["batched"], found["one by one"]
    apart = max(abs(a[0].score - b[0].score) for a, b in zip(ours, loop, strict=True))
    same = np.mean([a[0].tokens == b[0].tokens for a, b in zip(ours, loop, strict=True)])
    if same < 0.98:  # hypotheses that are as likely to within rounding may change places
        raise SystemExit(f"Only {100 * same:.1f} % of the outputs agree: no speed is reported.")
    written = sum(len(best[0].tokens) for best in ours)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {type(model).__name__}, "
          f"{sum(p.numel() for p in model.parameters()):,} parameters, width {asked.width}")  # fmt: skip
    for name, took in seconds.items():
        print(f"{name:12s} {took:7.2f} s  {len(lines) / took:7.1f} sentences/s  {written / took:8.0f} tokens/s")
    print(f"ratio {seconds['one by one'] / seconds['batched']:.2f}; same outputs {100 * same:.1f} %, "
          f"scores within {apart:.1g}")  # fmt: skip


if __name__ == "__main__":
    main()
