"""Counter-based random numbers: a draw is a pure function of (seed, purpose, entity, index).

There is no generator state, so results do not depend on the order of draws, on batching or on threads. Two runs that differ
in one decision still agree in every draw, so two controllers meet the same arrivals, places and fading.

The four words pass through three rounds of the 64-bit finaliser of SplitMix64 (Steele, Lea, Flood 2014, variant 13
of Stafford), which flips each output bit with probability 1/2 for any flipped input bit. Not for cryptography.
`entity` is the owner of the draw (mostly the UE's id); `index` counts within it (slot, session, standing wave …).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from ran_sim.core.jit import bare_kernel

# One constant per use. The numbers are part of what a seed means: append, never renumber.
TOPOLOGY: Final = 1  # not used any more
LOS: Final = 2
SHADOWING: Final = 3
FADING: Final = 4
MOBILITY: Final = 5
SESSION: Final = 6
TRAFFIC: Final = 7
BLER: Final = 8
CQI_ERROR: Final = 9
MEASUREMENT: Final = 10
PENETRATION: Final = 11
DOPPLER: Final = 12
DELAY: Final = 13
PLACEMENT: Final = 14
PHASE: Final = 15
VOICE: Final = 20
TRACE: Final = 21
LOAD: Final = 22
BACKHAUL: Final = 25

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31 = np.uint64(30), np.uint64(27), np.uint64(31)
_S11 = np.uint64(11)
_ONE = np.uint64(1)
_TO_UNIT = 2.0**-53


@bare_kernel
def _mix(word: np.uint64) -> np.uint64:
    word = (word ^ (word >> _S30)) * _MIX_1
    word = (word ^ (word >> _S27)) * _MIX_2
    return word ^ (word >> _S31)


@bare_kernel
def bits(seed: int, purpose: int, entity: int, index: int) -> np.uint64:
    """64 random bits of one counter; the arguments may be any int64."""
    word = _mix(np.uint64(seed) + _GOLDEN)
    word = _mix((word ^ np.uint64(purpose)) + _GOLDEN)
    word = _mix((word ^ np.uint64(entity)) + _GOLDEN)
    return _mix((word ^ np.uint64(index)) + _GOLDEN)


@bare_kernel
def uniform(seed: int, purpose: int, entity: int, index: int) -> float:
    """Uniform in [0, 1) with 53 bits."""
    return float(bits(seed, purpose, entity, index) >> _S11) * _TO_UNIT


@bare_kernel
def exponential(seed: int, purpose: int, entity: int, index: int) -> float:
    """Exponential with mean 1, by inversion; at most 36.7 (53 bits)."""
    return -math.log1p(-uniform(seed, purpose, entity, index))


@bare_kernel
def normal_pair(seed: int, purpose: int, entity: int, index: int) -> tuple[float, float]:
    """Two independent standard normals by Box and Muller; both of their uniforms come from this one counter."""
    first = bits(seed, purpose, entity, index)
    second = _mix(first + _GOLDEN)
    # (0, 1]: the logarithm never sees zero.
    radius = math.sqrt(-2.0 * math.log(float((first >> _S11) + _ONE) * _TO_UNIT))
    angle = 2.0 * math.pi * float(second >> _S11) * _TO_UNIT
    return radius * math.cos(angle), radius * math.sin(angle)


@bare_kernel
def normal(seed: int, purpose: int, entity: int, index: int) -> float:
    """Standard normal, the first of this counter's pair; a caller that needs many takes both."""
    return normal_pair(seed, purpose, entity, index)[0]
