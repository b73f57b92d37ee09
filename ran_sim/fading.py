"""Fast fading: a sum of sinusoids per link, tap and branch that never repeats within a run.

Each link between a UE and a cell has `TAPS` equally strong taps; each tap is a sum of `SINUSOIDS` plane waves whose
angles of arrival cover the circle evenly from a random start (Clarke's ring), so that the complex gain's correlation
over time is exactly J0(2 pi f_D t) in the mean over links, and Rayleigh in distribution to the accuracy that 32 waves
give. Delays of the taps are draws per UE from the power-delay profile, so in the mean over UEs the correlation over
frequency is the profile's: 1 / (1 + 2 pi j f DS) for the exponential one, those of TR 38.901's TDL models (see
`profiles`) for theirs.

Phases and angles are counter-based and keyed (seed, UE id, cell, branch), so a link's fading is a pure function of
time that no handover and no controller changes, and links are independent. Phases are counted in 2^-32 turns and
advance by whole numbers: fading at grid step n is phase + n * step in modular arithmetic, exact after any time, and
nothing depends on how a run is split.

Left out: Rician links (a line of sight fades like the rest), spatial correlation between branches, variation within
an RBG (coherence bandwidth about 1 / (5 DS) = 2 MHz against 1.4 MHz at the default).
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ran_sim._jit import bare_kernel
from ran_sim.profiles import delay_profile
from ran_sim.random import DELAY, DOPPLER, FADING, bits, exponential, uniform
from ran_sim.state import F32, F64, I32, I64

TAPS: Final = 4
SINUSOIDS: Final = 8
_MAX_BRANCHES: Final = 4
_TURN: Final = 2**32
_VECTOR: Final = 8  # float32 numbers in a vector register; the RBG axis is padded to whole ones

U32 = NDArray[np.uint32]


class Fading(NamedTuple):
    """Waves of every explicit link. A *lane* is one tap of one process: lane = tap * n_process + process.

    Processes 0..n_branch-1 are the serving link's receive branches, n_branch-1+k the k-th interferer.
    """

    phase: U32  # [n_ue, SINUSOIDS, n_lane] at grid step 0, in 2^-32 turns
    step: U32  # [n_ue, SINUSOIDS, n_lane] per grid step, modulo one turn
    turn_re: (
        F32  # [n_ue, TAPS, n_rbg + padding] exp(-2 pi j f tau) of tap and RBG, times the waves' amplitude
    )
    turn_im: F32
    doppler_hz: F64  # [n_ue]
    owner: I64  # [n_ue] UE id that the processes were drawn for, -1 for none
    cell: I32  # [n_ue, n_process] cell they were drawn for
    grid_step: I64  # [n_ue] step that the UE's `Links.fading` is of, -1 for none
    sum_re: F32  # [n_lane] scratch of one UE's evaluation
    sum_im: F32
    power: F32  # [n_rbg + padding] scratch
    n_branch: int
    grid_s: float
    delay_spread_s: float
    rbg_hz: float
    profile_delay: F64  # [n_path] of the power-delay profile in delay spreads; none: exponential
    profile_share: F64  # [n_path] cumulative


def build_fading(
    *,
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
    waves = (n_ue, SINUSOIDS, n_process * TAPS)
    padded_rbg = -(-n_rbg // _VECTOR) * _VECTOR
    return Fading(
        phase=np.zeros(waves, np.uint32),
        step=np.zeros(waves, np.uint32),
        turn_re=np.zeros((n_ue, TAPS, padded_rbg), np.float32),
        turn_im=np.zeros((n_ue, TAPS, padded_rbg), np.float32),
        doppler_hz=np.zeros(n_ue),
        owner=np.full(n_ue, -1, np.int64),
        cell=np.full((n_ue, n_process), -1, np.int32),
        grid_step=np.full(n_ue, -1, np.int64),
        sum_re=np.zeros(n_process * TAPS, np.float32),
        sum_im=np.zeros(n_process * TAPS, np.float32),
        power=np.zeros(padded_rbg, np.float32),
        n_branch=n_branch,
        grid_s=grid_s,
        delay_spread_s=delay_spread_s,
        rbg_hz=rbg_hz,
        profile_delay=profile_delay,
        profile_share=profile_share,
    )


@bare_kernel
def start_fading(seed: int, u: int, ue_id: int, doppler_hz: float, fading: Fading) -> None:
    """Give UE slot `u` to a new UE: its Doppler spread and its taps' delays."""
    fading.owner[u] = ue_id
    fading.cell[u, :] = -1
    fading.grid_step[u] = -1
    fading.doppler_hz[u] = doppler_hz
    amplitude = math.sqrt(1.0 / (TAPS * SINUSOIDS))
    n_rbg = fading.turn_re.shape[2]
    for tap in range(TAPS):
        delay_s = fading.delay_spread_s * _delay(seed, ue_id, tap, fading.profile_delay, fading.profile_share)
        for rbg in range(n_rbg):
            angle = 2.0 * math.pi * delay_s * fading.rbg_hz * rbg
            fading.turn_re[u, tap, rbg] = amplitude * math.cos(angle)
            fading.turn_im[u, tap, rbg] = -amplitude * math.sin(angle)


