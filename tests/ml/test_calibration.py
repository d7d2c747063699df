import numpy as np
from scipy.special import expit, logit

from ml.calibration import calibration_from_dict, fit_calibration
from ml.evaluation import brier, expected_calibration_error


def test_platt_repairs_scores_that_are_too_sure() -> None:
    random = np.random.default_rng(1)
    chance = random.beta(2, 2, 6_000)
    actual, raw = random.uniform(size=6_000) < chance, 3 * logit(chance) + 1
    calibration = fit_calibration(raw[:3_000], actual[:3_000])
    repaired = calibration.probability(raw[3_000:])
    assert calibration.method == "platt"
    assert brier(actual[3_000:], repaired) < brier(actual[3_000:], expit(raw[3_000:])) - 0.02
    assert expected_calibration_error(actual[3_000:], repaired) < 0.03


def test_isotonic_takes_over_on_large_sets_and_keeps_the_order() -> None:
    random = np.random.default_rng(2)
    raw = random.normal(size=220_000)
    actual = random.uniform(size=220_000) < expit(raw) ** 2
    calibration = fit_calibration(raw, actual)
    found = calibration.probability(np.linspace(-3, 3, 200))
    assert calibration.method == "isotonic"
    assert (np.diff(found) >= 0).all()
    assert np.abs(found - expit(np.linspace(-3, 3, 200)) ** 2).max() < 0.05


def test_separable_classes_keep_probabilities_inside_zero_and_one() -> None:
    raw = np.r_[np.linspace(-9, -8, 50), np.linspace(8, 9, 50)]
    found = fit_calibration(raw, raw > 0).probability(np.array([-1e6, 1e6]))
    assert 0 < found[0] < found[1] < 1


def test_a_calibration_survives_being_stored() -> None:
    random = np.random.default_rng(3)
    calibration = fit_calibration(random.normal(size=100), random.uniform(size=100) < 0.5)
    assert calibration_from_dict(calibration.to_dict()) == calibration
