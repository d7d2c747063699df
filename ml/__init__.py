"""PREDICT: frames in, frames out. churn, ltv and segments each train and score; registry keeps them, gate compares them."""

from typing import Final

from ml import churn, ltv, registry, schema, segments, splits
from ml.model import ModelModule

MODELS: Final[tuple[ModelModule, ...]] = tuple(registry.MODULES.values())

__all__ = ["MODELS", "churn", "ltv", "registry", "schema", "segments", "splits"]
