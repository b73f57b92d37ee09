"""Fast fading: a sum of plane waves per link, tap and branch, which are drawn anew all along a UE's way.

Each link between a UE and a cell has `TAPS` equally strong taps; each tap is a ring of four plane waves, a quarter of the
circle apart from a random start (Clarke), so that within a stretch of the way, see below, the complex gain's correlation over
time is J0(2 pi f_D t) in the mean over links, and every link has Clarke's Doppler spread. A link's 32 waves make it Rayleigh: the variance of its
power is 1 - 1/32.

Two opposite waves are a standing wave, of a fixed phase and with an amplitude that swings as a sine: a tap is two of
them, at right angles. The sum is the same, at a quarter of the sines.

Waves that kept their Doppler shifts would let the past tell the far future: 32 of them can be told apart within seconds. So
shifts are drawn anew on every stretch of `STRETCH_WAVELENGTHS` of the way. A wave's phase at each end of a stretch is a draw
of its own, and the shift between them is the one nearest to that of its direction which leads from one to the other, at most
half a turn a stretch away: the gain has no jumps. Its correlation over time is that of Clarke's channel up to half a wavelength of
way, 0.88 of it at one wavelength and a third at five, in the mean over where the way begins in a stretch.

Delays of the taps are drawn per UE, one from each eighth of the profile's power: in the mean over UEs the response over
frequency is the profile's, and one UE's comes close to it. Far apart in frequency the power of an exponential profile is
uncorrelated, that of eight equal taps keeps a correlation of 3/31 = 0.10. TR 38.901's TDL-A, B and C keep 0.14, 0.07 and 0.09
there (the sum of their paths' squared shares), ours somewhat more, as several taps can be of one path.

Phases and angles are counter-based and keyed (seed, UE id, cell, branch), so a link's fading is a pure function of
time that no handover and no controller changes, and links are independent. Phases are counted in 2^-32 turns and
advance by whole numbers: fading at grid step n is phase + n * step in modular arithmetic, exact after any time, and
nothing depends on how a run is split. Waves are drawn when a UE's fading is next evaluated.

Left out: Rician links (a line of sight fades like the rest), spatial correlation between branches, variation within
an RBG (coherence bandwidth about 1 / (5 DS) = 2 MHz against 1.4 MHz at the default).
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ran_sim.core.jit import bare_kernel
from ran_sim.core.random import DELAY, DOPPLER, FADING, PHASE, bits, uniform
from ran_sim.core.state import F32, F64, I32, I64
from ran_sim.radio.delay_profiles import delay_profile

TAPS: Final = 8
STANDING_WAVES: Final = 2  # of a tap
WAVES: Final = 2 * TAPS * STANDING_WAVES  # of a link and branch
# The further, the closer to J0, and the better a past can be used: see `calibration.fading`.
STRETCH_WAVELENGTHS: Final = 10.0
_LONGEST_STRETCH: Final = 2.0**40  # grid steps, of a UE without Doppler shifts
_MAX_BRANCHES: Final = 4
_TURN: Final = 2**32
_WORD: Final = np.uint64(0xFFFFFFFF)
# RBGs in half a carrier, 9 at most, padded to one vector of 16 float32 numbers or two of 8: loops of fixed length and strides
# become vectors without rests and without checks whether arrays overlap.
HALF: Final = 16

U32 = NDArray[np.uint32]


class Fading(NamedTuple):
    """Standing waves of every explicit link. A *lane* is one tap of one process: lane = process * TAPS + tap.

    Processes 0..n_branch-1 are the serving link's receive branches, n_branch-1+k the k-th interferer.
    """

    phase: U32  # [n_ue, STANDING_WAVES, n_lane] of the swing at grid step 0, in 2^-32 turns
    step: U32  # [n_ue, STANDING_WAVES, n_lane] per grid step, modulo one turn
    wave_re: F32  # [n_ue, STANDING_WAVES, n_lane] complex amplitude
    wave_im: F32
    turn: F32  # [n_ue, TAPS * 2 * HALF] cosines, then sines of 2 pi f tau of tap and RBG of the upper half; 0 beyond
    doppler_hz: F64  # [n_ue]
    owner: I64  # [n_ue] UE id that the processes were drawn for, -1 for none
    cell: I32  # [n_ue, n_process] cell that they are the links to, -1 for none
    stretch: I64  # [n_ue, n_process] of the way that their waves were drawn for, -1 for none
    stretch_steps: I64  # [n_ue] grid steps of a stretch
    grid_step: I64  # [n_ue] step that the UE's `Links.fading` is of, -1 for none
    swing: F32  # [STANDING_WAVES, n_lane] scratch of one UE's evaluation
    sum_re: F32  # [n_lane]
    sum_im: F32
    above: F32  # [HALF] power of one link on the RBGs from the carrier's centre upwards
    below: F32  # [HALF] … downwards
    seed: int
    n_rbg: int
    n_branch: int
    grid_s: float
    delay_spread_s: float
    rbg_hz: float
    profile_delay: F64  # [n_path] of the power-delay profile in delay spreads; none: exponential
    profile_share: F64  # [n_path] cumulative


def build_fading(
    *,
    seed: int,
    n_ue: int,
    n_rbg: int,
    k: int,
    n_branch: int,
    grid_s: float,
    delay_spread_s: float,
    rbg_hz: float,
    profile: str = "exponential",
) -> Fading:
    """Memory for the waves of all links; they are drawn when links are."""
    profile_delay, profile_share = delay_profile(profile)
    n_process = n_branch + k
    waves = (n_ue, STANDING_WAVES, n_process * TAPS)
    return Fading(
        phase=np.zeros(waves, np.uint32),
        step=np.zeros(waves, np.uint32),
        wave_re=np.zeros(waves, np.float32),
        wave_im=np.zeros(waves, np.float32),
        turn=np.zeros((n_ue, TAPS * 2 * HALF), np.float32),
        doppler_hz=np.zeros(n_ue),
        owner=np.full(n_ue, -1, np.int64),
        cell=np.full((n_ue, n_process), -1, np.int32),
        stretch=np.full((n_ue, n_process), -1, np.int64),
        stretch_steps=np.ones(n_ue, np.int64),
        grid_step=np.full(n_ue, -1, np.int64),
        swing=np.zeros(waves[1:], np.float32),
        sum_re=np.zeros(n_process * TAPS, np.float32),
        sum_im=np.zeros(n_process * TAPS, np.float32),
        above=np.zeros(HALF, np.float32),
        below=np.zeros(HALF, np.float32),
        seed=seed,
        n_rbg=n_rbg,
        n_branch=n_branch,
        grid_s=grid_s,
        delay_spread_s=delay_spread_s,
        rbg_hz=rbg_hz,
        profile_delay=profile_delay,
        profile_share=profile_share,
    )


@bare_kernel
def start_fading(u: int, ue_id: int, doppler_hz: float, fading: Fading) -> None:
    """Give UE row `u` to a new UE: its Doppler spread and its taps' delays."""
    fading.owner[u] = ue_id
    fading.cell[u, :] = -1
    fading.grid_step[u] = -1
    fading.doppler_hz[u] = doppler_hz
    steps = STRETCH_WAVELENGTHS / max(doppler_hz * fading.grid_s, STRETCH_WAVELENGTHS / _LONGEST_STRETCH)
    fading.stretch_steps[u] = math.ceil(steps)
    n_half = _n_half(fading.n_rbg)
    for tap in range(TAPS):
        share = (tap + uniform(fading.seed, DELAY, ue_id, tap)) / TAPS
        delay_s = fading.delay_spread_s * delay_at(share, fading.profile_delay, fading.profile_share)
        for i in range(n_half):
            from_centre_hz = fading.rbg_hz * (0.5 * (fading.n_rbg + 1) - n_half + i)
            angle = 2.0 * math.pi * delay_s * from_centre_hz
            fading.turn[u, 2 * HALF * tap + i] = math.cos(angle)
            fading.turn[u, 2 * HALF * tap + HALF + i] = math.sin(angle)


