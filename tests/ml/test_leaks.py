import numpy as np

from ml.leaks import Rows, overshadowing

NAMES = ("visits", "views", "value_of_pages")


def made_up(rows: int, *, leak: float, seed: int) -> Rows:
    """Two honest columns, and one that knows the outcome to the degree `leak`."""
    random = np.random.default_rng(seed)
    honest = random.normal(size=(rows, 2))
    outcome = honest.sum(axis=1) + random.normal(size=rows) > 1
    return np.column_stack([honest, leak * outcome + random.normal(size=rows)]), outcome


def test_a_column_that_alone_knows_more_than_all_others_is_named() -> None:
    [warning] = overshadowing(made_up(800, leak=3, seed=1), made_up(400, leak=3, seed=2), NAMES)
    assert warning.startswith("value_of_pages alone tells the outcome better (ROC-AUC 0.9")
    assert warning.endswith("look for a leak in it.")


def test_a_column_that_helps_like_the_others_is_not() -> None:
    assert overshadowing(made_up(800, leak=1, seed=1), made_up(400, leak=1, seed=2), NAMES) == []


def test_holes_one_class_and_one_column_say_nothing_and_do_not_crash() -> None:
    values, outcome = made_up(400, leak=3, seed=1)
    values[::10] = np.nan
    assert len(overshadowing((values, outcome), (values, outcome), NAMES)) == 1
    nobody = np.zeros(400, dtype=bool)
    assert overshadowing((values, nobody), (values, outcome), NAMES) == []
    assert overshadowing((values[:, 2:], outcome), (values[:, 2:], outcome), NAMES[2:]) == []
    empty = np.full_like(values, np.nan)
    assert overshadowing((empty, outcome), (empty, outcome), NAMES) == []
