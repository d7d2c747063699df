"""PREDICT: frames in, frames out. churn, ltv and segments each train and score; registry keeps them."""

from ml import churn, ltv, registry, schema, segments, splits

__all__ = ["churn", "ltv", "registry", "schema", "segments", "splits"]