@bare_kernel
def _n_half(n_rbg: int) -> int:
    """RBGs in the upper half of the carrier, with the middle one if there is one."""
    return (n_rbg + 1) // 2


@bare_kernel
def delay_at(share: float, delay: F64, cumulative: F64) -> float:
    """Quantile of the power-delay profile in delay spreads: at most `share` (0..1) of the power comes before it."""
    if cumulative.size == 0:
        return -math.log1p(-share)
    path = 0
    while path < cumulative.size - 1 and share >= cumulative[path]:
        path += 1
    return float(delay[path])


@bare_kernel
def assign_links(u: int, cells: I32, fading: Fading) -> None:
    """Note to which cells the links of UE row `u` lead; `cells` is its row of `Links.cell`."""
    for process in range(fading.cell.shape[1]):
        cell = cells[_rank(process, fading)]
        if fading.cell[u, process] != cell:
            fading.cell[u, process] = cell
            fading.stretch[u, process] = -1
            fading.grid_step[u] = -1


@bare_kernel
def _rank(process: int, fading: Fading) -> int:
    """Place of a process' cell among the UE's: all branches of the serving link have 0."""
    return max(0, process - fading.n_branch + 1)


@bare_kernel
def _draw_waves(u: int, process: int, stretch: int, fading: Fading) -> None:
    """The standing waves of one process on a stretch of the way."""
    fading.stretch[u, process] = stretch
    seed, ue_id = fading.seed, fading.owner[u]
    branch = process if _rank(process, fading) == 0 else 0
    stream = fading.cell[u, process] * _MAX_BRANCHES + branch
    steps = fading.stretch_steps[u]
    amplitude = 2.0 / math.sqrt(WAVES)  # of two waves
    for tap in range(TAPS):
        lane = process * TAPS + tap
        start = 0.5 * math.pi * uniform(seed, DOPPLER, ue_id, _draw(stretch, stream * TAPS + tap))
        for i in range(STANDING_WAVES):
            # exp(j (a + x)) + exp(j (b - x)) = 2 exp(j (a + b) / 2) cos(x + (a - b) / 2): if the phases a and b of two
            # waves are uniform and independent, so are the standing wave's own and that of its swing.
            wave = (stream * TAPS + tap) * STANDING_WAVES + i
            angle = 2.0 * math.pi * uniform(seed, FADING, ue_id, wave)
            fading.wave_re[u, i, lane] = amplitude * math.cos(angle)
            fading.wave_im[u, i, lane] = amplitude * math.sin(angle)
            arrival = start + 0.5 * math.pi * i
            turns = fading.doppler_hz[u] * math.cos(arrival) * fading.grid_s  # per grid step
            begin = bits(seed, PHASE, ue_id, _draw(stretch, wave)) & _WORD
            end = bits(seed, PHASE, ue_id, _draw(stretch + 1, wave)) & _WORD
            step = math.floor(turns * _TURN + 0.5)
            missed = np.int32(np.uint32(np.int64(end) - np.int64(begin) - step * steps))
            step += math.floor(missed / steps + 0.5)
            fading.step[u, i, lane] = np.uint32(step)
            fading.phase[u, i, lane] = np.uint32(np.int64(begin) - step * steps * stretch)


