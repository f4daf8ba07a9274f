"""Memory that is used again holds nothing that anybody still looks at."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from echoic._native import Buffers
from echoic.cells import LSTM
from echoic.engine import passes
from echoic.engine.buffers import numbers_from
from echoic.layers import Recurrent

LIKE = torch.empty(0)


def test_memory_comes_back_when_the_last_tensor_in_it_dies() -> None:
    buffers = Buffers(least=100, most=10_000)
    first = numbers_from(buffers, LIKE, 70)
    assert (first.shape, first.dtype, first.is_contiguous()) == ((70,), torch.float32, True)
    address, part = first.data_ptr(), first[2:4]
    second = numbers_from(buffers, LIKE, 70)
    assert second.data_ptr() != address
    del first
    assert numbers_from(buffers, LIKE, 70).data_ptr() not in (address, second.data_ptr())
    del part
    third = numbers_from(buffers, LIKE.double(), 35)  # as many bytes
    assert (third.data_ptr(), third.dtype) == (address, torch.float64)


def test_little_memory_is_not_kept_and_not_too_much() -> None:
    buffers = Buffers(least=100, most=10_000)
    numbers_from(buffers, LIKE, 24)
    assert buffers.idle == 0
    alive = [numbers_from(buffers, LIKE, 256) for _ in range(20)]
    assert buffers.idle == 0
    alive.clear()
    assert 9_000 < buffers.idle <= 10_000
    assert numbers_from(buffers, LIKE, 100_000).shape == (100_000,)
    assert buffers.idle <= 10_000


def test_no_more_lies_idle_than_was_in_use_at_once() -> None:
    buffers = Buffers(least=0, most=1 << 20)
    for _ in range(3):
        alive = [numbers_from(buffers, LIKE, 1000), numbers_from(buffers, LIKE, 2000)]
        alive.clear()
        assert 12_000 <= buffers.idle <= 12_000 * 1.25
    larger = numbers_from(buffers, LIKE, 2900)  # what is lacking takes the place of what has lain longest
    assert buffers.idle == 0
    del larger
    assert 11_600 <= buffers.idle <= 11_600 * 1.25
    small = numbers_from(buffers, LIKE, 10)  # no small one is there, but one that is large enough
    assert (small.shape, buffers.idle) == ((10,), 0)


def test_bytes_come_back_and_lie_where_they_say() -> None:
    buffers = Buffers(least=100, most=10_000)
    taken = buffers.take(280)
    address, view = taken.data_ptr(), memoryview(taken)
    assert (len(view), view.readonly, address % 64) == (280, False, 0)
    assert torch.frombuffer(view, dtype=torch.uint8).data_ptr() == address
    del taken
    assert (buffers.idle, buffers.take(280).data_ptr() != address) == (0, True)  # the view is still there
    idle = buffers.idle
    view.release()
    assert buffers.idle >= idle + 280
    assert buffers.take(280).data_ptr() == address


def test_memory_that_there_is_not_is_an_error() -> None:
    with pytest.raises(MemoryError):
        Buffers(least=0, most=1 << 20).take(1 << 60)


def test_a_backward_that_fails_gives_its_memory_back(monkeypatch: pytest.MonkeyPatch) -> None:
    buffers = Buffers(least=0, most=1 << 24)
    monkeypatch.setattr(passes, "BUFFERS", buffers)
    outputs, _ = Recurrent(LSTM(5, 7), backend="native")(torch.randn(3, 4, 5))
    idle = buffers.idle

    def fail(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(passes, "launch", fail)
    with pytest.raises(MemoryError):
        outputs.sum().backward()
    gc.collect()  # the error holds what was taken
    assert buffers.idle > idle


def test_of_those_that_are_large_enough_the_smallest_is_taken() -> None:
    buffers = Buffers(least=0, most=1 << 20)
    sizes = [1000, 4000, 2000]
    alive = [numbers_from(buffers, LIKE, size) for size in sizes]
    address = {size: part.data_ptr() for size, part in zip(sizes, alive, strict=True)}
    alive.clear()
    assert numbers_from(buffers, LIKE, 1500).data_ptr() == address[2000]
    held = [numbers_from(buffers, LIKE, size) for size in (900, 1500, 1500)]
    assert [part.data_ptr() for part in held] == [address[size] for size in (1000, 2000, 4000)]


def test_of_those_that_are_as_large_the_one_that_came_back_last_is_taken() -> None:
    buffers = Buffers(least=0, most=1 << 20)
    alive = [numbers_from(buffers, LIKE, 1000) for _ in range(5)]
    address = [part.data_ptr() for part in alive]
    order = [3, 0, 4, 1, 2]
    for place in order:
        alive[place] = LIKE
    held = [numbers_from(buffers, LIKE, 1000) for _ in order]
    assert [part.data_ptr() for part in held] == [address[place] for place in order[::-1]]


@pytest.mark.parametrize("size", [100, 127, 128, 1000, 4099])
def test_another_length_can_use_it_and_little_is_wasted(size: int) -> None:
    buffers = Buffers(least=0, most=1 << 20)
    numbers_from(buffers, LIKE, size)
    assert 4 * size <= buffers.idle <= 4 * size * 1.25 + 8
    address = numbers_from(buffers, LIKE, size).data_ptr()
    assert numbers_from(buffers, LIKE, size - 1).data_ptr() == address


def test_threads_never_hold_the_same_memory() -> None:
    buffers = Buffers(least=0, most=1 << 20)

    def work(number: int) -> bool:
        for _ in range(200):
            held = [numbers_from(buffers, LIKE, 500).fill_(number) for _ in range(3)]
            if not all(bool((part == number).all()) for part in held):
                return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))


@pytest.mark.parametrize("memory", ["store", "recompute"])
def test_graphs_that_live_at_once_keep_their_numbers(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "BUFFERS", Buffers(least=0, most=1 << 20))
    torch.manual_seed(0)
    layer = Recurrent(LSTM(5, 6), backend="native", memory=memory)
    loop = Recurrent(layer.cells[0], backend="reference")  # pyright: ignore
    batches = [torch.randn(3, 7, 5) for _ in range(4)]
    expected = [torch.autograd.grad(loop(x)[0].square().sum(), list(loop.parameters())) for x in batches]
    for _ in range(2):
        losses = [layer(x)[0].square().sum() for x in batches]
        layer(torch.randn(3, 7, 5))  # a graph that nobody wants
        gc.collect()
        for loss, gradients in zip(losses[::-1], expected[::-1], strict=True):
            torch.testing.assert_close(torch.autograd.grad(loss, list(layer.parameters())), gradients)
