"""Random, unequal parameters, inputs, first states and targets for the textbook's networks, float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

INPUT, HIDDEN, OUTPUT, TIME = 3, 5, 4, 7


@dataclass
class Problem:
    p: dict[str, np.ndarray]
    x: np.ndarray  # [T, I]
    start: dict[str, np.ndarray]
    d: np.ndarray  # [T, O]

    def values(self) -> dict[str, np.ndarray]:
        """Everything that has a gradient, by name."""
        return {**self.p, "x": self.x, **self.start}

    def targets(self, loss_name: str) -> np.ndarray:
        """Any numbers for squared error; one-hot rows for cross entropy."""
        return self.d if loss_name == "squared_error" else np.eye(OUTPUT)[self.d.argmax(axis=1)]


def random_problem(
    network: str, seed: int, peephole: bool = False, coupled: bool = False, projection: int = 0
) -> Problem:
    """A problem for ``textbook.<network>``."""
    rng = np.random.default_rng(seed)
    recurrent = projection or HIDDEN
    gates = {"lstm": 3 if coupled else 4, "gru": 3}.get(network, 1)
    shapes: dict[str, dict[str, tuple[int, ...]]] = {
        "elman": {"W_xh": (HIDDEN, INPUT), "W_hh": (HIDDEN, HIDDEN), "b_h": (HIDDEN,)},
        "jordan": {"W_xh": (HIDDEN, INPUT), "W_yh": (HIDDEN, OUTPUT), "b_h": (HIDDEN,)},
        "lstm": {
            "W": (gates * HIDDEN, INPUT),
            "U": (gates * HIDDEN, recurrent),
            "b_ih": (gates * HIDDEN,),
            "b_hh": (gates * HIDDEN,),
        },
        "gru": {
            "W": (gates * HIDDEN, INPUT),
            "U": (gates * HIDDEN, HIDDEN),
            "b": (gates * HIDDEN,),
            "beta": (gates * HIDDEN,),
        },
    }
    parameters = shapes[network] | {"W_hy": (OUTPUT, recurrent), "b_y": (OUTPUT,)}
    if peephole:
        parameters |= dict.fromkeys(("p_f", "p_o") if coupled else ("p_i", "p_f", "p_o"), (HIDDEN,))
    if projection:
        parameters |= {"P": (projection, HIDDEN)}
    starts = {"elman": {"h_0": HIDDEN}, "jordan": {"y_0": OUTPUT}, "gru": {"h_0": HIDDEN}}
    starts["lstm"] = {"h_0": recurrent, "c_0": HIDDEN}
    return Problem(
        p={name: rng.normal(scale=0.6, size=shape) for name, shape in parameters.items()},
        x=rng.normal(size=(TIME, INPUT)),
        start={name: rng.normal(size=size) for name, size in starts[network].items()},
        d=rng.normal(size=(TIME, OUTPUT)),
    )
