import pytest

from echoic.training.budget import Budget


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("echoic.training.budget.time.monotonic", lambda: now[0])
    return now


def test_without_a_limit_progress_is_by_steps(clock):
    budget = Budget(40, None)
    clock[0] += 1e6
    assert [budget.progress(step) for step in (0, 10, 40, 50)] == [0.0, 0.25, 1.0, 1.0]
    assert not budget.exhausted
    assert not budget.validation_due()
    assert budget.may_validate()


def test_by_time_or_steps_whichever_is_further(clock):
    budget = Budget(100, 2.0)
    clock[0] += 0.5 * budget.usable
    assert budget.progress(10) == pytest.approx(0.5)
    assert budget.progress(80) == pytest.approx(0.8)


def test_what_follows_the_last_update_fits_into_the_limit(clock):
    budget = Budget(100, 2.0)
    assert budget.usable == pytest.approx(119)
    budget.validated(10.0)
    budget.validated(4.0)
    assert budget.usable == pytest.approx(120 - 3 * 10 - 1)
    clock[0] += 88.9
    assert not budget.exhausted
    clock[0] += 0.2
    assert budget.exhausted
    assert budget.progress(1) == 1.0


def test_long_validations_leave_half_of_the_time_for_learning(clock):
    budget = Budget(100, 1.0)
    budget.validated(500.0)
    assert budget.usable == 30.0


def test_time_spent_before_counts(clock):
    budget = Budget(100, 1.0, spent=45.0)
    assert budget.elapsed == 45.0
    clock[0] += 14.5
    assert budget.exhausted


def test_validation_is_due_each_tenth_of_the_time(clock):
    budget = Budget(100, 10.0)
    budget.validated(1.0)
    clock[0] += 60.0
    assert not budget.validation_due()
    clock[0] += 0.1
    assert budget.validation_due()
    budget.validated(1.0)
    assert not budget.validation_due()


def test_dear_validations_are_rarer(clock):
    budget = Budget(100, 10.0)
    budget.validated(20.0)
    clock[0] += 120.0
    assert not budget.may_validate()
    assert not budget.validation_due()
    clock[0] += 0.1
    assert budget.may_validate()
    clock[0] += 120.0
    assert budget.validation_due()


def test_no_steps_at_all(clock):
    assert Budget(0, None).progress(0) == 0.0
