"""Target symbols a second in training: our encoder-decoder beside the same model written with torch.nn.LSTM.

    python benchmarks/seq2seq_speed.py [--hidden-size 256] [--layers 2] [--symbols 6000] [--rounds 7]

Both have the same weights and see the same batches in one process, in turn; a step is loss, gradients, clipping and
AdamW. The loss and all gradients are compared first, without dropout; no speed is printed where they differ.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from echoic.data.pair_batch import PairBatch, pair_batch
from echoic.models.pair_settings import PairSettings, PairSizes
from echoic.models.recurrent_decoder import ParallelDecoder
from echoic.models.recurrent_pairs import RecurrentEncoderDecoder

LENGTHS = (8, 11, 14, 18, 24)  # of the sources of a batch; Multi30k's are like these
TOKENS = 2000  # of a batch


class Plain(nn.Module):
    """The model as one writes it in PyTorch: packed sequences, torch.nn.LSTM, all scores at once."""

    def __init__(self, symbols: int, size: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(symbols, size)
        self.encoder = nn.LSTM(size, size, layers, batch_first=True, bidirectional=True, dropout=dropout * (layers > 1))
        self.first = nn.LSTM(size, size, batch_first=True)
        self.above = None
        if layers > 1:
            self.above = nn.LSTM(3 * size, size, layers - 1, batch_first=True, dropout=dropout * (layers > 2))
        self.bridge = nn.Linear(2 * size, layers * size)
        self.query = nn.Linear(size, size)
        self.key = nn.Linear(2 * size, size, bias=False)
        self.read = nn.Linear(3 * size, size)
        self.bias = nn.Parameter(torch.zeros(symbols))
        self.dropout, self.layers, self.smoothing = nn.Dropout(dropout), layers, 0.1

    def loss(self, batch: PairBatch) -> Tensor:
        embedded = self.dropout(self.embedding(batch.source))
        packed = pack_padded_sequence(embedded, batch.source_lengths, batch_first=True, enforce_sorted=False)
        packed, (ends, _) = self.encoder(packed)
        values, _ = pad_packed_sequence(packed, batch_first=True)
        mask = torch.arange(values.shape[1]) < batch.source_lengths[:, None]
        start = torch.tanh(self.bridge(torch.cat([ends[-2], ends[-1]], dim=1))).chunk(self.layers, dim=1)
        starts = [torch.stack(s) for s in (start[:1], start[1:]) if s]
        entering = self.dropout(self.embedding(batch.target_in))
        hidden, _ = self.first(entering, (starts[0], torch.zeros_like(starts[0])))
        scores = self.query(hidden) @ self.key(values).mT / hidden.shape[2] ** 0.5
        context = scores.masked_fill(~mask[:, None], -torch.inf).softmax(dim=2) @ values
        if self.above is not None:
            entering = self.dropout(torch.cat([hidden, context], dim=2))
            hidden, _ = self.above(entering, (starts[1], torch.zeros_like(starts[1])))
        features = self.dropout(torch.tanh(self.read(torch.cat([hidden, context], dim=2))))
        real = torch.arange(features.shape[1]) < batch.target_lengths[:, None]
        logits = nn.functional.linear(features[real], self.embedding.weight, self.bias)
        return cross_entropy(logits, batch.target_out[real], label_smoothing=self.smoothing if self.training else 0.0)


def same_weights(ours: RecurrentEncoderDecoder, plain: Plain) -> list[tuple[str, list[nn.Parameter], nn.Parameter]]:
    """Copies our weights into the plain model; pairs of what must have equal gradients (parts side by side)."""
    decoder = ours.decoder
    assert isinstance(decoder, ParallelDecoder)
    pairs = [
        ("embedding", [ours.target_embedding.weight], plain.embedding.weight),
        ("bias", [ours.softmax.bias], plain.bias),
        ("bridge", [ours.bridge.weight], plain.bridge.weight),
        ("bridge bias", [ours.bridge.bias], plain.bridge.bias),
        ("query", [decoder.attention.query.weight], plain.query.weight),
        ("query bias", [decoder.attention.query.bias], plain.query.bias),
        ("key", [decoder.attention.key.weight], plain.key.weight),
        ("readout", [decoder.readout.hidden.weight, decoder.readout.context.weight], plain.read.weight),
        ("readout bias", [decoder.readout.hidden.bias], plain.read.bias),
    ]  # fmt: skip
    stacks = [
        ("encoder", list(ours.encoder.cells), plain.encoder, 2),
        ("first", list(decoder.first.cells), plain.first, 1),
    ]
    if decoder.above is not None and plain.above is not None:
        stacks.append(("above", list(decoder.above.cells), plain.above, 1))
    for name, cells, lstm, directions in stacks:
        for place, cell in enumerate(cells):
            ending = f"l{place // directions}" + ("_reverse" if place % directions else "")
            for weight in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                pairs.append(
                    (f"{name} {weight}_{ending}", [getattr(cell, weight)], getattr(lstm, f"{weight}_{ending}"))
                )
    with torch.no_grad():
        for _, parts, theirs in pairs:
            theirs.copy_(torch.cat(parts, dim=-1))
    return pairs


def check(ours: RecurrentEncoderDecoder, plain: Plain, batch: PairBatch) -> None:
    """SystemExit unless loss and gradients agree."""
    pairs = same_weights(ours, plain)
    ours.eval(), plain.eval()
    losses = [ours.loss(batch).mean, plain.loss(batch)]
    for loss in losses:
        loss.backward()
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-5, atol=1e-5)
    for name, parts, theirs in pairs:
        gradient = torch.cat([p.grad for p in parts if p.grad is not None], dim=-1)
        torch.testing.assert_close(gradient, theirs.grad, rtol=1e-3, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")
    print(f"loss {losses[0]:.6f} and {losses[1]:.6f}; gradients of {len(pairs)} weights agree", flush=True)
    ours.train(), plain.train()


def batches(symbols: int) -> list[PairBatch]:
    """Random pairs, sources and targets of about the same length."""
    random = np.random.default_rng(0)

    def texts(length: int, count: int) -> list[np.ndarray]:
        return [random.integers(2, symbols, max(1, length + random.integers(-1, 2))) for _ in range(count)]

    return [pair_batch(texts(n, TOKENS // (n + 1)), texts(n, TOKENS // (n + 1))) for n in LENGTHS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden-size", type=int, default=256)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--symbols", type=int, default=6000)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    sizes = {"hidden_size": arguments.hidden_size, "layers": arguments.layers, "dropout": 0.3, "embedding_dropout": 0.3}
    settings = PairSettings(cell="LSTM", attention="scaled-dot", **sizes)
    ours = RecurrentEncoderDecoder(PairSizes(arguments.symbols, arguments.symbols, True), settings)
    plain = Plain(arguments.symbols, arguments.hidden_size, arguments.layers, 0.3)
    data = batches(arguments.symbols)
    check(ours, plain, data[1])
    models = {"echoic": (ours, lambda b: ours.loss(b).mean), "torch.nn.LSTM": (plain, plain.loss)}
    rules = {name: torch.optim.AdamW(model.parameters(), fused=True) for name, (model, _) in models.items()}
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for round_ in range(arguments.rounds + 1):
        for name, (model, loss) in models.items():
            started = time.perf_counter()
            for batch in data:
                rules[name].zero_grad()
                loss(batch).backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                rules[name].step()
            if round_:  # the first one warms up
                seconds[name].append(time.perf_counter() - started)
    tokens = sum(int(batch.target_lengths.sum()) for batch in data)
    rates = {name: tokens / statistics.median(times) for name, times in seconds.items()}
    for name, rate in rates.items():
        print(f"{name:14s} {rate:8,.0f} target symbols a second ({torch.get_num_threads()} threads)")
    ratios = sorted(b / a for a, b in zip(seconds["echoic"], seconds["torch.nn.LSTM"], strict=True))
    print(f"ratio {rates['echoic'] / rates['torch.nn.LSTM']:.2f} (of rounds: {ratios[0]:.2f} to {ratios[-1]:.2f}), "
          f"torch {torch.__version__}")  # fmt: skip


if __name__ == "__main__":
    main()
