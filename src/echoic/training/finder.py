"""A learning rate from a range test (Smith, 2017): raise it step by step and see where the loss falls fastest."""

from __future__ import annotations

import copy
import math
from itertools import cycle, islice

import torch
from torch import nn

from echoic import notices
from echoic.training.clipping import clip_gradients
from echoic.training.contract import Batches
from echoic.training.divergence import check_finite
from echoic.training.optimisers import make_optimiser
from echoic.training.settings import Training
from echoic.training.validation import device_of, to_device

LOWEST, HIGHEST, STEPS = 1e-5, 1.0, 80
SMOOTHING = 0.8
WINDOW = 15  # steps: batches differ more than one step of learning changes


def find_learning_rate(model: nn.Module, batches: Batches, settings: Training) -> float:
    """The rate at which the smoothed loss falls fastest. Weights and random state are left as they were.

    Raises TrainingDiverged if the loss is no number before anything has been learnt.
    """
    trial, device = copy.deepcopy(model), device_of(model)
    random = torch.get_rng_state()
    optimiser = make_optimiser(trial, settings, LOWEST)
    rates: list[float] = []
    losses: list[float] = []
    smooth = None
    for number, batch in enumerate(islice(cycle(batches.epoch(0)), STEPS)):
        rate = LOWEST * (HIGHEST / LOWEST) ** (number / (STEPS - 1))
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss = trial.loss(to_device(batch, device), None)  # type: ignore[operator]
        value = float(loss.mean.detach())
        if number == 0:
            check_finite(trial, batch, None, value, 0.0, "search for a learning rate, step 1")
        smooth = value if smooth is None else SMOOTHING * smooth + (1 - SMOOTHING) * value
        if not math.isfinite(value) or (losses and smooth > 2 * min(losses) + 1):
            break
        rates.append(rate)
        losses.append(smooth)
        optimiser.zero_grad()
        loss.mean.backward()
        clip_gradients(trial.parameters(), settings.clip, settings.clip_value)
        optimiser.step()
    torch.set_rng_state(random)
    rate = _steepest(rates, losses)
    notices.notice(f"learning rate {rate:.2g} found by a range test of {len(rates)} steps.")
    return rate


def _steepest(rates: list[float], losses: list[float]) -> float:
    """The rate in the middle of the stretch of ``WINDOW`` steps whose fitted line falls fastest."""
    centred = torch.arange(WINDOW, dtype=torch.float64) - (WINDOW - 1) / 2
    if len(losses) >= WINDOW:
        slopes = torch.tensor(losses, dtype=torch.float64).unfold(0, WINDOW, 1) @ centred
        if float(slopes.min()) < 0:
            return rates[int(slopes.argmin()) + WINDOW // 2]
    return rates[len(rates) // 2] / 10
