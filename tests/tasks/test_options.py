"""Flat names and groups of settings."""

from __future__ import annotations

import pytest

from echoic.errors import OptionError
from echoic.tasks import registered_tasks
from echoic.tasks.options import flat_values, settings_from

KINDS = [task.Settings for task in registered_tasks().values()]


@pytest.mark.parametrize("kind", KINDS)
def test_names_are_unique_over_the_groups(kind):
    names = [name for group in kind.model_fields.values() for name in group.annotation.model_fields]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("task", registered_tasks().values())
def test_promoted_names_exist_and_every_option_is_described(task):
    fields = {n: f for g in task.Settings.model_fields.values() for n, f in g.annotation.model_fields.items()}
    assert set(task.promoted) <= set(fields)
    assert [name for name, field in fields.items() if not field.description] == []


@pytest.mark.parametrize("kind", KINDS)
def test_flat_values_make_the_same_settings(kind):
    settings = settings_from(kind, {"hidden_size": 33, "model.dropout": 0.25, "batch-size": "7"})
    assert settings.model.hidden_size == 33
    assert settings.model.dropout == 0.25
    assert settings.training.batch_size == 7
    assert settings_from(kind, flat_values(settings)) == settings


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"training.dropout": 0.1}, "dropout"),
        ({"hidden_size": "wide"}, "'wide'"),
        ({"seed": -1}, "seed"),
        ({"zzz": 1}, "There are"),
        ({"cell": "GRUU"}, r'^option cell: found "GRUU" \(did you mean GRU'),
        ({"learning_rate": "0"}, "found '0', expected greater than 0 or 'auto'"),
        ({"learning_rate": "-1"}, "greater than 0"),
        ({"learning_rate": "nan"}, "learning_rate"),
        ({"learning_rate": "fast"}, "found 'fast', expected a valid number or 'auto'"),
        ({"epochs": "3.5"}, r"found '3.5', expected a valid integer\."),
    ],
)
def test_what_cannot_be_is_named(values, word):
    with pytest.raises(OptionError, match=word):
        settings_from(KINDS[0], values)
