"""Runs side by side."""

from __future__ import annotations

from echoic.insight.comparison import compare_runs


def run(name, cell, test, **more):
    config = {"task": "forecast", "settings": {"model": {"cell": cell, "layers": 2}, "training": {"epochs": 3}}}
    return name, config, {"test": test, "validation": {"mae": 9.0}, "parameters": 10, **more}


def test_only_what_differs_and_every_metric():
    comparison = compare_runs([run("a", "LSTM", {"mae": 1.0, "owa": 0.5}), run("b", "GRU", {"mae": 2.0})])
    assert comparison.options == {"cell": ["LSTM", "GRU"]}
    assert comparison.metrics == {"mae": [1.0, 2.0], "owa": [0.5, None], "parameters": [10, 10]}
    assert comparison.header == ["", "a", "b"]
    assert comparison.rows[0] == ["cell", "LSTM", "GRU"]
    assert ["owa", "0.5", ""] in comparison.rows


def test_validation_stands_in_where_there_is_no_test():
    assert compare_runs([run("a", "GRU", {}), run("b", "GRU", {"mae": 2.0})]).metrics["mae"] == [9.0, 2.0]


def test_runs_of_different_tasks():
    other = ("c", {"task": "classify", "settings": {"model": {"pooling": "max"}}}, {"test": {"accuracy": 1.0}})
    comparison = compare_runs([run("a", "GRU", {"mae": 2.0}), other])
    assert comparison.options["task"] == ["forecast", "classify"]
    assert comparison.options["pooling"] == [None, "max"]
    assert comparison.metrics["accuracy"] == [None, 1.0]
