import json
import os

import pytest
import torch
from safetensors.torch import save_file
from tests.training.toy import ToyBatches, make_toy, settings

from echoic.errors import RunError
from echoic.training.checkpoint import (
    flatten_optimiser,
    of_prefix,
    read_checkpoint,
    restore_optimiser,
    with_prefix,
    write_checkpoint,
)
from echoic.training.optimisers import OPTIMISERS, make_optimiser


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "checkpoints" / "last.safetensors"
    torch.manual_seed(0)
    tensors = {"a:w": torch.randn(3, 5).t(), "b": torch.arange(7, dtype=torch.uint8), "c": torch.tensor(2.5)}
    write_checkpoint(path, tensors, {"step": 3, "worst": float("inf"), "list": [1, {"x": None}]})
    return path, tensors


def test_round_trip(written):
    path, tensors = written
    found, facts = read_checkpoint(path)
    assert sorted(found) == sorted(tensors)
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)
    assert facts == {"step": 3, "worst": float("inf"), "list": [1, {"x": None}]}
    assert [p.name for p in path.parent.iterdir()] == ["last.safetensors"]


def test_tensors_that_share_memory_may_be_saved_together(tmp_path):
    shared = torch.randn(4)
    write_checkpoint(tmp_path / "c", {"one": shared, "two": shared[:2]}, {})
    assert torch.equal(read_checkpoint(tmp_path / "c")[0]["two"], shared[:2])


def test_a_write_that_fails_leaves_the_old_file(written, monkeypatch):
    path, _ = written

    def full(*arguments):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        write_checkpoint(path, {"b": torch.zeros(2)}, {"step": 4})
    assert read_checkpoint(path)[1]["step"] == 3


def test_missing(tmp_path):
    with pytest.raises(RunError, match=r"last\.safetensors: there is no checkpoint.*\n?.*--overwrite"):
        read_checkpoint(tmp_path / "last.safetensors")


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.95])
def test_cut(written, share):
    path, _ = written
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(RunError, match=r"last\.safetensors: the checkpoint cannot be read.*--overwrite"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "content", [b"\xff" * 200, b"not a checkpoint at all, but a text", b"\x10" + b"\0" * 7 + b"{" * 16]
)
def test_damaged(written, content):
    path, _ = written
    path.write_bytes(content)
    with pytest.raises(RunError, match="cannot be read"):
        read_checkpoint(path)


def test_a_folder_in_its_place(tmp_path):
    (tmp_path / "last.safetensors").mkdir()
    with pytest.raises(RunError, match="cannot be read"):
        read_checkpoint(tmp_path / "last.safetensors")


@pytest.mark.parametrize(
    "metadata", [None, {"format": "1"}, {"format": "1", "facts": "{"}, {"format": "77", "facts": "{}"}]
)
def test_a_file_without_what_is_expected(tmp_path, metadata):
    path = tmp_path / "last.safetensors"
    save_file({"x": torch.ones(2)}, path, metadata=metadata)
    with pytest.raises(RunError, match=r"last\.safetensors"):
        read_checkpoint(path)


def updated(model, optimiser, batches):
    for batch in batches:
        optimiser.zero_grad()
        model.loss(batch).mean.backward()
        optimiser.step()


@pytest.mark.parametrize("name", sorted(OPTIMISERS))
def test_an_optimiser_goes_on_as_if_it_had_not_been_saved(tmp_path, name):
    batches, options = ToyBatches(count=5).all, settings(optimiser=name)
    model, other = make_toy(), make_toy(seed=2)
    optimiser = make_optimiser(model, options, 0.02)
    updated(model, optimiser, batches[:3])
    tensors, groups = flatten_optimiser(optimiser)
    write_checkpoint(tmp_path / "c", with_prefix("optimiser", tensors), {"groups": groups})
    other.load_state_dict(model.state_dict())
    resumed = make_optimiser(other, options, 0.5)
    found, facts = read_checkpoint(tmp_path / "c")
    restore_optimiser(resumed, of_prefix("optimiser", found), facts["groups"])
    assert json.dumps(resumed.state_dict()["param_groups"]) == json.dumps(groups)
    updated(model, optimiser, batches[3:])
    updated(other, resumed, batches[3:])
    assert all(torch.equal(other.state_dict()[key], tensor) for key, tensor in model.state_dict().items())


def test_prefixes_keep_sets_apart():
    one, two = {"w": torch.ones(1), "a:b": torch.zeros(1)}, {"w": torch.zeros(2)}
    held = {**with_prefix("one", one), **with_prefix("one:two", two), **with_prefix("on", two)}
    assert of_prefix("on", held).keys() == {"w"}
    assert of_prefix("one", {**with_prefix("one", one), **with_prefix("on", two)}).keys() == {"w", "a:b"}
