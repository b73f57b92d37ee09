"""Schedulers against closed forms: multi-user diversity of PF, airtime by weight and of small buffers, the order of rules.

All run the simulator's own `schedule_cells` on the `bench` with given channels, and with full buffers but for `small_packets`.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from ran_sim.calibration.bench import N_RBG, RBG_PRB, Bench
from ran_sim.calibration.check import Check, Section, above, near
from ran_sim.core.state import F64
from ran_sim.link.adaptation import RE_PER_PRB, highest_mcs
from ran_sim.mac.metrics import MAX_CI, PF, RR

_WINDOW_SLOTS = 1000.0
_LOG_GAIN_MEANS_DB = (0.0, 10.0, 20.0)
_CQI: Final = 9  # of the small packets and the full buffer beside them
_PACKETS: Final = 0.5  # a slot
_MOST_PACKETS: Final = 6  # that fit a slot; more meet once in 10^4 slots
# E[max over N of log2(1 + SNR)] / E[log2(1 + SNR)] of i.i.d. Rayleigh channels with such mean SNR
_LOG_GAIN = {2: (1.3941, 1.2588, 1.1609), 10: (2.2181, 1.6539, 1.3728), 30: (2.6475, 1.8207, 1.4580)}


def rayleigh(policy: int, mean: F64, slots: int, *, log_rate: bool = False, seed: int = 1) -> tuple[F64, F64]:
    """Independent Rayleigh fading on every RBG and slot: (mean rate per RBG, share of the RBGs) by UE, [n] each.

    Args:
        policy: RR, PF or MAX_CI.
        mean: Mean SNR of each UE, linear.
        slots: Number of slots to simulate.
        log_rate: Whether the rate is log2(1 + SNR) in place of the SNR itself.
        seed: Of the fading, together with the number of UEs.
    """
    n = len(mean)
    rng = np.random.default_rng(1000 * (seed - 1) + n)
    bench = Bench([9] * n, [0] * n, policy=policy, max_dci=n, window_slots=_WINDOW_SLOTS)
    bench.fill_buffers()

    def rates() -> F64:
        snr = rng.exponential(1.0, (n, N_RBG)) * mean[:, None]
        return np.log2(1.0 + snr) if log_rate else snr

    bench.mac.average_bits[:] = 51 * RE_PER_PRB * np.mean([rates() for _ in range(200)], axis=(0, 2)) / n
    total, rbgs_of = np.zeros(n), np.zeros(n)
    for slot in range(slots):
        rate = rates()
        for u in range(n):
            bench.set_rates(u, rate[u])
        for u, rbgs in bench.schedule(slot).items():
            total[u] += rate[u, rbgs].sum()
            rbgs_of[u] += len(rbgs)
        bench.settle()
    return total / (slots * N_RBG), rbgs_of / (slots * N_RBG)


def run(quick: bool = False, seed: int = 1) -> Section:
    """All checks; `quick` shortens the runs and widens the ranges that depend on chance accordingly."""
    slots, share = (400, 0.05) if quick else (6000, 0.01)
    return Section(
        title="Schedulers",
        checks=(
            *_gain_checks(slots, share, seed),
            *_unequal_means(slots, share, seed),
            *_static_checks(4000 if not quick else 1000),
            *_small_buffer_checks(4000 if quick else 20_000, seed),
            *_order_checks(slots, seed),
        ),
        seeds="the number of UEs of each run" + (f" + {1000 * (seed - 1)}" if seed > 1 else ""),
        left_out=(
            "The averages' reaction to traffic that comes and goes.",
            "Uplink.",
        ),
    )


def _gain_checks(slots: int, share: float, seed: int) -> list[Check]:
    out = []
    for n in (2, 5, 10, 20):
        wanted = float(np.sum(1 / np.arange(1, n + 1)))
        rate, _ = rayleigh(PF, np.ones(n), slots, seed=seed)
        what = f"PF over RR, {n} UEs, rate in proportion to SNR"
        source = "largest of N exponentials: 1 + 1/2 + ... + 1/N"
        out.append(near(what, rate.sum(), wanted, unit="1", source=source, share=share))
    for n, gains in _LOG_GAIN.items():
        for mean_db, wanted in zip(_LOG_GAIN_MEANS_DB, gains, strict=True):
            mean = np.full(n, 10 ** (mean_db / 10))
            rate, _ = rayleigh(PF, mean, slots, log_rate=True, seed=seed)
            alone = np.log2(1 + np.random.default_rng(seed).exponential(mean[0], 400_000)).mean()
            what = f"PF over RR, {n} UEs, rate log2(1 + SNR), mean {mean_db:g} dB"
            source = "order statistics, integrated numerically"
            out.append(near(what, rate.sum() / alone, wanted, unit="1", source=source, share=share))
    return out


def _unequal_means(slots: int, share: float, seed: int) -> list[Check]:
    mean = np.array([1.0, 3.0, 10.0, 30.0, 100.0])
    _, airtime = rayleigh(PF, mean, slots, seed=seed)
    source = "relative to its own mean every UE fades alike: 1/N each"
    return [
        near(f"PF, {which} airtime of 5 UEs over 20 dB", value, 0.2, unit="1", source=source, share=5 * share)
        for which, value in (("smallest", airtime.min()), ("largest", airtime.max()))
    ]


def _static_checks(slots: int) -> list[Check]:
    out = []
    for name, policy in (("RR", RR), ("PF", PF)):
        airtime = Bench([2, 5, 9, 15], [0] * 4, policy=policy).airtime(slots, warmup=slots // 2)
        for which, value in (("smallest", airtime.min()), ("largest", airtime.max())):
            what = f"{name}, static channels, {which} airtime of 4 UEs"
            out.append(near(what, value, 0.25, unit="1", source="equal airtime", share=0.02))
    for loss in (0.1, 0.3):
        bench = Bench([9] * 4, [0] * 4, policy=RR, loss=[loss, 0.0, 0.0, 0.0])
        value = bench.airtime(2 * slots, warmup=slots // 2)[0]
        what = f"RR, airtime of one of 4 UEs, {100 * loss:g} % of whose blocks are lost"
        out.append(near(what, value, 0.25, unit="1", source="equal airtime", share=0.02))
    # A UE that is served every eighth slot has an average that swings by 8 slots / window: of 200 slots, 1 % too much airtime.
    bench = Bench([7, 7, 7], [0] * 3, policy=PF, window_slots=_WINDOW_SLOTS)
    bench.weight[:] = 1.0, 2.0, 5.0
    airtime = bench.airtime(2 * slots, warmup=slots // 2)
    for weight, value in zip(bench.weight, airtime, strict=True):
        what = f"PF, airtime at weight {weight:g} of 8"
        out.append(near(what, value, weight / 8, unit="1", source="in proportion to the weights", share=0.01))
    bench = Bench([4, 9, 12], [0] * 3, policy=PF, window_slots=_WINDOW_SLOTS, loss=[0.1, 0.0, 0.0])
    bench.weight[:] = 1.0, 2.0, 4.0
    airtime = bench.airtime(4 * slots, warmup=slots // 2)
    for weight, value in zip(bench.weight, airtime, strict=True):
        what = f"PF, airtime at weight {weight:g} of 7, 10 % of the first UE's blocks lost"
        out.append(near(what, value, weight / 7, unit="1", source="in proportion to the weights", share=0.01))
    return out


def small_packets(slots: int, seed: int) -> tuple[float, float]:
    """Round robin between a UE with small packets, `_PACKETS` a slot as a Poisson process, and one with a full buffer.

    Returns:
        Share of the PRBs in use that the packets get, and share of the packets that wait for another slot.
    """
    arrivals = np.random.default_rng(seed).poisson(_PACKETS, slots)
    bench = Bench([_CQI, _CQI], [0, 0], policy=RR)
    bench.fill_buffers()
    backlog_bytes = bench.queues.backlog_bytes
    backlog_bytes[0] = 0
    used, waited = np.zeros(2), 0
    for slot, n in enumerate(arrivals.tolist()):
        backlog_bytes[0] += n * _packet_bytes(bench)
        used += bench.prbs(1, first=slot)[0]
        waited += int(backlog_bytes[0]) // _packet_bytes(bench)
    return float(used[0] / used.sum()), waited / int(arrivals.sum())


def small_packets_in_theory() -> tuple[float, float]:
    """Closed form of what `small_packets` measures.

    The full buffer is served in every slot. The UE with packets goes before it, except where it was served in the slot before,
    too, and the order at ties, which alternates, has the full buffer first. So its packets wait only in odd slots, for one slot,
    if it was served in the even one before. With s the probability of that, an even slot meets the packets of one slot, or with
    probability s of two: s = (1 - s) (1 - exp(-x)) + s (1 - exp(-2 x)) for x packets a slot. An odd slot serves one slot's
    packets with probability 1 - s. A block takes the fewest RBGs that hold it; more packets than a slot holds never meet in practice.
    """
    none = math.exp(-_PACKETS)
    served = (1.0 - none) / (1.0 - none + none**2)
    bench = Bench([_CQI, _CQI], [0, 0], policy=RR)
    carries_bits = bench.tables.tbs_bits[_mcs(bench), np.cumsum(RBG_PRB)]
    block_prbs = [
        0 if n == 0 else int(np.cumsum(RBG_PRB)[np.argmax(carries_bits >= 8 * n * _packet_bytes(bench))])
        for n in range(_MOST_PACKETS + 1)
    ]

    def mean_prbs(packets: float) -> float:
        chance = [math.exp(-packets) * packets**n / math.factorial(n) for n in range(_MOST_PACKETS + 1)]
        return float(np.dot(chance, block_prbs))

    prbs = (1.0 - served) * mean_prbs(_PACKETS) + served / 2 * mean_prbs(2 * _PACKETS)
    return prbs / float(RBG_PRB.sum()), served / 2


def _mcs(bench: Bench) -> int:
    return highest_mcs(bench.tables, bench.tables.cqi_t10_db[_CQI])


def _packet_bytes(bench: Bench) -> int:
    """Size of a packet that fills two RBGs."""
    return int(bench.tables.tbs_bits[_mcs(bench), RBG_PRB[:2].sum()]) // 8


def _small_buffer_checks(slots: int, seed: int) -> list[Check]:
    measured, wanted = small_packets(slots, seed), small_packets_in_theory()
    error = 1.0 / math.sqrt(_PACKETS * slots)  # standard error of the number of packets, relative
    source = f"closed form for Poisson packets of two RBGs, {_PACKETS:g} a slot"
    return [
        near("RR, airtime of small packets beside a full buffer", measured[0], wanted[0], unit="1", source=source, share=4 * error),
        near("RR, share of small packets that wait for a slot", measured[1], wanted[1], unit="1", source=source, within=2 * error),
    ]  # fmt: skip


def _order_checks(slots: int, seed: int) -> list[Check]:
    mean = 10 ** np.linspace(0.0, 2.0, 10)
    rate = {
        name: rayleigh(policy, mean, slots // 2, log_rate=True, seed=seed)[0]
        for name, policy in (("RR", RR), ("PF", PF), ("MaxCI", MAX_CI))
    }
    out = [
        above(
            f"Cell rate of {more} over {less}, 10 UEs over 20 dB",
            rate[more].sum() / rate[less].sum(),
            1.0,
            unit="1",
            source="RR < PF < MaxCI",
        )
        for more, less in (("PF", "RR"), ("MaxCI", "PF"))
    ]
    out.append(
        near(
            "MaxCI, static channels, airtime of all but the best UE",
            Bench([2, 5, 9, 15], [0] * 4, policy=MAX_CI).airtime(400, warmup=100)[:3].sum(),
            0.0,
            unit="1",
            source="the best takes all",
        )
    )
    return out
