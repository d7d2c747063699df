"""What the bench of predictions finds: outcomes from the file alone, and a leak by scores that are too good."""

from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from bench.harness import BenchError
from bench.prediction_sets import SETS, PredictionSet
from bench.predictions import Judged, churn_table, run
from tests.ml.made_up_shop import TEST_DATE, made_up_rows

ONE = SETS["cdnow"]


def judged(probability: float | np.ndarray) -> Judged:  # type: ignore[type-arg]
    rows = made_up_rows()
    is_today = rows["as_of_date"] == pd.Timestamp(TEST_DATE)
    today = rows[is_today].reset_index(drop=True)
    return Judged(today.assign(churn_probability=probability), rows[~is_today], len(today), None)


def test_outcomes_count_from_the_cut_off_to_the_day_the_horizon_ends(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    days = {1: "1997-09-30", 2: "1997-10-01", 3: "1997-09-01", 4: "1997-09-01", 5: "1997-09-01"}
    later = {3: "1997-10-01", 4: "1997-12-29", 5: "1997-12-30"}
    rows = [f"({c}, date '{day}', 1, 10.0)" for days_of in (days, later) for c, day in days_of.items()]
    duckdb.sql(f"copy (select * from (values {', '.join(rows)}) t(customer_id, date, qty, amount)) to '{file}'")
    found = ONE.outcomes(file).set_index("user_id")
    assert found["has_churned"].to_dict() == {"1": True, "3": False, "4": False, "5": True}
    assert found["value_after"].to_dict() == {"1": 0.0, "3": 10.0, "4": 10.0, "5": 10.0}


def test_scores_that_are_too_good_to_be_true_are_a_leak() -> None:
    of_today = judged(0.5)
    with pytest.raises(BenchError, match=r"ROC-AUC 1\.000 is above 0\.8: this is a leak"):
        churn_table(ONE, judged(of_today.today["has_churned"].to_numpy(dtype=float)))
    with pytest.raises(BenchError, match="customers without a churn score"):
        churn_table(ONE, judged(np.nan))


def test_every_contender_stands_with_its_interval_beside_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.predictions.RESAMPLES", 5)
    lines = churn_table(ONE, judged(0.5))
    assert lines[2].startswith("| **Weft churn** | 0.500 (0.500 to 0.500) |")
    names = [line.split(" |")[0][2:] for line in lines[3:]]
    assert names[:3] == ["recency rank", "own mean rate", "logistic regression"]
    assert names[-5:] == [f"reference: {name}" for name in ONE.churn_reference]
    assert all(line.count(" to ") == 4 for line in lines[2:-5])


def test_a_set_that_is_not_known_or_not_here_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BenchError, match="No set is called cdnoww; there are cdnow,"):
        run(1, 1, sets=["cdnoww"])
    gone = PredictionSet("gone", tmp_path / "a" / "b.parquet", "cdnow", "USD", date(1997, 10, 1), 90, "", "", {}, {})
    monkeypatch.setitem(SETS, "gone", gone)
    assert "Skipped: " in run(1, 1, sets=["gone"], keep=tmp_path)


@pytest.mark.nightly
@pytest.mark.skipif(not ONE.file.exists(), reason="../shared/data/cdnow is not here")
def test_the_sample_of_cdnow_goes_through_the_product() -> None:
    report = run(1, 1, sets=["cdnow_sample_count"])
    assert "2,357 of 2,357 customers scored as of 1997-10-01" in report
    assert "| **Weft churn** |" in report
