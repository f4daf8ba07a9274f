"""A word from its spelling: convolutions or a recurrent network over its characters."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from echoic.cells import LSTM
from echoic.layers import Recurrent


class CharacterConvolution(nn.Module):
    """Filters over neighbouring characters, the largest response of each kept (Ma and Hovy, 2016).

    Args:
        symbols: size of the vocabulary of characters.
        embedding_size: features of a character.
        size: features of a word, shared out over the widths.
        dropout: of the embedded characters.
        widths: characters that a filter sees.
    """

    def __init__(
        self, symbols: int, embedding_size: int, size: int, dropout: float, widths: tuple[int, ...] = (3,)
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(symbols, embedding_size)
        nn.init.uniform_(self.embedding.weight, -((3 / embedding_size) ** 0.5), (3 / embedding_size) ** 0.5)
        self.dropout = nn.Dropout(dropout)
        shares = [size // len(widths) + (place < size % len(widths)) for place in range(len(widths))]
        self.filters = nn.ModuleList(
            nn.Linear(width * embedding_size, share) for width, share in zip(widths, shares, strict=True)
        )
        self.widths, self.output_size = widths, size

    def forward(self, characters: Tensor, lengths: Tensor) -> Tensor:
        """characters [U, L] of words with lengths [U], at least 1, to [U, size]."""
        inside = (torch.arange(characters.shape[1], device=characters.device) < lengths.unsqueeze(1)).unsqueeze(2)
        letters = self.dropout(self.embedding(characters)) * inside
        found = []
        for filters, width in zip(self.filters, self.widths, strict=True):
            before, after = width // 2, (width - 1) // 2
            windows = nn.functional.pad(letters, (0, 0, before, after)).unfold(1, width, 1).flatten(2)
            found.append(filters(windows).masked_fill(~inside, -torch.inf).amax(dim=1))
        return torch.cat(found, dim=1).relu()


class CharacterRecurrence(nn.Module):
    """Last states of a bidirectional LSTM over the characters (Lample et al., 2016).

    Args:
        symbols: size of the vocabulary of characters.
        embedding_size: features of a character.
        size: features of a word, half of them from each direction.
        dropout: of the embedded characters.
    """

    def __init__(self, symbols: int, embedding_size: int, size: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(symbols, embedding_size)
        nn.init.uniform_(self.embedding.weight, -((3 / embedding_size) ** 0.5), (3 / embedding_size) ** 0.5)
        self.dropout = nn.Dropout(dropout)
        self.recurrent = Recurrent(LSTM(embedding_size, max(1, size // 2)), bidirectional=True)
        self.output_size = self.recurrent.output_size

    def forward(self, characters: Tensor, lengths: Tensor) -> Tensor:
        """characters [U, L] of words with lengths [U] to [U, size]."""
        letters = self.dropout(self.embedding(characters))
        return self.recurrent.final_hidden(self.recurrent(letters, lengths=lengths)[1])


SPELLINGS = {"convolution": CharacterConvolution, "recurrence": CharacterRecurrence}
