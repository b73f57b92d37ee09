"""The downlink's link model: CQI and MCS tables, transport block size, EESM, block error rate.

TS 38.214 V17: CQI Tables 5.2.2.1-2 and -3 (4-bit, table 1 up to 64QAM and table 2 up to 256QAM), MCS Tables 5.1.3.1-1
and -2 likewise, TBS clause 5.1.3.2.
TS 38.212 V17: clauses 5.2.2 (code block segmentation) and 7.2.2 (LDPC base graph).

A code block's errors over the SNR in dB are a normal law (the normal approximation of Polyanskiy, Poor and Verdu 2010).
`midpoint_db`, the SNR of 50 % errors, does not depend on the block's length. `waterfall_sd_db`, the standard deviation, goes
with one over the root of the length: a short block needs more SNR for 10 % errors, since its curve is flatter. The four
coefficients are fitted to published curves of NR's LDPC code over AWGN with 20 iterations of belief propagation
(Sionna 2.2.0, `sys/bler_tables/PDSCH_table1..4`): rms distance 0.08 dB from 500 to 2000 bits, 0.12 dB at 100 bits
of QPSK and 16QAM (docs/decisions/0024). Left out: losses of channel
estimation, error floors, the repetition of base graph 1 below its rate of 1/3 (0.1 dB at QPSK 308/1024).
"""

from __future__ import annotations

import math
from functools import cache
from typing import Final, NamedTuple

import numpy as np

from ran_sim.core.jit import bare_kernel
from ran_sim.core.state import F32, F64, I32, I64

# TS 38.214 Table 5.1.3.1-1: (modulation order, code rate x 1024) of MCS 0..28
MCS_TABLE_1: Final = (
    *((2, rate) for rate in (120.0, 157.0, 193.0, 251.0, 308.0, 379.0, 449.0, 526.0, 602.0, 679.0)),
    *((4, rate) for rate in (340.0, 378.0, 434.0, 490.0, 553.0, 616.0, 658.0)),
    *(
        (6, rate)
        for rate in (438.0, 466.0, 517.0, 567.0, 616.0, 666.0, 719.0, 772.0, 822.0, 873.0, 910.0, 948.0)
    ),
)
# TS 38.214 Table 5.1.3.1-2: (modulation order, code rate x 1024) of MCS 0..27
MCS_TABLE_2: Final = (
    *((2, rate) for rate in (120.0, 193.0, 308.0, 449.0, 602.0)),
    *((4, rate) for rate in (378.0, 434.0, 490.0, 553.0, 616.0, 658.0)),
    *((6, rate) for rate in (466.0, 517.0, 567.0, 616.0, 666.0, 719.0, 772.0, 822.0, 873.0)),
    *((8, rate) for rate in (682.5, 711.0, 754.0, 797.0, 841.0, 885.0, 916.5, 948.0)),
)
# TS 38.214 Table 5.2.2.1-2: (modulation order, code rate x 1024) of CQI 1..15
CQI_TABLE_1: Final = (
    *((2, rate) for rate in (78.0, 120.0, 193.0, 308.0, 449.0, 602.0)),
    *((4, rate) for rate in (378.0, 490.0, 616.0)),
    *((6, rate) for rate in (466.0, 567.0, 666.0, 772.0, 873.0, 948.0)),
)
# TS 38.214 Table 5.2.2.1-3: (modulation order, code rate x 1024) of CQI 1..15; CQI 0 is "out of range"
CQI_TABLE_2: Final = (
    *((2, rate) for rate in (78.0, 193.0, 449.0)),
    *((4, rate) for rate in (378.0, 490.0, 616.0)),
    *((6, rate) for rate in (466.0, 567.0, 666.0, 772.0, 873.0)),
    *((8, rate) for rate in (711.0, 797.0, 885.0, 948.0)),
)
# EESM beta of MCS 0..28 of table 1: the calibration published with 5G-LENA (nr-eesm-t1)
EESM_BETA_TABLE_1: Final = (
    *(1.6, 1.61, 1.63, 1.65, 1.67, 1.7, 1.73, 1.76, 1.79, 1.82),
    *(3.97, 4.27, 4.71, 5.16, 5.66, 6.16, 6.5),
    *(9.95, 10.97, 12.92, 14.96, 17.06, 19.33, 21.85, 24.51, 27.14, 29.94, 32.05, 34.28),
)
# EESM beta of MCS 0..27 of table 2: the calibration published with 5G-LENA (nr-eesm-t2)
EESM_BETA_TABLE_2: Final = (
    *(1.6, 1.63, 1.67, 1.73, 1.79),
    *(4.27, 4.71, 5.16, 5.66, 6.16, 6.5),
    *(10.97, 12.92, 14.96, 17.06, 19.33, 21.85, 24.51, 27.14, 29.94),
    *(56.48, 65.0, 78.58, 92.48, 106.27, 118.74, 126.36, 132.54),
)
# TS 38.214 Table 5.1.3.2-1: transport block sizes up to 3824 bits
# fmt: off
SMALL_TBS_BITS: Final[tuple[int, ...]] = (
    *range(24, 193, 8), *range(208, 385, 16),
    408, 432, 456, 480, 504, 528, 552, 576, 608, 640, 672, 704, 736, 768, 808, 848, 888, 928, 984, 1032, 1064,
    1128, 1160, 1192, 1224, 1256, 1288, 1320, 1352, 1416, 1480, 1544, 1608, 1672, 1736, 1800, 1864, 1928, 2024,
    2088, 2152, 2216, 2280, 2408, 2472, 2536, 2600, 2664, 2728, 2792, 2856, 2976, 3104, 3240, 3368, 3496, 3624,
    3752, 3824,
)
# fmt: on
# 14 symbols less 2 of PDCCH, 12 subcarriers each, less the 12 RE of one DM-RS symbol; no other overhead
RE_PER_PRB: Final = 132
MOTHER_CODE_RATE: Final = 0.2  # of base graph 2, TS 38.212 5.3.2; a lower rate repeats bits (5.4.2.1)
LONG_BLOCK_BITS: Final = 2000  # the longest code block with published curves; T10 is that of its length
_LOG2_E: Final = 1.0 / math.log(2.0)
Z10: Final = 1.2815515655446004  # standard normal quantile of 90 %