@bare_kernel
def _delay(seed: int, ue_id: int, tap: int, delay: F64, share: F64) -> float:
    """Delay of one tap in delay spreads: a draw from the profile, each path as likely as its power is strong."""
    if share.size == 0:
        return exponential(seed, DELAY, ue_id, tap)
    draw, path = uniform(seed, DELAY, ue_id, tap), 0
    while path < share.size - 1 and draw >= share[path]:
        path += 1
    return float(delay[path])


@bare_kernel
def assign_links(seed: int, u: int, cells: I32, fading: Fading) -> None:
    """Draw the waves of the links of UE slot `u` whose cell changed; `cells` is its row of `Links.cell`."""
    for process in range(fading.cell.shape[1]):
        rank = max(0, process - fading.n_branch + 1)
        branch = process if rank == 0 else 0
        if fading.cell[u, process] != cells[rank]:
            fading.cell[u, process] = cells[rank]
            fading.grid_step[u] = -1
            if cells[rank] >= 0:
                _draw_waves(seed, u, process, cells[rank] * _MAX_BRANCHES + branch, fading)


@bare_kernel
def _draw_waves(seed: int, u: int, process: int, stream: int, fading: Fading) -> None:
    """Phases and phase steps of one process; `stream` numbers the UE's (cell, branch) pairs."""
    ue_id = fading.owner[u]
    for tap in range(TAPS):
        lane = tap * fading.cell.shape[1] + process
        start = uniform(seed, DOPPLER, ue_id, stream * TAPS + tap)
        for i in range(SINUSOIDS):
            arrival = 2.0 * math.pi * (i + start) / SINUSOIDS
            turns = fading.doppler_hz[u] * math.cos(arrival) * fading.grid_s  # per grid step
            fading.step[u, i, lane] = np.uint32(np.int64(math.floor(turns * _TURN + 0.5)) & 0xFFFFFFFF)
            word = bits(seed, FADING, ue_id, (stream * TAPS + tap) * SINUSOIDS + i)
            fading.phase[u, i, lane] = np.uint32(word & np.uint64(0xFFFFFFFF))


# Sine and cosine of a quarter turn's multiples in [-1, 1]: Taylor to the 9th and 8th power, error below 3e-5.
_Q: Final = math.pi / 2
_S1, _S3, _S5 = np.float32(_Q), np.float32(-(_Q**3) / 6), np.float32(_Q**5 / 120)
_S7, _S9 = np.float32(-(_Q**7) / 5040), np.float32(_Q**9 / 362880)
_C2, _C4 = np.float32(-(_Q**2) / 2), np.float32(_Q**4 / 24)
_C6, _C8 = np.float32(-(_Q**6) / 720), np.float32(_Q**8 / 40320)
_ONE, _TWO, _TO_HALF_TURNS = np.float32(1), np.float32(2), np.float32(2.0**-31)


