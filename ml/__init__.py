"""PREDICT: frames in, frames out. churn, ltv and segments each train and score; registry keeps them."""

from typing import Final

from ml import churn, ltv, registry, schema, segments, splits
from ml.model import ModelModule

MODELS: Final[tuple[ModelModule, ...]] = (churn, ltv, segments)

__all__ = ["MODELS", "churn", "ltv", "registry", "schema", "segments", "splits"]