@bare_kernel
def _draw(stretch: int, index: int) -> int:
    """Counter of a draw on one stretch of the way; `index` is below 2^24."""
    return (stretch << 24) + index


# sin(pi x), -1 <= x < 1, as a polynomial in t = x - x |x|: the parabola has the sine's zeros and symmetry, three
# coefficients (minimax) bring the error to 8e-6.
_S1, _S2, _S3 = np.float32(3.1422171), np.float32(3.1265559), np.float32(1.2178017)
_TO_HALF_TURNS = np.float32(2.0**-31)


@bare_kernel
def _swing_into(out: F32, phase: U32, step: U32, n: np.uint32) -> None:
    """Sine of every standing wave's phase at grid step `n`, [STANDING_WAVES, n_lane]; lanes become vectors."""
    for i in range(out.shape[0]):
        for lane in range(out.shape[1]):
            x = np.float32(np.int32(np.uint32(phase[i, lane] + step[i, lane] * n))) * _TO_HALF_TURNS
            t = x - x * abs(x)
            bend = abs(t)
            out[i, lane] = t * (_S1 + bend * (_S2 + bend * _S3))


@bare_kernel
def _sum_waves(wave: F32, swing: F32, out: F32) -> None:
    """One part of the complex gain of every lane, [STANDING_WAVES, n_lane] to [n_lane]."""
    for lane in range(out.size):
        out[lane] = wave[0, lane] * swing[0, lane] + wave[1, lane] * swing[1, lane]