@bare_kernel
def _sum_waves(phase: U32, step: U32, n: np.uint32, re: F32, im: F32) -> None:
    """Sum over the waves of every lane, shape [SINUSOIDS, n_lane] to [n_lane]; written so that lanes become vectors."""
    re[:] = np.float32(0)
    im[:] = np.float32(0)
    for i in range(phase.shape[0]):
        for lane in range(phase.shape[1]):
            angle = np.float32(np.int32(np.uint32(phase[i, lane] + step[i, lane] * n))) * _TO_HALF_TURNS
            square = angle * angle
            sine = angle * (_S1 + square * (_S3 + square * (_S5 + square * (_S7 + square * _S9))))
            cosine = _ONE + square * (_C2 + square * (_C4 + square * (_C6 + square * _C8)))
            re[lane] += (
                _ONE - _TWO * sine * sine
            )  # double angle: cos(pi x) and sin(pi x) from those of pi x / 2
            im[lane] += _TWO * sine * cosine


@bare_kernel
def _power(process: int, n_process: int, re: F32, im: F32, turn_re: F32, turn_im: F32, power: F32) -> None:
    """Power of one process on every RBG into `power`, from the sums of its four taps.

    The taps are written out: as a loop they keep the compiler from making vectors of RBGs (3 times slower).
    """
    p0, p1, p2, p3 = process, n_process + process, 2 * n_process + process, 3 * n_process + process
    re0, re1, re2, re3 = re[p0], re[p1], re[p2], re[p3]
    im0, im1, im2, im3 = im[p0], im[p1], im[p2], im[p3]
    for b in range(power.size):
        c0, c1, c2, c3 = turn_re[0, b], turn_re[1, b], turn_re[2, b], turn_re[3, b]
        s0, s1, s2, s3 = turn_im[0, b], turn_im[1, b], turn_im[2, b], turn_im[3, b]
        h_re = re0 * c0 + re1 * c1 + re2 * c2 + re3 * c3 - im0 * s0 - im1 * s1 - im2 * s2 - im3 * s3
        h_im = re0 * s0 + re1 * s1 + re2 * s2 + re3 * s3 + im0 * c0 + im1 * c1 + im2 * c2 + im3 * c3
        power[b] = h_re * h_re + h_im * h_im


@bare_kernel
def fade_ue(u: int, grid_step: int, fading: Fading, gain: F32) -> None:
    """Power gain of all links of one UE at one grid step into `gain`, shape [1 + K, n_rbg]; 0 for links to nobody."""
    re, im, power = fading.sum_re, fading.sum_im, fading.power
    turn_re, turn_im = fading.turn_re[u], fading.turn_im[u]
    _sum_waves(fading.phase[u], fading.step[u], np.uint32(grid_step & 0xFFFFFFFF), re, im)
    n_process = fading.cell.shape[1]
    for process in range(n_process):
        _power(process, n_process, re, im, turn_re, turn_im, power)
        rank = max(0, process - fading.n_branch + 1)
        if fading.cell[u, process] < 0:
            gain[rank, :] = np.float32(0)
        elif 0 < process < fading.n_branch:  # a further branch of the serving link: maximum ratio combining
            for b in range(gain.shape[1]):
                gain[rank, b] += power[b]
        else:
            for b in range(gain.shape[1]):
                gain[rank, b] = power[b]


@bare_kernel
def fade_to(u: int, grid_step: int, fading: Fading, gain: F32) -> None:
    """Bring `gain`, one UE's row of `Links.fading`, to a grid step, unless it is there already.

    Fading is a pure function of time: steps at which nobody looks at a UE's channel are never evaluated.
    """
    if fading.grid_step[u] != grid_step:
        fading.grid_step[u] = grid_step
        fade_ue(u, grid_step, fading, gain)
