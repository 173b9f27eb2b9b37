"""The price path: what an asset is worth in any minute, in closed form.

Value noise of eight octaves, from a minute to two years, so that each scale of a chart moves and
any minute is computed without walking from the start. A pair's price is the ratio of its assets'
dollar values, so crosses agree with each other.
"""

from __future__ import annotations

import numpy as np

from simulator import noise
from simulator.assets import Asset
from simulator.catalogue import Listing
from simulator.noise import Floats, Ints

# (period in minutes, amplitude of the relative move): about ∝ √period, as prices move
_OCTAVES = (
    (1, 0.0002),
    (7, 0.0007),
    (53, 0.002),
    (367, 0.005),
    (2_531, 0.014),
    (17_401, 0.04),
    (120_011, 0.11),
    (830_003, 0.5),
)
SWING_1M = 0.0004  # how far a price strays within a minute, relative


def dollars(seed: int, asset: Asset, minutes: Ints) -> Floats:
    """Dollar value at the end of each minute (sorted, shape (M,))."""
    if asset.swing == 0.0:
        return np.full(len(minutes), asset.usd)
    drift = np.zeros(len(minutes))
    for period, amplitude in _OCTAVES:
        stream = noise.key(seed, asset.name, period)
        drift += (asset.swing * amplitude) * noise.value_noise(stream, minutes, period)
    return np.where(drift >= 0, asset.usd * (1.0 + drift), asset.usd / (1.0 - drift))


def closes(seed: int, listing: Listing, minutes: Ints) -> Ints:
    """Price in ticks (≥ 1) at the end of each minute (sorted, shape (M,))."""
    ratio = dollars(seed, listing.base, minutes) / dollars(seed, listing.quote, minutes)
    ticks = np.floor(ratio * 10.0**listing.price_decimals + 0.5)
    return np.maximum(ticks, 1.0).astype(np.int64)
