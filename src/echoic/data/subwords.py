"""Subwords: byte-level byte-pair encoding (Sennrich et al., 2016), learnt with the ``tokenizers`` package.

Every text can be encoded, since every byte is a symbol.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, model_validator
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from echoic.data.vocabulary import SPECIAL, PieceDecoder

UNKNOWN_NAME, BOUNDARY_NAME = "<unknown>", "<boundary>"
SMALLEST = 256 + SPECIAL
DEFAULT_SIZE = 4096
PART = 10_000  # characters: long texts are encoded in parts cut at line ends, to bound the tokenizer's memory


class SubwordVocabulary(BaseModel):
    """Byte-level subwords learnt from the training text.

    Attributes:
        symbols: name of each symbol in their order; bytes are written by the byte-level alphabet of tokenizers.
        merges: pairs of names to join, the most urgent first.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["subword"] = "subword"
    symbols: list[str]
    merges: list[tuple[str, str]]

    @classmethod
    def fit(cls, documents: Sequence[str], size: int | None = None, minimum: int | None = None) -> Self:
        """Learn the merges from the training texts.

        Args:
            size: symbols in all, at least 258 (None: 4,096, fewer if the text has no more pairs to merge).
            minimum: pairs seen fewer times are not merged (None: 2).
        """
        tokenizer = _tokenizer(models.BPE())
        trainer = trainers.BpeTrainer(
            vocab_size=max(SMALLEST, size or DEFAULT_SIZE),
            min_frequency=minimum or 2,
            special_tokens=[UNKNOWN_NAME, BOUNDARY_NAME],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        tokenizer.train_from_iterator((part for text in documents for part in _parts(text)), trainer)
        learnt = json.loads(tokenizer.to_str())["model"]
        vocabulary = tokenizer.get_vocab()
        return cls(symbols=sorted(vocabulary, key=vocabulary.__getitem__), merges=learnt["merges"])

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        known, alphabet = set(self.symbols), set(_byte_alphabet().values())
        if len(known) != len(self.symbols):
            raise ValueError("a symbol stands twice")
        if self.symbols[:SPECIAL] != [UNKNOWN_NAME, BOUNDARY_NAME]:
            raise ValueError(f"the first symbols are {self.symbols[:SPECIAL]}, not {[UNKNOWN_NAME, BOUNDARY_NAME]}")
        if not alphabet <= known:
            raise ValueError("not every byte is a symbol")
        if any(not name or not alphabet.issuperset(name) for name in self.symbols[SPECIAL:]):
            raise ValueError("a symbol is no string of bytes")
        for first, second in self.merges:
            if not {first, second, first + second} <= known:
                raise ValueError(f"the merge of {first!r} and {second!r} is of symbols that are not there")
        return self

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return _tokenizer(models.BPE({name: i for i, name in enumerate(self.symbols)}, list(self.merges)))

    @cached_property
    def _bytes(self) -> list[bytes]:
        byte_of = {character: byte for byte, character in _byte_alphabet().items()}
        return [b"" if i < SPECIAL else bytes(byte_of[c] for c in name) for i, name in enumerate(self.symbols)]

    @property
    def size(self) -> int:
        """Symbols in all, the two special ones included."""
        return len(self.symbols)

    def encode(self, text: str) -> np.ndarray:
        """Symbols of a text, int64 [N]."""
        parts = [e.ids for e in self._tokenizer.encode_batch_fast(list(_parts(text)), add_special_tokens=False)]
        return np.concatenate([np.asarray(ids, np.int64) for ids in parts]) if parts else np.zeros(0, np.int64)

    def decode(self, symbols: Iterable[int]) -> str:
        """Text of symbols; bytes that are no UTF-8 give the replacement character."""
        return b"".join(self._bytes[s] for s in symbols).decode("utf-8", "replace")

    def pieces(self) -> PieceDecoder:
        """A decoder for symbols that come one by one; holds back a character until its last byte is there."""
        return _BytePieces(self._bytes)

    def unknown_in(self, text: str) -> list[str]:
        """Nothing is unknown: every byte is a symbol."""
        return []


class _BytePieces:
    def __init__(self, table: list[bytes]) -> None:
        self.table = table
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, symbol: int) -> str:
        return self.decoder.decode(self.table[symbol])

    def finish(self) -> str:
        return self.decoder.decode(b"", final=True)


def _tokenizer(model: models.BPE) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer


def _parts(text: str) -> Iterable[str]:
    """The text in parts, cut after line ends where it has some."""
    text = text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates cannot be bytes
    start = 0
    while start < len(text):
        end = text.find("\n", start + PART, start + 10 * PART) + 1 or min(len(text), start + 10 * PART)
        yield text[start:end]
        start = end


def _byte_alphabet() -> dict[int, str]:
    """Byte to the printable character that byte-level tokenizers write for it (Radford et al., 2019)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}
