"""PREDICT: frames in, frames out. Each model trains and scores; registry keeps them, gate compares them."""

from typing import Final

from ml import channels, churn, ltv, next_order, recommend, registry, schema, segments, splits
from ml.model import ModelModule

MODELS: Final[tuple[ModelModule, ...]] = tuple(registry.MODULES.values())

__all__ = ["MODELS", "channels", "churn", "ltv", "next_order", "recommend", "registry", "schema", "segments", "splits"]