def bicm_capacity_bits(modulation_order: int, snr_db: F64) -> F64:
    """Bits per symbol that Gray-mapped QAM with bit-wise decoding carries over AWGN.

    A square QAM is two independent PAMs of half the bits; each PAM's bit-wise mutual information (Caire, Taricco,
    Biglieri 1998) is an average over its points and a Gauss-Hermite sum over the noise (32 nodes).

    Args:
        modulation_order: Bits per symbol: 2, 4, 6, 8.
        snr_db: Es/N0 in dB, shape [n].

    Returns:
        Capacity in bit/symbol, shape [n], 0 to `modulation_order`.
    """
    bits = modulation_order // 2
    points = np.arange(-(2**bits) + 1, 2**bits, 2, dtype=np.float64)
    points /= math.sqrt(np.mean(points**2))
    gray = np.arange(2**bits) ^ (np.arange(2**bits) >> 1)
    nodes, weights = np.polynomial.hermite.hermgauss(32)
    weights = weights / math.sqrt(math.pi)
    # One dimension of a unit-energy PAM with real noise of variance 1 / snr: the QAM's Es/N0 per dimension.
    sd = np.sqrt(10.0 ** (-np.asarray(snr_db) / 10.0))[:, None, None]  # [n, 1, 1]
    noise = sd * math.sqrt(2.0) * nodes  # [n, 1, node]
    received = points[None, :, None] + noise  # [n, point, node]
    log_likelihood = -((received[..., None] - points) ** 2) / (
        2.0 * sd[..., None] ** 2
    )  # [n, point, node, candidate]
    likelihood = np.exp(log_likelihood - log_likelihood.max(axis=-1, keepdims=True))
    total = np.log2(likelihood.sum(axis=-1))
    capacity = np.full(sd.shape[0], float(bits))
    for bit in range(bits):
        value = (gray >> bit) & 1
        same = value[:, None] == value[None, :]  # [point, candidate]
        # A bit's metric can underflow far from all its points; the smallest float stands for it.
        agreeing = np.maximum((likelihood * same[None, :, None, :]).sum(axis=-1), 1e-300)
        capacity -= ((total - np.log2(agreeing)) * weights).sum(axis=-1).mean(axis=-1)
    return 2.0 * capacity


@cache
def _capacity_table(modulation_order: int) -> tuple[F64, F64]:
    snr_db = np.arange(-12.0, 33.0, 0.1)
    return snr_db, bicm_capacity_bits(modulation_order, snr_db)


def midpoint_db(modulation_order: int, code_rate: float) -> float:
    """T50: SNR in dB of 50 % errors of a code block of any length.

    The SNR at which the BICM capacity equals the rate, and a loss of 1.06 dB less 0.44 dB times the code rate. Bits that are
    sent r times have r times the SNR, so a rate below the mother code's needs 10 lg(rate / mother code rate) less than that.
    """
    coded = max(code_rate, MOTHER_CODE_RATE)
    snr_db, capacity = _capacity_table(modulation_order)
    at_capacity_db = float(np.interp(coded * modulation_order, capacity, snr_db))
    return at_capacity_db + 1.06 - 0.44 * coded + 10.0 * math.log10(code_rate / coded)


