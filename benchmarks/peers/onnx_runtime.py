"""The LSTM, GRU and RNN nodes of ONNX in onnxruntime; forward only."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from peers.problem import Array, Problem

NODES = {"LSTM": "LSTM", "GRU": "GRU", "Elman": "RNN"}
ORDER = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "Elman": (0,)}  # ONNX: i o f c; z r h
OPTIONS: dict[str, dict[str, Any]] = {"LSTM": {}, "GRU": {"linear_before_reset": 1}, "Elman": {}}


class OnnxLayer:
    """A layer over a batch, its inputs and outputs bound to memory that stays."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.about = f"onnxruntime {onnxruntime.__version__}, {threads} threads"

    def prepare(self, problem: Problem) -> None:
        arrays = problem.arrays()
        self.problem = problem
        self.session = session_of(layer_model(problem, arrays), self.threads)
        shape = (problem.batch, problem.steps) if problem.batch_first else (problem.steps, 1, problem.batch)
        self.inputs = onnxruntime.OrtValue.ortvalue_from_numpy(arrays["inputs"])
        self.outputs = onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros((*shape, problem.hidden), np.float32))
        self.binding = self.session.io_binding()
        self.binding.bind_ortvalue_input("inputs", self.inputs)
        self.binding.bind_ortvalue_output("outputs", self.outputs)
        self.run()

    def run(self) -> None:
        self.session.run_with_iobinding(self.binding)

    def results(self) -> dict[str, Array]:
        outputs = self.outputs.numpy()
        return {"outputs": outputs if self.problem.batch_first else outputs[:, 0]}


class OnnxStep:
    """A model of one step; each run reads the state where the run before wrote it."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.about = f"onnxruntime {onnxruntime.__version__}, {threads} threads"

    def prepare(self, problem: Problem) -> None:
        arrays = problem.arrays()
        self.session = session_of(step_model(problem, arrays), self.threads)
        fields = ("hidden", "cell") if problem.cell == "LSTM" else ("hidden",)
        zeros = np.zeros((1, problem.batch, problem.hidden), np.float32)
        make = onnxruntime.OrtValue.ortvalue_from_numpy
        states = [{field: make(zeros.copy()) for field in fields} for _ in range(2)]
        self.rows = [np.ascontiguousarray(row[None]) for row in arrays["inputs"]]
        self.entering, self.hidden = make(self.rows[0].copy()), [state["hidden"] for state in states]
        self.bindings, self.steps = [], 0
        for before, after in (states, states[::-1]):
            binding = self.session.io_binding()
            binding.bind_ortvalue_input("inputs", self.entering)
            for field in fields:
                binding.bind_ortvalue_input(field, before[field])
                binding.bind_ortvalue_output(f"{field}_after", after[field])
            self.bindings.append(binding)

    def run(self) -> None:
        self.entering.update_inplace(self.rows[self.steps % len(self.rows)])
        self.session.run_with_iobinding(self.bindings[self.steps % 2])
        self.steps += 1

    def results(self) -> dict[str, Array]:
        outputs = []
        for _ in self.rows:
            self.run()
            outputs.append(self.hidden[self.steps % 2].numpy()[0].copy())
        return {"outputs": np.stack(outputs)}


def session_of(model: Any, threads: int) -> Any:
    """A session with that many threads."""
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    # Its threads spin for more work, but not when a call is done: then others measure
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def layer_model(problem: Problem, arrays: dict[str, Array]) -> Any:
    """The node alone, or between two transpositions where the batch comes first: its own such layout is GPU only."""
    size, steps, batch = problem.hidden, problem.steps, problem.batch
    if problem.batch_first:
        ends = [
            helper.make_node("Transpose", ["inputs"], ["entering"], perm=[1, 0, 2]),
            recurrent_node(problem, ["entering"], ["leaving"]),
            helper.make_node("Transpose", ["leaving"], ["turned"], perm=[2, 0, 1, 3]),
            helper.make_node("Squeeze", ["turned", "axis"], ["outputs"]),
        ]
        shapes = ([batch, steps, size], [batch, steps, size])
        more = [numpy_helper.from_array(np.array([2], np.int64), "axis")]
    else:
        ends = [recurrent_node(problem, ["inputs"], ["outputs"])]
        shapes, more = ([steps, batch, size], [steps, 1, batch, size]), []
    return model_of(ends, {"inputs": shapes[0]}, {"outputs": shapes[1]}, weights(problem, arrays) + more)


def step_model(problem: Problem, arrays: dict[str, Array]) -> Any:
    """One step from a state to the next."""
    fields = ["hidden", "cell"] if problem.cell == "LSTM" else ["hidden"]
    after = [f"{field}_after" for field in fields]
    node = recurrent_node(problem, ["inputs", *fields], ["", *after])
    shape = [1, problem.batch, problem.hidden]
    return model_of([node], dict.fromkeys(["inputs", *fields], shape), dict.fromkeys(after, shape),
                    weights(problem, arrays))  # fmt: skip


def recurrent_node(problem: Problem, entering: list[str], leaving: list[str]) -> Any:
    """The node; ``entering`` has the inputs and the initial state."""
    names = [entering[0], "weight_ih", "weight_hh", "bias", "", *entering[1:]]
    if len(entering) == 1:
        names.pop()
    return helper.make_node(NODES[problem.cell], names, leaving, hidden_size=problem.hidden, **OPTIONS[problem.cell])


def weights(problem: Problem, arrays: dict[str, Array]) -> list[Any]:
    """Initialisers: weights [1, gates * H, H] and both biases in one, gates in the order of ONNX."""

    def ordered(name: str) -> Array:
        blocks = np.split(arrays[name], len(ORDER[problem.cell]))
        return np.concatenate([blocks[gate] for gate in ORDER[problem.cell]])[None]

    made = {
        "weight_ih": ordered("weight_ih"),
        "weight_hh": ordered("weight_hh"),
        "bias": np.concatenate([ordered("bias_ih"), ordered("bias_hh")], axis=1),
    }
    return [numpy_helper.from_array(value, name) for name, value in made.items()]


def model_of(nodes: list[Any], entering: dict[str, Any], leaving: dict[str, Any], constants: list[Any]) -> Any:
    """A model of float32 inputs and outputs by name and shape."""

    def described(shapes: dict[str, Any]) -> list[Any]:
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]

    graph = helper.make_graph(nodes, "recurrent", described(entering), described(leaving), constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
