import struct

import pytest

from ml import churn, ltv, segments
from ml.model import Trained
from ml.plots import model_plot


def assert_is_png(picture: bytes | None) -> None:
    assert picture is not None
    assert picture.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", picture[16:24])
    assert width >= 500
    assert height >= 200


@pytest.mark.parametrize("module", [churn, ltv, segments])
def test_every_model_has_a_picture_of_its_metrics(module: object, request: pytest.FixtureRequest) -> None:
    name = module.MODEL  # type: ignore[attr-defined]
    trained: Trained[churn.ChurnModel] = request.getfixturevalue(f"trained_{name}")
    picture = model_plot(name, trained.card.metrics, currency="EUR")
    assert_is_png(picture)
    assert picture == model_plot(name, trained.card.metrics, currency="EUR")


def test_metrics_without_a_table_have_no_picture() -> None:
    assert model_plot("other", {"mae": 1.0}, currency="EUR") is None