def waterfall_sd_db(modulation_order: int, code_rate: float, code_block_bits: int) -> float:
    """Standard deviation in dB of the normal law that a code block's error curve follows.

    (7.4 dB + 0.9 dB for each information bit of a symbol) over the root of the block's bits.
    """
    coded = max(code_rate, MOTHER_CODE_RATE)  # repetition moves the curve
    return (7.4 + 0.9 * coded * modulation_order) / math.sqrt(code_block_bits)


def threshold_db(modulation_order: int, code_rate: float) -> float:
    """T10: SNR in dB of 10 % errors of a code block of `LONG_BLOCK_BITS`."""
    sd_db = waterfall_sd_db(modulation_order, code_rate, LONG_BLOCK_BITS)
    return midpoint_db(modulation_order, code_rate) + Z10 * sd_db


def transport_block_bits(
    n_prb: int, re_per_prb: int, modulation_order: int, code_rate: float, layers: int = 1
) -> int:
    """Transport block size in bits, TS 38.214 clause 5.1.3.2."""
    info = min(156, re_per_prb) * n_prb * code_rate * modulation_order * layers
    if info <= 0:
        return 0
    if info <= 3824:
        step = 1 << max(3, math.floor(math.log2(info)) - 6)
        quantised = max(24, step * math.floor(info / step))
        return min(size for size in SMALL_TBS_BITS if size >= quantised)
    step = 1 << (math.floor(math.log2(info - 24)) - 5)
    # "ties in the round function are broken towards the next largest integer"
    quantised = max(3840, step * math.floor((info - 24) / step + 0.5))
    if code_rate <= 0.25:
        blocks = math.ceil((quantised + 24) / 3816)
    else:
        blocks = math.ceil((quantised + 24) / 8424) if quantised > 8424 else 1
    return 8 * blocks * math.ceil((quantised + 24) / (8 * blocks)) - 24


def code_blocks(tbs_bits: int, code_rate: float) -> tuple[int, int]:
    """Number of code blocks and bits of each, TS 38.212 clauses 7.2.2 (base graph) and 5.2.2 (segmentation)."""
    if tbs_bits <= 0:
        return 1, 0
    small = tbs_bits <= 292 or (tbs_bits <= 3824 and code_rate <= 0.67) or code_rate <= 0.25
    largest = 3840 if small else 8448
    with_crc = tbs_bits + (24 if tbs_bits > 3824 else 16)
    if with_crc <= largest:
        return 1, with_crc
    blocks = math.ceil(with_crc / (largest - 24))
    return blocks, math.ceil((with_crc + 24 * blocks) / blocks)


class LinkTables(NamedTuple):
    """Look-up tables of the kernels; `m` MCS 0..28 or 0..27 (table 1, 2), `q` CQI 0..15, `n` PRBs 0..n_prb."""

    efficiency: F64  # [m] bits per resource element
    t10_db: F64  # [m] of a long code block, to float32's precision; rises from one MCS to the next
    t50_db: F64  # [m] of a code block of any length
    beta: F64  # [m] EESM, linear
    tbs_bits: I64  # [m, n]
    blocks: I32  # [m, n] code blocks of the transport block
    sd_db: F64  # [m, n] waterfall of one code block
    cqi_efficiency: F64  # [q] bits per resource element, 0 for CQI 0
    cqi_t10_db: F64  # [q] lowest SNR that reports q; CQI 0 holds the value 2 dB below that of CQI 1
    cqi_sinr: F32  # [q] the same, linear; infinite for the CQIs 16 and 17, which there are not


