"""Deep pixels (16 bits, 32 bits, float) brought to 8 bits for eyes and networks."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

_LOW_PERCENT: Final = 0.5
_HIGH_PERCENT: Final = 99.5
_SAMPLE_PIXELS: Final = 1 << 20  # percentiles of a million values are those of all to three digits


def stretch(deep: npt.NDArray[Any]) -> tuple[npt.NDArray[np.uint8], float, float]:
    """(array of the same shape as uint8, low, high): low and below become 0, high and above 255.

    Low and high are the 0.5 and 99.5 percentiles over all channels together, so that colours keep their balance.
    NaN becomes 0.
    """
    low, high = _range(deep)
    scale = 255.0 / (high - low) if high > low else 0.0
    if deep.dtype == np.uint16:
        values = np.arange(1 << 16, dtype=np.float64)
        return _to_bytes(values, low, high, scale)[deep], low, high
    out = np.empty(deep.shape, dtype=np.uint8)
    for row in range(deep.shape[0]):  # row by row: a float64 copy of the whole would be eight times the result
        out[row] = _to_bytes(deep[row].astype(np.float64), low, high, scale)
    return out, low, high


def _range(deep: npt.NDArray[Any]) -> tuple[float, float]:
    flat = deep.reshape(-1)
    sample = flat[:: max(1, flat.size // _SAMPLE_PIXELS)]
    if deep.dtype.kind == "f":
        sample = sample[np.isfinite(sample)]
    if sample.size == 0:
        return 0.0, 0.0
    low, high = np.percentile(sample.astype(np.float64), (_LOW_PERCENT, _HIGH_PERCENT))
    if high <= low:  # a nearly empty image: a few bright dots must not vanish
        low, high = sample.min(), sample.max()
    return float(low), float(high)


def _to_bytes(values: npt.NDArray[np.float64], low: float, high: float, scale: float) -> npt.NDArray[np.uint8]:
    clean = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    scaled: npt.NDArray[np.float64] = (np.clip(clean, low, high) - low) * scale + 0.5
    return scaled.astype(np.uint8)