@bare_kernel
def _add_power(re: F32, im: F32, turn: F32, above: F32, below: F32) -> None:
    """Add one process' power on every RBG to `above` and `below`, from the gains of its taps, [TAPS] each.

    With C and S, the taps' sums times cosines and sines, the response is C - j S above the carrier's centre, and C + j S
    as far below it: the sums for half of the RBGs do.
    """
    for i in range(HALF):
        c_re, s_re = _sum_taps(re, turn, i), _sum_taps(re, turn, HALF + i)
        c_im, s_im = _sum_taps(im, turn, i), _sum_taps(im, turn, HALF + i)
        above_re, above_im = c_re + s_im, c_im - s_re
        below_re, below_im = c_re - s_im, c_im + s_re
        above[i] += above_re * above_re + above_im * above_im
        below[i] += below_re * below_re + below_im * below_im


@bare_kernel
def _sum_taps(gain: F32, turn: F32, i: int) -> np.float32:
    """The sum over taps of their gain times entry `i` of their row of `turn`."""
    row = 2 * HALF
    early = (
        gain[0] * turn[i]
        + gain[1] * turn[row + i]
        + gain[2] * turn[2 * row + i]
        + gain[3] * turn[3 * row + i]
    )
    late = (
        gain[4] * turn[4 * row + i]
        + gain[5] * turn[5 * row + i]
        + gain[6] * turn[6 * row + i]
        + gain[7] * turn[7 * row + i]
    )
    return early + late  # type: ignore[no-any-return]  # because an element of an array is typed as Any


@bare_kernel
def _unfold(above: F32, below: F32, out: F32) -> None:
    """Power on the carrier's RBGs in their order into `out` [n_rbg]; one in the centre is the first of both halves."""
    n_half = _n_half(out.size)
    lower, upper = out[:n_half][::-1], out[out.size - n_half :]
    for i in range(n_half):
        lower[i] = below[i]
    for i in range(n_half):
        upper[i] = above[i]


@bare_kernel
def fade_ue(u: int, grid_step: int, fading: Fading, gain: F32) -> None:
    """Power gain of all links of one UE at one grid step into `gain`, shape [1 + K, n_rbg]; 0 for links to no cell."""
    stretch = grid_step // fading.stretch_steps[u]
    for process in range(fading.cell.shape[1]):
        if fading.cell[u, process] >= 0 and fading.stretch[u, process] != stretch:
            _draw_waves(u, process, stretch, fading)
    _swing_into(fading.swing, fading.phase[u], fading.step[u], np.uint32(grid_step & 0xFFFFFFFF))
    _sum_waves(fading.wave_re[u], fading.swing, fading.sum_re)
    _sum_waves(fading.wave_im[u], fading.swing, fading.sum_im)
    process = 0
    for rank in range(gain.shape[0]):
        fading.above[:] = np.float32(0)
        fading.below[:] = np.float32(0)
        # Further branches of the serving link add to its first: maximum ratio combining
        for _ in range(fading.n_branch if rank == 0 else 1):
            if fading.cell[u, process] >= 0:
                lanes = slice(process * TAPS, (process + 1) * TAPS)
                _add_power(
                    fading.sum_re[lanes], fading.sum_im[lanes], fading.turn[u], fading.above, fading.below
                )
            process += 1
        _unfold(fading.above, fading.below, gain[rank])


@bare_kernel
def fade_to(u: int, grid_step: int, fading: Fading, gain: F32) -> None:
    """Bring `gain`, one UE's row of `Links.fading`, to a grid step, unless it is there already.

    Fading is a pure function of time, so steps at which no kernel needs a UE's channel are never evaluated.
    """
    if fading.grid_step[u] != grid_step:
        fading.grid_step[u] = grid_step
        fade_ue(u, grid_step, fading, gain)
