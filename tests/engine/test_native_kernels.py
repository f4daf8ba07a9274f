"""The kernels of every instruction set against the interpreter, in every size and at every edge."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.engine.native_runner import DTYPES, execute, native_plan, run
from tests.program.random_programs import layouts, numbers_for, planned, programs

from echoic import _native
from echoic.program import Operation, Program, Source, interpret
from echoic.program.operations import KINDS, POINTWISE, Array
from echoic.program.plan import Place
from echoic.program.planning import make_plan

SIZES = (1, 3, 7, 63, 257)
SETS = _native.instruction_sets()
UNARY = [kind for kind, meaning in POINTWISE.items() if meaning.operands == 1]
EDGES = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-42, -1e-42, 3.4e38, -3.4e38, 0.5, -0.3, 2.7, 88.73, -103.9]


@pytest.fixture(params=SETS)
def instruction_set(request: pytest.FixtureRequest) -> Iterator[str]:
    _native.choose_instruction_set(request.param)
    assert _native.instruction_set() == request.param
    yield request.param
    _native.choose_instruction_set("")


def one(kind: str, *operands: Array) -> Array:
    """One pointwise operation or reduction by the engine; the memory around the result stays as it is."""
    rows, width = operands[0].shape
    sources = tuple(Source(f"x{i}", "row", (width,)) for i in range(len(operands)))
    program = Program(sources, (Operation("v", kind, tuple(s.name for s in sources)),), (("out", "v"),))
    made = program.widths["v"]
    ports = [width] * len(operands) + [made + 2]
    places = {s.name: Place(i, 0) for i, s in enumerate(sources)}
    plan = make_plan(program, ports, places, {"out": [Place(len(operands), 1)]})
    assert len(plan.ports) == len(ports)
    dtype = operands[0].dtype
    memory = [*operands, np.full((rows, made + 2), 123, dtype)]
    execute(native_plan(plan, program, dtype), memory)
    assert (memory[-1][:, [0, -1]] == 123).all()
    return memory[-1][:, 1:-1]


def dense_float32() -> Array:
    """About a million float32 of all signs and exponents, denormals, infinities and NaN included."""
    bits = np.arange(0, 2**32, 4093, dtype=np.uint64).astype(np.uint32)
    every_exponent = (np.arange(512, dtype=np.uint32) << 23)[:, None] + np.array([0, 1, 0x7FFFFF], np.uint32)
    near_one = np.arange(0x3F7FFF00, 0x3F800100, dtype=np.uint32)
    tiny = np.arange(0, 300, dtype=np.uint32)
    some = np.concatenate([bits, every_exponent.ravel(), near_one, near_one | 0x80000000, tiny, tiny | 0x80000000])
    values = np.concatenate([some.view(np.float32), np.array(EDGES, np.float32)])
    return np.resize(values, (len(values) // 257 + 1, 257))  # the last vector of a row is not full


def ulps(found: Array, exact: Array) -> Array:
    """By how many units in the last place of their type numbers are off; infinite where one is no number."""
    with np.errstate(all="ignore"):
        largest = np.finfo(found.dtype).max
        rounded = exact.astype(found.dtype)
        unit = np.spacing(np.minimum(np.abs(rounded), largest)).astype(exact.dtype)
        # beyond the largest number both infinity and the largest are near
        near = np.abs(np.clip(found.astype(exact.dtype), -largest, largest) - np.clip(exact, -largest, largest)) / unit
        same = (np.isnan(found) & np.isnan(exact)) | (found == rounded)
    return np.where(same, 0.0, np.where(np.isnan(near), np.inf, near))


def reference(kind: str, values: Array) -> Array:
    with np.errstate(all="ignore"):
        return KINDS[kind].meaning(values)


@pytest.mark.parametrize("kind", UNARY)
def test_functions_are_accurate_to_4_ulp_in_float32(instruction_set: str, kind: str) -> None:
    values = dense_float32()
    with np.errstate(invalid="ignore"):  # signalling NaN
        wide = values.astype(np.float64)
    off = ulps(one(kind, values), reference(kind, wide))
    worst = np.unravel_index(off.argmax(), off.shape)
    assert off[worst] <= 4, f"{kind}({values[worst]!r}) is {off[worst]} ulp off"


@pytest.mark.parametrize("kind", UNARY)
def test_functions_in_float64(instruction_set: str, kind: str) -> None:
    random = np.random.default_rng(0)
    bits = random.integers(0, 2**64, 20_000, dtype=np.uint64).view(np.float64)
    values = np.concatenate([bits, random.standard_normal(20_000) * 3, EDGES])
    values = np.resize(values, (len(values) // 63 + 1, 63))
    if kind in ("sin", "cos"):
        values = np.where(np.abs(values) > 1e6, 0.5, values)
    with np.errstate(invalid="ignore"):
        wide = values.astype(np.longdouble)
    off = ulps(one(kind, values), reference(kind, wide))
    assert off.max() <= 4, f"{kind}({values.ravel()[off.argmax()]!r})"


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("kind", [k for k in POINTWISE if k not in UNARY])
def test_operations_of_several_operands(instruction_set: str, kind: str, dtype: type) -> None:
    count = POINTWISE[kind].operands or 1
    random = np.random.default_rng(len(kind)).standard_normal((count, 40, 63)).astype(dtype)
    edges = [np.array(EDGES, dtype)] * count
    edge_grid = [np.resize(grid, (len(EDGES) ** count // 63 + 1, 63)) for grid in np.meshgrid(*edges)]
    for operands in (list(random), edge_grid):
        found = one(kind, *operands)
        with np.errstate(all="ignore"):
            wide = reference_of_several(kind, operands)
            if kind in ("fma", "sigmoid_grad", "tanh_grad"):  # intermediate results may be rounded or not
                scale = (1 + np.abs(operands[0].astype(float))) * (1 + np.abs(operands[1].astype(float))) ** 2 + np.abs(
                    wide
                )
                calm = np.isfinite(wide) & (scale < 1e30)
                assert (np.abs(found - wide)[calm] <= 4 * np.finfo(dtype).eps * scale[calm] + 1e-44).all()
                assert not np.isnan(found[np.isfinite(wide) & (scale < 1e30)]).any()
                assert np.isnan(found[np.isnan(operands).any(0)]).all()
            else:
                np.testing.assert_array_equal(found, KINDS[kind].meaning(*operands).astype(dtype))


def reference_of_several(kind: str, operands: list[Array]) -> Array:
    return np.asarray(KINDS[kind].meaning(*(o.astype(np.longdouble) for o in operands)), np.longdouble)


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_reductions_of_every_width(instruction_set: str, dtype: type) -> None:
    random = np.random.default_rng(3)
    for width in (*SIZES, 2, 15, 16, 17, 33):
        whole = random.integers(-100, 100, (7, width)).astype(dtype)
        np.testing.assert_array_equal(one("sum", whole), whole.sum(1, keepdims=True))
        np.testing.assert_array_equal(one("max", whole), whole.max(1, keepdims=True))
        for at in {0, width // 2, width - 1}:
            broken = whole.copy()
            broken[2, at] = np.nan
            for kind in ("sum", "max"):
                np.testing.assert_array_equal(one(kind, broken), KINDS[kind].meaning(broken))


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("transposed", [False, True])
def test_matmuls_of_every_size(instruction_set: str, transposed: bool, dtype: type) -> None:
    """Exact sums of whole numbers; what stands beside the result is left alone."""
    random = np.random.default_rng(7)
    for rows in (*range(1, 14), 63):
        for inner, columns in [(1, 1), (3, 7), (7, 63), (63, 3), (257, 16), (16, 257), (5, 48), (2, 130)]:
            matrix = random.integers(-3, 4, (columns, inner) if transposed else (inner, columns)).astype(dtype)
            x, added = (random.integers(-9, 9, (rows, n)).astype(dtype) for n in (inner, columns))
            bias = random.integers(-9, 9, columns).astype(dtype)
            matrix = matrix.T if transposed else matrix
            code = [3, 3, inner, columns, columns + 1, 1, columns, 1, inner, columns, 0, 0, 1]
            plan = _native.Plan([*code, 2, 1, 0, 1, 1, 0, 0, 1, 2, 1, 1, 1, 0, 0], [], dtype == np.float64)
            target = np.full((rows, columns + 1), np.nan, dtype)
            target[:, 0] = 123
            execute(plan, [x, added, target], [bias], [matrix])
            np.testing.assert_array_equal(target[:, 1:], x @ matrix + added + bias)
            assert (target[:, 0] == 123).all()


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("beside", [0, 3], ids=["side by side", "apart"])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_matmuls_of_groups(instruction_set: str, threads: int, beside: int, dtype: type) -> None:
    """More rows than groups and the other way round; threads share rows, or groups where there are few rows."""
    random = np.random.default_rng(8)
    for rows in (1, 2, 5, 16):
        for groups, inner, columns in [(2, 7, 3), (3, 1, 1), (7, 5, 63), (13, 3, 17), (9, 260, 130)]:
            matrix = random.integers(-3, 4, (inner, columns)).astype(dtype)
            widths = [groups * inner + beside, groups * columns + beside, groups * columns + beside]
            x, added, target = (random.integers(-9, 9, (rows, width)).astype(dtype) for width in widths)
            place = [x for port in range(3) for x in (1, port, beside)]
            code = [3, 3, *widths, 0, 1, inner, columns, 0, 0, 1, 2, 1, 0, groups]
            plan = _native.Plan([*code, *place[:3], *place[6:], *place[3:6], -1], [], dtype == np.float64)
            expected = (x[:, beside:].reshape(-1, inner) @ matrix).reshape(rows, -1) + added[:, beside:]
            left_alone = target[:, :beside].copy()
            target[:, beside:] = np.nan
            execute(plan, [x, added, target], [], [matrix], threads=threads)
            np.testing.assert_array_equal(target[:, beside:], expected)
            np.testing.assert_array_equal(target[:, :beside], left_alone)


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_random_programs_are_run_exactly(instruction_set: str, dtype: type, data: st.DataObject) -> None:
    program = data.draw(programs(whole=True, widths=SIZES))
    layout = data.draw(layouts(program))
    batch, threads = data.draw(st.sampled_from(SIZES[:3])), data.draw(st.integers(1, 3))
    sources = {n: v.astype(dtype) for n, v in numbers_for(program, data.draw(st.integers(0, 99)), batch, True).items()}
    memory = [np.full((batch, width + data.draw(st.integers(0, 1))), np.nan, dtype) for width in layout.ports]
    for name, place in layout.sources.items():
        memory[place.port][:, place.offset : place.offset + sources[name].shape[1]] = sources[name]
    plan = planned(program, layout)
    vectors, matrices = ([sources[name] for name in names] for names in (plan.vectors, plan.matrices))
    totals = [np.full(width, np.nan, dtype) for width in plan.totals]
    execute(native_plan(plan, program, dtype), memory, vectors, matrices, totals, threads=threads)
    expected = interpret(program, sources)
    for name, value in program.results:
        width = program.widths[value]
        rows = np.broadcast_to(expected[name], (batch, width))
        if name not in layout.results:
            np.testing.assert_array_equal(totals.pop(0), rows.sum(0), err_msg=name)
        for place in layout.results.get(name, ()):
            found = memory[place.port][:, place.offset : place.offset + width]
            np.testing.assert_array_equal(found, rows, err_msg=name)
    assert not totals


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_a_matrix_can_be_packed_before(instruction_set: str, dtype: type) -> None:
    random = np.random.default_rng(5)
    x, matrix = random.standard_normal((5, 7)).astype(dtype), random.standard_normal((7, 63)).astype(dtype)
    plan = _native.Plan(
        [2, 2, 7, 63, 0, 1, 7, 63, 0, 0, 1, 2, 1, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, -1], [], dtype == np.float64
    )
    found = [np.full((5, 63), np.nan, dtype) for _ in range(2)]
    execute(plan, [x, found[0]], [], [matrix])
    size = matrix.itemsize
    packed = np.full(plan.packed_bytes(0) // size + 16, np.nan, dtype)
    plan.pack(0, (matrix.ctypes.data, matrix.strides[0] // size, 1, 0), packed.ctypes.data)
    assert np.isnan(packed[-16:]).all()
    assert not np.isnan(packed[: plan.packed_bytes(0) // size - 64]).any()
    steps = np.zeros(1, np.int64), np.array([5], np.int64)
    ports = [(0, 0, x.ctypes.data, 7), (0, 0, found[1].ctypes.data, 63)]
    addresses = (steps[0].ctypes.data, steps[1].ctypes.data, 0)
    run(plan, (1, 5, 5), addresses, False, 1, ports, [], [], [], [(0, 0, 0, packed.ctypes.data)])
    np.testing.assert_array_equal(*found)
    np.testing.assert_allclose(found[0], x @ matrix, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="no such matrix"):
        plan.packed_bytes(1)
    with pytest.raises(ValueError, match="no such matrix"):
        plan.pack(1, (matrix.ctypes.data, 63, 1, 0), packed.ctypes.data)


@pytest.mark.parametrize("where", ["row", "vector"])
def test_a_column_is_spread_over_more_than_a_tile(instruction_set: str, where: str) -> None:
    program = Program(
        (Source("x", "row", (1,)), Source("b", where, (1,))),
        (Operation("v", "broadcast", ("b",), (1000,)), Operation("u", "broadcast", ("x",), (1000,)),
         Operation("w", "sub", ("v", "u"))),
        (("out", "w"),),
    )  # fmt: skip
    plan = make_plan(program, [1, 1, 1000], {"x": Place(0, 0), "b": Place(1, 0)}, {"out": [Place(2, 0)]})
    x, b = np.array([[1.0], [2.0], [3.0]]), np.array([[10.0], [20.0], [30.0]])
    vector = np.array([40.0])
    found = np.full((3, 1000), np.nan)
    execute(native_plan(plan, program, np.float64), [x, b, found], [vector] if where == "vector" else [])
    np.testing.assert_array_equal(found, np.broadcast_to((vector if where == "vector" else b) - x, (3, 1000)))


def test_the_instruction_sets_are_known_by_name() -> None:
    assert SETS[-1] == "scalar"
    assert _native.instruction_set() == SETS[0]
    with pytest.raises(ValueError, match="sse9"):
        _native.choose_instruction_set("sse9")
    assert _native.instruction_set() == SETS[0]
    assert [k for k in POINTWISE if _native.opcode(k) < 0] == []
    assert len({_native.opcode(k) for k in (*POINTWISE, "broadcast", "take")}) == len(POINTWISE) + 2
    assert _native.opcode("matmul") == -1
