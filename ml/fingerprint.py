"""One hash for a frame, to say which rows a model was trained on."""

import hashlib
import json

import numpy as np
import pandas as pd


def data_fingerprint(frame: pd.DataFrame) -> str:
    """SHA-256 over rows and column names, whatever the order of rows and columns; numbers count as float64."""
    plain = pd.DataFrame({name: _comparable(frame[name]) for name in sorted(frame.columns)})
    digests = np.sort(pd.util.hash_pandas_object(plain, index=False).to_numpy(dtype=np.uint64))
    return hashlib.sha256(json.dumps(list(plain.columns)).encode() + digests.tobytes()).hexdigest()


def _comparable(column: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(column.dtype) or bool(column.isna().all()):
        return pd.to_numeric(column).astype("float64") + 0.0
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return column.astype("datetime64[us]").astype("int64")
    return column.astype(str)
