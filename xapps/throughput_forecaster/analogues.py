"""Forecasts from this phone's own past: the seconds most like the present one, and how the throughput went on after them.

Two seconds are alike if the throughputs up to them were: their distance is the sum over lags k of fade^k (z - z')^2, z being the
logarithm of the throughput k seconds before each. From second to second such a sum follows from its own last value, so that
a search over all of the history costs one pass, however far the look back (analogues: Lorenz 1969, J. Atmos. Sci. 26).
A strong fade compares the last seconds, a weak one the rhythm of half a minute.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]

FADES = (0.3, 0.8, 0.9)  # a look back of about 1 / (1 - fade) seconds
NEIGHBOURS = (8, 32)
N_SECONDS = 2048  # of history: 34 minutes; a power of two, see `Analogues._nearest`
FLOOR_KBPS = 1000.0  # differences far below it do not count
_SPARE = 256  # seconds until the buffers are moved


class Analogues:
    """The history of one phone, second by second, and the distance of each of its seconds from the present one.

    Args:
        horizons_s: What to forecast, in seconds ahead, increasing.
    """

    def __init__(self, horizons_s: tuple[int, ...]) -> None:
        self._horizons_s = np.array(horizons_s)
        self._first_lag = horizons_s[-1]  # a second counts once all that it can tell has come
        # Newest first, from `_at` on, so that a place in the window is a lag.
        self._kbps = np.zeros(N_SECONDS + _SPARE, np.float32)
        self._z = np.zeros(N_SECONDS + _SPARE, np.float32)
        self._at = N_SECONDS + _SPARE
        self._n = 0  # seconds in the window
        self._fades = np.array(FADES, np.float32)[:, None]
        self._distances = np.zeros((len(FADES), N_SECONDS), np.float32)  # by lag

    @property
    def kbps(self) -> F32:
        """The throughput by lag, the present second first."""
        return self._kbps[self._at : self._at + self._n]

    def add(self, kbps: float, seconds: int = 1) -> None:
        """Go on by some seconds; if there are several, the last one is `kbps`, and the others were lost and count as the one before."""
        lost_kbps = float(self._kbps[self._at]) if self._n else kbps
        for _ in range(min(seconds, N_SECONDS) - 1):
            self._push(lost_kbps)
        self._push(kbps)

    def forecasts(self) -> F32:
        """Medians over the nearest seconds of the throughput that followed, and of its change, added to the present throughput.

        Returns:
            Shape [n_horizons, 2 x len(FADES) x len(NEIGHBOURS)], not below zero; the present throughput where there is no history.
        """
        now = self.kbps[0]
        lags = self._nearest()
        if lags.shape[1] == 0:
            return np.full((len(self._horizons_s), 2 * len(FADES) * len(NEIGHBOURS)), now)
        followed = self.kbps[lags - self._horizons_s[:, None, None]]  # [n_horizons, n_fades, n_neighbours]
        both = np.stack((followed, followed - self.kbps[lags] + now), axis=1)
        medians = [_median(both[..., :k]) for k in NEIGHBOURS]
        return np.maximum(np.stack(medians, axis=1), 0).reshape(len(self._horizons_s), -1)

    def _push(self, kbps: float) -> None:
        if self._at == 0:
            self._at = _SPARE
            for buffer in (self._kbps, self._z):
                buffer[_SPARE:] = buffer[:N_SECONDS].copy()
        self._at -= 1
        self._n = min(self._n + 1, N_SECONDS)
        self._kbps[self._at] = kbps
        self._z[self._at] = np.log1p(kbps / FLOOR_KBPS)
        z = self._z[self._at : self._at + self._n]
        distances = self._distances[:, : self._n]
        distances *= self._fades
        distances += np.square(z - z[0])

    def _nearest(self) -> I32:
        """The lags of the nearest seconds, shape [n_fades, n]: the n = max(NEIGHBOURS) nearest, or as many as there are.

        The smaller numbers of `NEIGHBOURS` are in front. Floats from 0 are ordered as their bits are, so the lowest bits can carry the
        lag: one partition of whole numbers, which is several times as fast as `argpartition`, and the newest of equals wins.
        """
        bits = self._distances[:, self._first_lag : self._n].view(np.int32) & -N_SECONDS
        bits |= np.arange(self._first_lag, self._first_lag + bits.shape[1], dtype=np.int32)
        n = bits.shape[1]
        if n > NEIGHBOURS[0]:
            bits.partition([k - 1 for k in NEIGHBOURS if k <= n], axis=1)
        return bits[:, : NEIGHBOURS[-1]] & (N_SECONDS - 1)


def _median(values: F32) -> F32:
    """The median along the last axis; faster than NumPy's for a few values."""
    ordered, n = np.sort(values, axis=-1), values.shape[-1]
    middle = (ordered[..., (n - 1) // 2] + ordered[..., n // 2]) / np.float32(2)
    return middle.astype(np.float32, copy=False)