@cache
def link_tables(n_prb: int, mcs_table: int = 2) -> LinkTables:
    """All tables for a carrier of `n_prb` PRBs and one layer; the CQI table is that of the same modulations."""
    mcs_rows, cqi_rows, beta = (
        (MCS_TABLE_1, CQI_TABLE_1, EESM_BETA_TABLE_1)
        if mcs_table == 1
        else (MCS_TABLE_2, CQI_TABLE_2, EESM_BETA_TABLE_2)
    )
    shape = (len(mcs_rows), n_prb + 1)
    tbs, blocks, sd = np.zeros(shape, np.int64), np.ones(shape, np.int32), np.ones(shape)
    for mcs, (order, rate) in enumerate(mcs_rows):
        for n in range(1, n_prb + 1):
            tbs[mcs, n] = transport_block_bits(n, RE_PER_PRB, order, rate / 1024)
            blocks[mcs, n], bits = code_blocks(int(tbs[mcs, n]), rate / 1024)
            sd[mcs, n] = waterfall_sd_db(order, rate / 1024, bits)
    t10 = _rounded([threshold_db(order, rate / 1024) for order, rate in mcs_rows])
    cqi_t10 = _rounded([0.0] + [threshold_db(order, rate / 1024) for order, rate in cqi_rows])
    cqi_t10[0] = cqi_t10[1] - 2.0
    return LinkTables(
        efficiency=np.array([order * rate / 1024 for order, rate in mcs_rows]),
        t10_db=t10,
        t50_db=np.array([midpoint_db(order, rate / 1024) for order, rate in mcs_rows]),
        beta=np.array(beta),
        tbs_bits=tbs,
        blocks=blocks,
        sd_db=sd,
        cqi_efficiency=np.array([0.0] + [order * rate / 1024 for order, rate in cqi_rows]),
        cqi_t10_db=cqi_t10,
        cqi_sinr=np.append(10.0 ** (cqi_t10 / 10.0), [np.inf, np.inf]).astype(np.float32),
    )


def _rounded(values_db: list[float]) -> F64:
    """To float32's precision, in which `Csi` keeps them: a CQI's SNR then meets the threshold of the MCS of its rate."""
    return np.array(values_db, np.float32).astype(np.float64)


# 2^x for |x| <= 1/2: Taylor to the 6th power, relative error below 2e-7 and none at 0.
_HALF: Final = np.float32(0.5)
_E0, _E1, _E2, _E3, _E4, _E5, _E6 = (np.float32(math.log(2.0) ** i / math.factorial(i)) for i in range(7))
_LEAST_EXPONENT: Final = np.float32(-126.0)  # of a normal float32; what is smaller counts as this
_BIAS, _MANTISSA_BITS = np.int32(127), np.int32(23)


@bare_kernel
def exp2_into(out: F32, n: int) -> None:
    """2^x of the first `n` entries of `out`, all <= 0, in their place; written so that they become vectors."""
    for i in range(n):
        x = max(out[i], _LEAST_EXPONENT)
        whole = np.int32(x - _HALF)  # cut towards zero: the nearest
        y = x - np.float32(whole)
        part = _E0 + y * (_E1 + y * (_E2 + y * (_E3 + y * (_E4 + y * (_E5 + y * _E6)))))
        out[i] = part * np.int32((whole + _BIAS) << _MANTISSA_BITS).view(np.float32)


@bare_kernel
def effective_sinr(sinr: F32, n: int, beta: float) -> float:
    """EESM over the first `n` entries of `sinr` (linear), which are used up; linear, exact for a flat channel.

    -beta ln mean exp(-sinr / beta), taken relative to the smallest SINR so that nothing underflows.
    """
    smallest = sinr[0]
    for i in range(1, n):
        smallest = min(smallest, sinr[i])
    per_beta = np.float32(_LOG2_E / beta)
    for i in range(n):
        sinr[i] = (smallest - sinr[i]) * per_beta
    exp2_into(sinr, n)
    total = 0.0
    for i in range(n):
        total += float(sinr[i])
    return float(smallest - beta * math.log(total / n))


@bare_kernel
def block_error_rate(tables: LinkTables, snr_db: float, mcs: int, n_prb: int) -> float:
    """Probability that a transport block of `n_prb` PRBs is lost: any of its equal code blocks is."""
    z = (snr_db - tables.t50_db[mcs]) / tables.sd_db[mcs, n_prb]
    if z > 8.0:
        return 0.0
    if z < -8.0:
        return 1.0
    one = 0.5 * math.erfc(z * 0.7071067811865476)
    blocks = tables.blocks[mcs, n_prb]
    return float(one) if blocks == 1 else float(1.0 - (1.0 - one) ** blocks)


@bare_kernel
def highest_mcs(tables: LinkTables, snr_db: float) -> int:
    """Highest MCS whose T10 is not above `snr_db`; 0 if none is."""
    mcs = 0
    for candidate in range(1, tables.t10_db.size):
        mcs += tables.t10_db[candidate] <= snr_db
    return mcs


@bare_kernel
def highest_cqi(tables: LinkTables, snr: float) -> int:
    """Highest CQI whose T10 is not above the linear `snr`, 0 if none is: 10 % errors (TS 38.214 5.2.2.1) of one code block."""
    cqi = 0
    for candidate in range(1, 16):
        cqi += tables.cqi_sinr[candidate] <= snr
    return cqi
