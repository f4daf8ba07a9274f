"""Fusing and laying out preserve what a program means."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.program.plan_oracle import run_plan
from tests.program.random_programs import layouts, numbers_for, planned, programs

from echoic.program import Builder, Program, interpret
from echoic.program.fusion import fused, use_counts
from echoic.program.operations import KINDS
from echoic.program.plan import Matmul, Place, Pointwise, Reduce, Total
from echoic.program.planning import make_plan

BATCH = 3


def tries(count: int) -> settings:
    """So many examples, however long one takes to draw."""
    return settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))


def carried_out(program: Program, layout, sources, batch: int = BATCH) -> dict[str, list[np.ndarray]]:
    """What a plan writes for each result, at every place where it is wanted, or its total [W]."""
    memory = [np.full((batch, width), np.nan) for width in layout.ports]
    for name, place in layout.sources.items():
        memory[place.port][:, place.offset : place.offset + sources[name].shape[1]] = sources[name]
    before = [m.copy() for m in memory]
    totals = iter(run_plan(planned(program, layout), fused(program), memory, sources))
    for name, place in layout.sources.items():  # nothing is written over what is read
        if place.port not in {p.port for places in layout.results.values() for p in places}:
            np.testing.assert_array_equal(memory[place.port], before[place.port], err_msg=name)
    return {
        name: [memory[p.port][:, p.offset : p.offset + program.widths[value]] for p in layout.results[name]]
        if name in layout.results
        else [next(totals)]
        for name, value in program.results
    }


@tries(400)
@given(st.data())
def test_a_plan_does_what_the_program_says(data) -> None:
    whole = data.draw(st.booleans())
    program = data.draw(programs(whole=whole))
    layout = data.draw(layouts(program))
    sources = numbers_for(program, data.draw(st.integers(0, 99)), BATCH, whole)
    expected = interpret(program, sources)
    if not any(s.kind == "row" for s in program.sources):
        expected = {n: np.broadcast_to(v, (BATCH, v.shape[1])) for n, v in expected.items()}
    tolerance = 0 if whole else 1e-9
    for name, found in carried_out(program, layout, sources).items():
        for values in found:
            if values.ndim == 1:
                expected[name] = expected[name].sum(0)
            np.testing.assert_allclose(values, expected[name], rtol=tolerance, atol=tolerance, err_msg=name)


@tries(150)
@given(programs(whole=True), st.integers(0, 99))
def test_fusing_changes_no_number_and_makes_no_more_operations(program: Program, seed: int) -> None:
    sources = numbers_for(program, seed, BATCH, whole=True)
    rewritten = fused(program)
    assert len(rewritten.operations) <= len(program.operations)
    expected, found = interpret(program, sources), interpret(rewritten, sources)
    for name, value in expected.items():
        np.testing.assert_array_equal(*(np.broadcast_to(v, (BATCH, v.shape[1])) for v in (found[name], value)))


def test_a_product_and_a_negative_are_absorbed() -> None:
    builder = Builder()
    for name in "abc":
        builder.source(name, "row", 3)
    product = builder.emit("mul", "a", "b", width=3)
    total = builder.emit("add", product, "c", width=3)
    negative = builder.emit("neg", "a", width=3)
    rest = builder.emit("add", "c", negative, width=3)
    program = fused(builder.program({"total": str(total), "rest": str(rest)}))
    assert [(o.kind, o.operands) for o in program.operations] == [("fma", ("a", "b", "c")), ("sub", ("c", "a"))]


def test_a_product_that_is_used_twice_stays() -> None:
    builder = Builder()
    builder.source("a", "row", 3)
    product = str(builder.emit("mul", "a", "a", width=3))
    total = str(builder.emit("add", product, "a", width=3))
    program = builder.program({"product": product, "total": total})
    assert use_counts(program) == {"a": 3, product: 2, total: 1}
    assert [o.kind for o in fused(program).operations] == ["mul", "add"]


@pytest.mark.parametrize(
    ("bound", "otherwise", "kinds"),
    [(0.0, 0.0, ["relu_grad"]), (1.0, 0.0, ["le", "where"]), (0.0, -0.0, ["le", "where"])],
)
def test_the_gradient_of_a_relu_is_one_operation(bound: float, otherwise: float, kinds: list[str]) -> None:
    builder = Builder()
    for name in "gy":
        builder.source(name, "row", 3)
    small = builder.emit("le", "y", bound, width=3)
    program = fused(builder.program({"made": str(builder.emit("where", small, otherwise, "g", width=3))}))
    assert [o.kind for o in program.operations] == kinds
    sources = {"g": np.array([[1.0, 2.0, 3.0]]), "y": np.array([[-1.0, 0.0, 5.0]])}
    np.testing.assert_array_equal(interpret(program, sources)["made"], [[otherwise, otherwise, 3.0]])


def lstm_like() -> Program:
    builder = Builder()
    builder.source("projected", "row", 28)
    builder.source("hidden", "row", 7)
    builder.source("cell", "row", 7)
    builder.source("weight", "matrix", 7, 28)
    builder.source("bias", "vector", 28)
    gates = builder.emit("matmul", "hidden", "weight", width=28)
    gates = builder.emit("add", gates, "bias", width=28)
    gates = builder.emit("add", "projected", gates, width=28)
    i, f, g, o = (builder.slice(gates, 7 * k, 7 * k + 7) for k in range(4))
    i, f, o = (builder.emit("sigmoid", x, width=7) for x in (i, f, o))
    kept = builder.emit("mul", f, "cell", width=7)
    added = builder.emit("mul", i, builder.emit("tanh", g, width=7), width=7)
    cell = builder.emit("add", kept, added, width=7)
    hidden = builder.emit("mul", o, builder.emit("tanh", cell, width=7), width=7)
    return builder.program({"hidden": str(hidden), "cell": str(cell)})


def test_an_lstm_is_one_matmul_and_one_pointwise_stage() -> None:
    plan = make_plan(
        lstm_like(),
        [28, 7, 7, 7, 7],
        {"projected": Place(0, 0), "hidden": Place(1, 0), "cell": Place(2, 0)},
        {"hidden": [Place(3, 0)], "cell": [Place(4, 0)]},
    )
    matmul, pointwise = plan.stages
    assert isinstance(matmul, Matmul)
    assert matmul.added == Place(0, 0)
    assert plan.vectors[matmul.bias] == "bias"  # type: ignore[index]
    assert isinstance(pointwise, Pointwise)
    assert "fma" in [micro.kind for micro in pointwise.micros]
    assert len(plan.ports) == 6  # one scratch, for the gates


@pytest.mark.parametrize("kind", ["matmul", "sum", "max", "dot", "slice", "concat"])
def test_vectors_can_stand_wherever_rows_can(kind: str) -> None:
    builder = Builder()
    builder.source("x", "row", 4)
    builder.source("b", "vector", 4)
    builder.source("w", "matrix", 4, 2)
    attributes = {"slice": (1, 3)}.get(kind, ())
    operands = {"matmul": ("b", "w"), "concat": ("x", "b"), "dot": ("x", "b")}.get(kind, ("b",))
    width = {"matmul": 2, "slice": 2, "concat": 8}.get(kind, 1)
    made = str(builder.emit(kind, *operands, attributes=attributes, width=width))
    made = str(builder.emit("tanh", made, width=width))
    # the row keeps its place in the program
    program = builder.program({"made": made, "x": "x"})
    memory = [np.full((BATCH, 4), np.nan), np.full((BATCH, width), np.nan), np.full((BATCH, 4), np.nan)]
    sources = numbers_for(program, 0, BATCH)
    memory[0][:] = sources["x"]
    plan = make_plan(program, [4, width, 4], {"x": Place(0, 0)}, {"made": [Place(1, 0)], "x": [Place(2, 0)]})
    run_plan(plan, program, memory, sources)
    np.testing.assert_allclose(memory[1], interpret(program, sources)["made"], rtol=1e-12)
    np.testing.assert_array_equal(memory[2], sources["x"])


def test_parameters_put_together_can_be_reduced_ahead() -> None:
    builder = Builder()
    builder.source("x", "row", 2)
    for name in "ab":
        builder.source(name, "vector", 2)
    largest = builder.emit("max", builder.emit("concat", "a", "b", width=4), width=1)
    program = builder.program({"made": str(builder.emit("mul", "x", builder.spread(str(largest), 2), width=2))})
    plan = make_plan(program, [2, 2], {"x": Place(0, 0)}, {"made": [Place(1, 0)]})
    memory, sources = [np.full((BATCH, 2), np.nan) for _ in range(2)], numbers_for(program, 0, BATCH)
    memory[0][:] = sources["x"]
    run_plan(plan, program, memory, sources)
    np.testing.assert_allclose(memory[1], interpret(program, sources)["made"], rtol=1e-12)


def test_every_kind_is_drawn() -> None:
    """The random programs above cover what there is."""
    seen: set[str] = set()

    @tries(600)
    @given(programs())
    def collect(program: Program) -> None:
        seen.update(o.kind for o in program.operations)

    collect()
    assert seen == set(KINDS)


def test_a_product_that_is_only_summed_lies_nowhere() -> None:
    builder = Builder()
    builder.source("x", "row", 4)
    builder.source("y", "row", 4)
    product = str(builder.emit("mul", "x", "y", width=4))
    bounded = str(builder.emit("tanh", "y", width=4))
    program = builder.program({"bounded": bounded, "products": product, "again": bounded})
    plan = make_plan(program, [4, 4, 4], {"x": Place(0, 0), "y": Place(1, 0)}, {"bounded": [Place(2, 0)]})
    assert (plan.totals, len(plan.ports)) == ([4, 4], 3)
    (stage,) = plan.stages
    assert isinstance(stage, Pointwise)
    assert {(m.kind, *m.operands) for m in stage.micros if isinstance(m.target, Total)} == {
        ("fma", Place(0, 0), Place(1, 0), Total(0)),
        ("add", Place(2, 0), Total(1)),
    }


def normalised(spread_is_seen: bool) -> Program:
    """Rows less their sum, times the sum of their squares, as a norm has it."""
    builder = Builder()
    builder.source("x", "row", 4)
    squares = str(builder.emit("mul", "x", "x", width=4))
    sums = [str(builder.emit("sum", value, width=1)) for value in ("x", squares)]
    first, second = (str(builder.spread(value, 4)) for value in sums)
    scaled = str(builder.emit("mul", second, builder.emit("sub", "x", first, width=4), width=4))
    larger = str(builder.emit("maximum", scaled, second, width=4))
    return builder.program({"scaled": larger if spread_is_seen else scaled})


@pytest.mark.parametrize("spread_is_seen", [False, True])
def test_columns_are_read_as_such_after_all_that_can_be_reduced(spread_is_seen: bool) -> None:
    program = normalised(spread_is_seen)
    plan = make_plan(program, [4, 4], {"x": Place(0, 0)}, {"scaled": [Place(1, 0)]})
    assert [type(stage) for stage in plan.stages] == [Reduce, Reduce, Pointwise]
    assert {stage.kind for stage in plan.stages if isinstance(stage, Reduce)} == {"sum", "dot"}
    assert plan.ports[2:] == [1, 1]  # both sums: no squares, no broadcast
    kinds = [micro.kind for stage in plan.stages if isinstance(stage, Pointwise) for micro in stage.micros]
    # what cannot read a column has it spread over a tile
    assert sorted(kinds) == sorted(["sub_column", "mul_column", *["broadcast", "maximum"] * spread_is_seen])
    memory = [np.arange(12.0).reshape(3, 4), np.full((3, 4), np.nan)]
    run_plan(plan, program, memory, {})
    np.testing.assert_allclose(memory[1], interpret(program, {"x": memory[0]})["scaled"])


def test_the_sum_of_a_product_is_fused_where_a_factor_lies_in_memory() -> None:
    builder = Builder()
    builder.source("x", "row", 3)
    builder.source("v", "vector", 3)
    bounded = [str(builder.emit(kind, "x", width=3)) for kind in ("tanh", "sigmoid")]
    factors = {
        "own": ("x", bounded[0]),
        "square": (bounded[0], bounded[0]),
        "passing": bounded,
        "with.vector": ("x", "v"),
    }
    sums = {
        name: str(builder.emit("sum", builder.emit("mul", *pair, width=3), width=1)) for name, pair in factors.items()
    }
    seen = str(builder.emit("mul", "x", "x", width=3))
    sums["seen"] = str(builder.emit("sum", seen, width=1))
    program = fused(builder.program({**sums, "product": seen}))
    kinds = {o.name: o.kind for o in program.operations}
    assert {name for name, value in sums.items() if kinds[value] == "dot"} == {"own", "square"}
