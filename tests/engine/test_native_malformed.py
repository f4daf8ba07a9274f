"""Whatever numbers a plan consists of, the engine refuses it or stays within its memory."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.engine.native_runner import run

from echoic import _native
from echoic.engine.compiled import ENTERING, GRADIENT_IN, GRADIENT_OUT, LEAVING, PACKED

OP = _native.opcode
GUARD, FILL = 64, 123.0  # numbers around every array, and what they are
# ports 28 (projected), 7, 7 (out), 3 (scratch); vector of 28; matrices [7, 28], [2, 3]; totals of 9 and 7; a form of 28
HEADER = [4, 3, 28, 7, 7, 3, 1, 28, 2, 7, 28, 2, 3, 2, 9, 7, 1, 3, 1, 0, 2, -1, 2, 0, 7, 2]
MATMUL = [2, 0, 0, 1, 1, 1, 0, 1, 0, 0, 1, 0, 0, 0]  # port 0 += port 1 @ matrix + vector
MATMULS = [2, 0, 1, 3, 1, 1, 1, 1, 0, 2, 1, 0, 12, -1]  # three groups, which are added to others
POINTWISE = [1, 1, 7, 5,
             OP("sigmoid"), 2, 0, 0, 1, 0, 7, 0, 0, 0, 0, 0, 0,
             OP("fma"), 2, 1, 0, 2, 0, 0, 4, 0, 0, 1, 1, 0,
             OP("mul"), 1, 2, 0, 2, 1, 0, 3, 0, 21, 0, 0, 0,
             OP("add"), 5, 1, 0, 2, 1, 0, 5, 1, 0, 0, 0, 0,
             OP("fma"), 5, 1, 0, 2, 1, 0, 3, 0, 21, 5, 1, 0]  # fmt: skip
REDUCE = [3, 1, 7, 7, 1, 0, 1, 2, 0, 0, 0, 0, 1, 3, 2]
DOT = [3, 1, 7, 7, 1, 2, 1, 2, 0, 1, 0, 21, 1, 3, 2]
GROUPS = [3, 1, 6, 3, 1, 0, 1, 2, 0, 0, 0, 0, 1, 3, 1]
DOWN = [3, 1, 6, 2, 3, 2, 1, 2, 0, 1, 0, 21, 1, 3, 0]
TAKE = [1, 2, 28, 2, OP("take"), 2, 0, 0, 1, 0, 12, 6, 0, 0, 0, 0, 0,
        OP("add"), 1, 0, 0, 2, 0, 0, 1, 0, 0, 0, 0, 0]  # fmt: skip
BROADCAST = [1, 2, 7, 1, OP("broadcast"), 1, 1, 0, 1, 3, 2, 0, 0, 0, 0, 0, 0]
BY_COLUMN = [1, 2, 7, 1, OP("fma_column"), 1, 1, 0, 1, 1, 0, 1, 3, 2, 3, 0, 21]
CODE = [*HEADER, 10, *MATMUL, *MATMULS, *POINTWISE, *REDUCE, *DOT, *GROUPS, *DOWN, *BROADCAST, *BY_COLUMN, *TAKE]
AT_STAGES = len(HEADER) + 1


def guarded(random: np.random.Generator, *shape: int) -> tuple[np.ndarray, np.ndarray]:
    """An array in the middle of a larger one, and the larger one."""
    whole = np.full(int(np.prod(shape)) + 2 * GUARD, FILL, np.float32)
    inside = whole[GUARD:-GUARD].reshape(shape)
    inside[:] = random.standard_normal(shape)
    return inside, whole


def run_in_guarded_memory(code: list[int]) -> bool:
    """Run a plan, if it is one, on memory of the sizes that its head names; False if it is refused."""
    try:
        plan = _native.Plan(code, [0.5], False)
    except ValueError:
        return False
    at, outside = 2 + code[0], code[1]
    widths, vectors = code[2:at], code[at + 1 : at + 1 + code[at]]
    at += 1 + code[at]
    matrices = [tuple(code[at + 1 + 2 * i : at + 3 + 2 * i]) for i in range(code[at])]
    at += 1 + 2 * code[at]
    totals = code[at + 1 : at + 1 + code[at]]
    if sum(widths) + sum(vectors) + sum(k * n for k, n in matrices) + sum(totals) > 10**6:
        return True
    random, rows = np.random.default_rng(0), 5
    memory = [guarded(random, rows, width) for width in widths[:outside]]
    parameters = [guarded(random, size) for size in vectors] + [guarded(random, k, n) for k, n in matrices]
    summed = [guarded(random, size) for size in totals]
    held = [part.copy() for part, _ in parameters]
    steps = np.zeros(1, np.int64), np.array([rows], np.int64)
    run(
        plan,
        (1, rows, rows),
        (steps[0].ctypes.data, steps[1].ctypes.data, 0),
        False,
        2,
        [(PACKED, 0, m.ctypes.data, m.shape[1]) for m, _ in memory],
        [],
        [],
        [v.ctypes.data for v, _ in parameters[: len(vectors)]],
        [(m.ctypes.data, m.shape[1], 1, 0) for m, _ in parameters[len(vectors) :]],
        [],
        [t.ctypes.data for t, _ in summed],
    )
    for _, whole in (*memory, *parameters, *summed):
        assert (whole[:GUARD] == FILL).all()
        assert (whole[-GUARD:] == FILL).all()
    for (part, _), before in zip(parameters, held, strict=True):
        np.testing.assert_array_equal(part, before)
    return True


def test_the_plan_itself_runs() -> None:
    assert run_in_guarded_memory(CODE)


NUMBERS = st.integers(-2, 40) | st.sampled_from([2**24, 2**24 + 1, -(2**63), 2**63 - 1, 2**32, 256, 4096, 65536])


@settings(max_examples=1500, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_damaged_plan_is_refused_or_stays_within_its_memory(data: st.DataObject) -> None:
    code = list(CODE)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(len(code) - 1, 0)))
        code = code or [0]
        match data.draw(st.sampled_from(["replace", "replace", "replace", "drop", "insert", "end"])):
            case "replace":
                code[at] = data.draw(NUMBERS)
            case "drop":
                del code[at]
            case "insert":
                code.insert(at, data.draw(NUMBERS))
            case _:
                code = code[: at + 1]
    run_in_guarded_memory(code)


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(NUMBERS, max_size=60), st.booleans())
def test_random_numbers_are_refused_or_stay_within_their_memory(code: list[int], headed: bool) -> None:
    run_in_guarded_memory([*HEADER, *code] if headed else code)


def test_every_single_number_matters() -> None:
    """Each number of the code replaced by each of a few: what is accepted stays in its memory, and most is not."""
    accepted = 0
    for at in range(len(CODE)):
        for number in (-1, 0, 1, 2, 3, 4, 5, 7, 8, 22, 29, 256, 2**24, 2**40):
            accepted += run_in_guarded_memory([*CODE[:at], number, *CODE[at + 1 :]])
    assert 0 < accepted < 800


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ([], "ends before number of ports"),
        ([*CODE, 0], "goes on after its end"),
        ([1, 2, 3], "given from outside: found 2, expected 0 to 1"),
        ([1, 1, 0], "width of a port: found 0"),
        ([1, 1, 2**24 + 1], "width of a port"),
        ([65537], "number of ports"),
        ([*HEADER, 1, 4], "kind of a stage: found 4"),
        ([*HEADER, 1, 2, 3], "phase of a stage: found 3, expected 0 to 2"),
        ([*HEADER, 2, *REDUCE, 2, 0], "phase of a stage: found 0, expected 1 to 2"),
        ([*HEADER, 1, 2, 1, 2], "number of a matrix: found 2, expected 0 to 1"),
        ([*HEADER, 1, 2, 1, 0, 1, 1, 1, 1], "lies outside its memory"),
        ([*HEADER, 1, 2, 1, 0, 1, 2, 0, 0], "expected a place in memory"),
        ([*HEADER, 1, 2, 1, 0, 1, 1, 1, 0, 1, 0, 0, 3, 0, 0], "expected a place in memory"),
        ([*HEADER, 1, 2, 1, 1, 0], "groups of a matmul: found 0"),
        ([*HEADER, 1, 2, 1, 1, 2**23], "groups of a matmul: found 8388608, expected 1 to 5592405"),
        ([*HEADER, 1, 2, 1, 1, 4, 1, 1, 0], "lies outside its memory"),
        ([*HEADER, 1, 2, 1, 1, 3, 1, 1, 0, 1, 0, 20], "lies outside its memory"),
        ([*HEADER, 1, 2, 1, 1, 3, 1, 1, 0, 1, 0, 19, 1, 0, 20], "lies outside its memory"),
        ([*HEADER, 1, *MATMULS[:-1], 0], "a matmul of groups has a bias"),
        ([*HEADER, 1, *MATMUL[:-1], 1], "number of a vector"),
        ([*HEADER[:7], 27, *HEADER[8:], 1, *MATMUL], "bias is shorter"),
        ([*HEADER, 1, 1, 1, 7, 1, OP("tanh"), 3, 0, 0], "writes where it cannot"),
        ([*HEADER, 1, 1, 1, 7, 1, OP("tanh"), 2, 4096, 0], "number of an operand"),
        ([*HEADER, 1, 1, 1, 7, 1, OP("tanh"), 2, 0, 0, 1, 0, 0, 2, 0, 0], "too many or too few"),
        ([*HEADER, 1, 1, 1, 7, 1, OP("add"), 2, 0, 0, 1, 0, 0, 0, 0, 0], "too many or too few"),
        ([*HEADER, 1, 1, 1, 7, 1, OP("tanh"), 2, 0, 0, 3, 0, 22], "lies outside its memory"),
        ([*HEADER, 1, 1, 1, 7, 1, OP("tanh"), 2, 0, 0, 4, 1, 0], "number of an operand"),
        ([*HEADER, 1, 1, 1, 7, 1, 40], "an operation: found 40"),
        ([*HEADER[:13], 1, 0], "width of a total: found 0"),
        ([*HEADER, 1, 1, 1, 7, 1, OP("tanh"), 2, 0, 0, 5, 2, 0], "number of an operand"),
        ([*HEADER, 1, 1, 1, 7, 1, OP("tanh"), 2, 0, 0, 5, 1, 1], "lies outside its memory"),
        ([*HEADER, 1, 1, 1, 7, 1, OP("tanh"), 2, 0, 0, 5, 1, 0, 0, 0, 0, 0, 0, 0], "reads a total"),
        ([*HEADER, 1, 1, 1, 7, 1, OP("mul"), 5, 1, 0, 1, 1, 0, 5, 1, 0, 0, 0, 0], "does not add to its total"),
        ([*HEADER, 1, 1, 1, 7, 1, OP("add"), 5, 1, 0, 5, 1, 0, 1, 1, 0, 0, 0, 0], "does not add to its total"),
        ([*HEADER, 1, 1, 1, 7, 1, OP("add"), 5, 1, 0, 5, 1, 0, 5, 1, 0, 0, 0, 0], "does not add to its total"),
        ([*HEADER, 1, 1, 1, 7, 1, OP("add"), 5, 1, 0, 1, 1, 0, 5, 0, 0, 0, 0, 0], "does not add to its total"),
        ([*HEADER, 1, 1, 1, 7, 1, OP("add"), 5, 0, 2, 1, 1, 0, 5, 0, 2, 0, 0, 0], "does not add to its total"),
        ([*HEADER, 1, 1, 1, 7, 1, OP("add"), 5, 0, 0, 1, 1, 0, 5, 0, 0, 0, 0, 0], "does not add to its total"),
        ([*HEADER, 1, 1, 1, 7, 1, OP("broadcast"), 2, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0], "tile cannot be a column"),
        ([*HEADER, 1, 1, 1, 7, 1, OP("mul_column"), 2, 0, 0, 1, 1, 0, 2, 1, 0, 0, 0, 0], "tile cannot be a column"),
        ([*HEADER, 1, 1, 1, 7, 1, OP("add_column"), 5, 1, 0, 5, 1, 0, 1, 3, 0, 0, 0, 0], "does not add to its total"),
        ([*HEADER, 1, 1, 1, 7, 1, OP("sub_column"), 2, 0, 0, 1, 1, 0, 1, 3, 3, 0, 0, 0], "lies outside its memory"),
        ([*HEADER, 1, 3, 1, 7, 7, 1, 3], "kind of a reduction"),
        ([*HEADER, 1, 3, 1, 8, 8, 1, 0, 1, 2, 0], "lies outside its memory"),
        ([*HEADER, 1, 3, 1, 7, 7, 1, 2, 1, 2, 0, 1, 2, 1], "lies outside its memory"),
        ([*HEADER, 1, *DOT[:9], 0, 0, 0, *DOT[12:]], "reduction has too many or too few"),
        ([*HEADER, 1, *REDUCE[:9], 1, 2, 0, *REDUCE[12:]], "reduction has too many or too few"),
        ([*HEADER, 1, 3, 1, 7, 0], "size of a reduction: found 0, expected 1 to 7"),
        ([*HEADER, 1, 3, 1, 7, 3, 3], "that stay apart: found 3, expected 1 to 2"),
        ([*HEADER, 1, 3, 1, 7, 2, 3], "groups of different sizes"),
        ([*HEADER, 1, *GROUPS[:-1], 2], "lies outside its memory"),
        ([*HEADER[:16], 1, 3, 0], "size of a form: found 0"),
        ([*HEADER[:16], 1, 3, 2**20, 0, 2**20], "size of a form: found 1048576, expected 1 to 16"),
        ([*HEADER[:16], 1, 0, 1, 0, 2, -1, 2, 0, 7, 2], "before the first column"),
        ([*HEADER, 1, *TAKE[:10], 13, *TAKE[11:]], "takes what lies outside"),
        ([*HEADER, 1, *TAKE[:8], 3, 0, 13, *TAKE[11:]], "takes what lies outside"),
        ([*HEADER, 1, *TAKE[:8], 4, 0, 0, *TAKE[11:]], "taken of what is not in memory"),
        ([*HEADER, 1, *TAKE[:8], 2, 1, 0, *TAKE[11:]], "tile cannot be a column"),
        ([*HEADER, 1, *TAKE[:2], 27, *TAKE[3:]], "another width than its stage"),
        ([*HEADER, 1, *TAKE[:11], 6, 1, *TAKE[13:]], "number of an operand: found 1, expected 0 to 0"),
        ([*HEADER, 1, *TAKE[:11], 1, 0, *TAKE[13:]], "a form stands where it cannot"),
        ([*HEADER, 1, *TAKE[:-6], 6, 0, 0, 0, 0, 0], "a form stands where it cannot"),
        ([*HEADER, 1, *TAKE[:5], 6, 0, 0, *TAKE[8:]], "writes where it cannot"),
    ],
)
def test_what_is_wrong_with_a_plan_is_said(code: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _native.Plan(code, [0.5], False)


class Run(NamedTuple):
    """The arguments of ``execute`` that would work for PLAN."""

    sizes: Any
    steps: Any
    backward: bool
    threads: int
    ports: Any
    states: Any
    gradients: Any
    vectors: Any
    matrices: Any
    sums: Any
    totals: Any


# ports: packed 3, state before, state after, gradient in, gradient out; a total of 6
PLAN = _native.Plan([5, 5, 3, 4, 4, 2, 2, 1, 4, 1, 3, 4, 1, 6, 0, 0], [], False)
ARRAY, SUMS = np.zeros(1000, np.float32), np.zeros(1000, np.float32)
OFFSETS, ACTIVE, GROWING = (np.array(x, np.int64) for x in ([0, 5, 10], [5, 5, 2], [4, 5, 2]))
A, B = ARRAY.ctypes.data, SUMS.ctypes.data
GOOD = Run(
    (3, 5, 12), (OFFSETS.ctypes.data, ACTIVE.ctypes.data, 0), True, 2,
    [(PACKED, 0, A, 3), (ENTERING, 0, 0, 0), (LEAVING, 0, 0, 0), (GRADIENT_IN, 0, 0, 0), (GRADIENT_OUT, 0, 0, 0)],
    [(4, A, 0, A, 4, A)], [(2, A, A, 0)], [A], [(A, 4, 1, 0)],
    [(A, 3, A, 5, -1, B, B), (A, 3, 0, 4, 0, B, 0), (A, 3, 0, 2, 0, B, B, 2), (A, 7, 0, 0, -1, 0, B)],
    [B],
)  # fmt: skip


def port(at: int, *numbers: int) -> list[tuple[int, ...]]:
    return [*GOOD.ports[:at], numbers, *GOOD.ports[at + 1 :]]


def test_a_good_run_is_accepted() -> None:
    run(PLAN, *GOOD)
    run(PLAN, *GOOD._replace(sizes=(0, 5, 12), steps=(0, 0, 0)))
    run(PLAN, *GOOD._replace(gradients=[(2, 0, A, 0)]))
    run(PLAN, *GOOD._replace(sizes=(3, 5, 15), ports=port(0, PACKED, 0, A, 9)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes": (-1, 5, 12)}, "size is negative"),
        ({"sizes": (3, -5, 12)}, "size is negative"),
        ({"sizes": (3, 5, -1)}, "size is negative"),
        ({"sizes": (3, 4, 12)}, "rows of the steps grow"),
        ({"sizes": (3, 5, 11)}, "outside the rows"),
        ({"threads": 0}, "fewer than one thread"),
        ({"threads": 2000}, "too many threads"),
        ({"steps": (0, ACTIVE.ctypes.data, 0)}, "no memory"),
        ({"steps": (OFFSETS.ctypes.data, 0, 0)}, "no memory"),
        ({"steps": (OFFSETS.ctypes.data, GROWING.ctypes.data, 0)}, "rows of the steps grow"),
        ({"steps": (OFFSETS.ctypes.data, OFFSETS.ctypes.data, 0)}, "rows of the steps grow"),
        ({"steps": (OFFSETS.ctypes.data, ACTIVE.ctypes.data, A)}, "no fresh value"),
        ({"ports": GOOD.ports[:-1]}, "number of ports"),
        ({"ports": [*GOOD.ports, (PACKED, 0, A, 9)]}, "number of ports"),
        ({"ports": port(0, PACKED, 0, 0, 3)}, "no memory"),
        ({"ports": port(0, PACKED, 0, A, 2)}, "narrower"),
        ({"ports": port(0, PACKED, 0, A, -3)}, "narrower"),
        ({"ports": port(0, 5, 0, A, 3)}, "unknown role"),
        ({"ports": port(0, -1, 0, A, 3)}, "unknown role"),
        ({"ports": port(1, ENTERING, 1, 0, 0)}, "state that is not there"),
        ({"ports": port(2, LEAVING, -1, 0, 0)}, "state that is not there"),
        ({"ports": port(3, GRADIENT_IN, 1, 0, 0)}, "gradient that is not there"),
        ({"ports": port(4, GRADIENT_OUT, -1, 0, 0)}, "gradient that is not there"),
        ({"backward": False}, "gradient that is not there"),
        ({"sums": [(0, 3, A, 5, -1, B, 0)]}, "a sum has no memory"),
        ({"sums": [(A, 0, A, 5, -1, B, 0)]}, "a sum has no memory"),
        ({"sums": [(A, 3, A, 0, -1, B, 0)]}, "a sum has no memory"),
        ({"sums": [(A, 3, 0, 4, -1, B, 0)]}, "names a state that is not there"),
        ({"sums": [(A, 3, 0, 4, 1, B, 0)]}, "names a state that is not there"),
        ({"sums": [(A, 3, 0, 5, 0, B, 0)]}, "wider or narrower than its state"),
        ({"sums": [(A, 3, 0, 4, 0, B, 0, 2)]}, "wider or narrower than its state"),
        ({"sums": [(A, 3, A, 5, -1, B, 0, 0)]}, "a sum is over no groups"),
        ({"states": [(3, A, 0, A, 4, A)]}, "another width"),
        ({"states": [(4, 0, 0, A, 4, A)]}, "no first value"),
        ({"states": [(4, A, 0, A, 3, A)]}, "too narrow"),
        ({"states": [(4, A, 0, 0, 4, A)]}, "was not kept"),
        ({"states": [(0, A, 0, A, 4, A)]}, "no first value"),
        ({"gradients": [(3, A, A, 0)]}, "another width"),
        ({"gradients": [(0, A, 0, 0)]}, "gradient has no columns"),
        ({"gradients": []}, "gradient that is not there"),
        ({"vectors": []}, "number of vectors"),
        ({"vectors": [0]}, "vector has no memory"),
        ({"matrices": []}, "number of matrices"),
        ({"matrices": [(0, 4, 1, 0)]}, "matrix has no memory"),
        ({"totals": []}, "number of totals"),
        ({"totals": [B, B]}, "number of totals"),
        ({"totals": [0]}, "total has no memory"),
    ],
)
def test_a_run_that_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(PLAN, *GOOD._replace(**change))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_too_little_memory_is_an_error_and_no_end(threads: int) -> None:
    """Scratch of terabytes: whichever thread finds out, the caller is told, and goes on."""
    plan = _native.Plan([2001, 1, 1, *[2**24] * 2000, 0, 0, 0, 0, 0], [], False)
    for _ in range(20):
        with pytest.raises(ValueError, match="alloc"):
            run(plan, (3, 5, 12), GOOD.steps, False, threads, [(PACKED, 0, A, 1)], [], [], [], [])
    run(PLAN, *GOOD)


@pytest.mark.parametrize("place", [3, 10**6, -2, -(10**6)])
def test_a_frame_that_names_what_a_call_does_not_give(place: int) -> None:
    plan = _native.Plan([1, 1, 3, 0, 0, 0, 0, 0], [], False)
    frame = _native.Frame(plan, False, [(PACKED, 0, place, 3)], [], [], [], [], [], [], [])
    with pytest.raises(ValueError, match="was not given"):
        _native.execute([(frame, (3, 5, 12), 1, [*GOOD.steps], None)], 1, 1)


@pytest.mark.parametrize(
    ("array", "error"), [(object(), AttributeError), (-1, ValueError), (2**70, ValueError), ("steps", AttributeError)]
)
def test_an_array_that_is_none(array: object, error: type[Exception]) -> None:
    plan = _native.Plan([1, 1, 3, 0, 0, 0, 0, 0], [], False)
    frame = _native.Frame(plan, False, [(PACKED, 0, 3, 3)], [], [], [], [], [], [], [])
    with pytest.raises(error, match=r"data_ptr|no address"):
        _native.execute([(frame, (3, 5, 12), 1, [*GOOD.steps, array], None)], 1, 1)


def test_areas_lie_one_after_the_other_in_the_memory_of_their_place() -> None:
    plan = _native.Plan([2, 2, 3, 3, 0, 0, 0, 0, 1, 1, 1, 3, 1, OP("copy"), 1, 1, 0, 1, 0, 0, *[0] * 6], [], False)
    rows = 5
    memory, other = np.zeros((7 + 3) * rows, np.float32), np.zeros(4 * rows, np.float32)
    memory[2 * rows : 5 * rows] = np.arange(3 * rows)
    steps = np.zeros(1, np.int64), np.array([rows], np.int64)
    areas = [(3, 2), (4, 1), (3, 3), (4, 3)]  # of the first memory 2 columns, then 3; of the other 1, then 3
    frame = _native.Frame(plan, False, [(PACKED, 0, -4, 3), (PACKED, 0, -5, 3)], [], [], [], [], [], [], areas)
    addresses = [steps[0].ctypes.data, steps[1].ctypes.data, 0, memory.ctypes.data, other.ctypes.data]
    _native.execute([(frame, (1, rows, rows), 1, addresses, None)], 1, 1)
    np.testing.assert_array_equal(other, [0] * rows + list(range(3 * rows)))
