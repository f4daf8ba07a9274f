"""Estimators take the options of their task, and work with scikit-learn's clone."""

from __future__ import annotations

import inspect

import pytest
from sklearn.base import clone
from tests.tiny import TINY

import echoic
from echoic.errors import OptionError
from echoic.tasks import registered_tasks
from echoic.tasks.estimator import ESTIMATORS, NotFittedError
from echoic.tasks.options import options_of

EVERY = list(ESTIMATORS.values())


def test_every_task_has_an_estimator():
    assert set(ESTIMATORS) == set(registered_tasks())


@pytest.mark.parametrize("kind", EVERY)
def test_clone_keeps_the_options(kind):
    estimator = kind(hidden_size=17, learning_rate=0.004)
    copy = clone(estimator)
    assert copy is not estimator
    assert copy.get_params() == estimator.get_params()
    assert copy.get_params()["hidden_size"] == 17


@pytest.mark.parametrize("kind", EVERY)
def test_params_are_all_options_of_the_task(kind):
    assert set(kind().get_params()) == set(options_of(kind.kind.Settings)) == set(inspect.signature(kind).parameters)


@pytest.mark.parametrize("kind", EVERY)
def test_a_typo_is_refused_with_the_name_that_was_meant(kind):
    with pytest.raises(OptionError, match="hidden_size"):
        kind(hiden_size=3)
    with pytest.raises(OptionError, match="hidden_size"):
        kind().set_params(hidden_size=-1)


@pytest.mark.parametrize("kind", EVERY)
def test_before_fit(kind, tmp_path):
    with pytest.raises(NotFittedError, match="fit"):
        kind().predict(tmp_path)


@pytest.mark.parametrize("kind", EVERY)
def test_fit_save_load_in_memory(kind, tmp_path):
    task = kind.kind.name
    options = {"epochs": 1, "hidden_size": 4, "seed": 2}
    if task == "forecast":
        options |= {"horizon": 4, "lookback": 14}
    data = TINY[task].write(tmp_path)
    estimator = kind(**options)
    assert estimator.fit(data) is estimator
    estimator.save(tmp_path / "saved")
    assert echoic.load(tmp_path / "saved").evaluate(data) == estimator.evaluate(data)
