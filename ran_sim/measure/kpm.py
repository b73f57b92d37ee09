"""KPM measurements from counter differences: one pure function per measurement, in the catalogue's units.

A row is a cell, a UE, a slice in a cell or a QoS flow: its counters over one granularity period, and its state at the
period's end. A cell that a UE measures has a state alone. Names and units are those of TS 28.552 and E2SM-KPM; names under
`X.` are ranloop's own. NaN means that the period has no meaningful value, which is not 0.

Left out: uplink; PDCP; headers (RLC SDU volume is what the application sent); handovers by kind of target (all are
intra-frequency, and counted at the source cell only). A UE asks only a cell that it can receive for re-establishment, and
every node can fetch its context: each attempt succeeds with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ran_sim.core import counters as count
from ran_sim.core.state import F64, I64
from ran_sim.energy.power import JOULE_PER_KWH, OFF
from ran_sim.measure import layer1

# Handovers and radio links of a cell over the period, in the order of `handover.COUNTERS`.
HandoverState = Literal[
    "handover_attempts", "handover_successes", "commands_lost", "targets_lost", "ping_pongs", "short_stays",
    "link_failures", "reestablishments", "too_early", "too_late", "wrong_cell", "requested_handovers",
    "preparations_lost",
]  # fmt: skip
HANDOVER_STATES: Final[tuple[HandoverState, ...]] = get_args(HandoverState)
# State of a row beside its counters at the end of the period, float64 [n_rows] each, NaN = unknown.
StateName = HandoverState | Literal[
    "backlog_bytes",  # all levels
    "active_share",  # all levels: of the period's slots, in which the serving cell was active
    "connected_max", "energy_j",  # cell: over the period
    "tx_power_dbm", "cio_db", "cell_state",  # cell
    "peak_power_dbm",  # cell: over the period
    "min_pct", "max_pct", "dedicated_pct",  # slice
    "rsrq_db", "l1_rsrp_dbm", "l1_sinr_db",  # UE and QoS flow; the last two over the period
    "cqi", "rsrp_dbm", "hol_ms", "budget_ms", "weight", "olla_target",  # UE and QoS flow
    "x_m", "y_m",  # UE, at the end
    "measured_rsrp_dbm", "measured_rsrq_db", "measured_sinr_db",  # a cell that a UE measures
]  # fmt: skip

KBIT_PER_BYTE: Final = 8e-3
# Counters of packets with a deadline; see `drop_outcomes_without_budget`.
OUTCOMES: Final = (count.PACKETS_IN_BUDGET, count.PACKETS_LATE, count.PACKETS_DROPPED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The rows of one report level over one granularity period.

    Attributes:
        counts: Counts of the period, shape [n_rows, counters.N].
        slots: Length of the period.
        slot_ms: Length of a slot.
        n_prb: PRBs of the carrier.
        state: Shape [n_rows] each.
    """

    counts: I64
    slots: int
    slot_ms: float
    n_prb: int
    state: Mapping[StateName, F64]

    def total(self, counter: int) -> F64:
        """A counter over the whole period."""
        return self.counts[:, counter].astype(np.float64)

    def per_slot(self, counter: int) -> F64:
        """Mean of a counter over the period's slots."""
        return self.total(counter) / self.slots

    def ratio(self, numerator: int, denominator: int) -> F64:
        """Ratio of two counters, NaN where there is nothing to divide by."""
        return _ratio(self.counts[:, numerator], self.counts[:, denominator])


Column = Callable[[Rows], F64]


def _ratio(numerator: I64 | F64, denominator: I64 | F64) -> F64:
    out = np.full(len(denominator), np.nan)
    np.divide(numerator, denominator, out=out, where=denominator > 0)
    return out


def _count(counter: int) -> Column:
    return lambda rows: rows.total(counter)


def _state(name: StateName) -> Column:
    return lambda rows: rows.state[name]


def _within(limits: tuple[float, float], name: StateName) -> Column:
    """A state, at the ends of its reporting range where it lies outside."""
    return lambda rows: np.clip(rows.state[name], *limits)


def _unless_asleep(column: Column) -> Column:
    """No value where the cell was not active in any slot of the period."""
    return lambda rows: np.where(rows.state["active_share"] > 0.0, column(rows), np.nan)


# -- all levels ---------------------------------------------------------------------------------------------------


def ue_throughput_kbps(rows: Rows) -> F64:
    """DRB.UEThpDl, TS 28.552 5.1.1.3.1: volume over time of bursts, both without the piece that empties the buffer.

    Bytes per slot are sums over the row's UEs: a ratio of sums. NaN if no burst longer than one slot was served.
    """
    return rows.ratio(count.THP_BYTES, count.THP_SLOTS) * (KBIT_PER_BYTE * 1e3 / rows.slot_ms)


def unrestricted_volume_pct(rows: Rows) -> F64:
    """DRB.UEUnresVolDl, TS 28.552 5.1.1.3.5: 100 x unrestricted / (unrestricted + volume behind DRB.UEThpDl).

    NaN if there was neither.
    """
    unrestricted = rows.counts[:, count.UNRESTRICTED_BYTES]
    return 100.0 * _ratio(unrestricted, unrestricted + rows.counts[:, count.THP_BYTES])


def sdu_delay_tenth_ms(rows: Rows) -> F64:
    """DRB.RlcSduDelayDl in 0.1 ms, TS 28.552 5.1.3.3.3: from arrival until the last part goes to MAC, over sent SDUs.

    The value is 0 if every SDU went out in the first slot after it arrived. Discarded SDUs do not count, so a queue that
    drops its late SDUs looks better. NaN if none was sent.
    """
    return rows.ratio(count.SDU_WAIT_SLOTS, count.SDUS_SENT) * (10.0 * rows.slot_ms)


def air_delay_tenth_ms(rows: Rows) -> F64:
    """DRB.AirIfDelayDl in 0.1 ms, TS 28.552 5.1.1.1.1: from giving an SDU's last part to MAC until the UE has decoded it.

    Over SDUs whose last part was decoded: one slot where the first transmission was, HARQ's wait in between where not. NaN
    if none was.
    """
    return rows.ratio(count.SDU_AIR_SLOTS, count.SDUS_DELIVERED) * (10.0 * rows.slot_ms)


def drop_rate_ppm(rows: Rows) -> F64:
    """DRB.RlcPacketDropRateDl in 1e-6, TS 28.552 5.1.3.2.2: 10^6 x SDUs dropped unsent / SDUs arrived.

    Losses of HARQ do not count. SDUs that arrived before the period may be dropped in it, so a short period can have more
    drops than arrivals; the value is at most 10^6. NaN if none arrived.
    """
    return np.minimum(rows.ratio(count.SDUS_DROPPED, count.SDUS_OFFERED) * 1e6, 1e6)


def transmitted_volume_kbit(rows: Rows) -> F64:
    """DRB.RlcSduTransmittedVolumeDL, E2SM-KPM 7.10.1: volume that the UE decoded, 1 kbit = 1000 bit."""
    return rows.total(count.DELIVERED_BYTES) * KBIT_PER_BYTE


def prb_used(rows: Rows) -> F64:
    """RRU.PrbUsedDl, TS 28.552 5.1.1.2.5: mean PRBs in a slot, HARQ retransmissions included."""
    return rows.per_slot(count.PRB_USED)


def offered_volume_kbit(rows: Rows) -> F64:
    """X.DRB.OfferedVolDl: volume that arrived for transmission; for a full buffer, the sent volume."""
    return rows.total(count.OFFERED_BYTES) * KBIT_PER_BYTE


def buffered_volume_kbit(rows: Rows) -> F64:
    """X.DRB.BufferedVolDl: unsent bytes at the end of the period."""
    return rows.state["backlog_bytes"] * KBIT_PER_BYTE


def budget_miss_rate(rows: Rows) -> F64:
    """X.DRB.BudgetMissRateDl, 0..1: (late + dropped) / (in time + late + dropped) packets of classes with a budget.

    A packet is what the application needs as a whole (a frame, a PDU set). NaN if none ended in the period.
    """
    missed = rows.counts[:, count.PACKETS_LATE] + rows.counts[:, count.PACKETS_DROPPED]
    return _ratio(missed, missed + rows.counts[:, count.PACKETS_IN_BUDGET])


def pdcp_volume_kbit(rows: Rows) -> F64:
    """DRB.PdcpSduVolumeDL, TS 28.552 5.1.2.1.1.1: volume that PDCP received; without a PDCP here, volume that RLC received."""
    return rows.total(count.OFFERED_BYTES) * KBIT_PER_BYTE


def failures_before_execution(rows: Rows) -> F64:
    """X.MM.HoCommandLost: state 2 of TR 36.839; T310 ran when the command was sent, or the link failed before."""
    return rows.state["commands_lost"] + rows.state["preparations_lost"]


def stall_ms(rows: Rows) -> F64:
    """X.UE.StallTime: time that players stood still for lack of content after they had begun. NaN without a stream."""
    return np.where(_streams(rows), rows.total(count.STALLED_SLOTS) * rows.slot_ms, np.nan)


def stalls(rows: Rows) -> F64:
    """X.UE.Stalls: times that a player ran out of content. NaN without a stream."""
    return np.where(_streams(rows), rows.total(count.STALLS), np.nan)


def _streams(rows: Rows) -> NDArray[np.bool_]:
    """Whether a row had a stream in the period."""
    time = rows.counts[:, [count.STARTUP_SLOTS, count.PLAYING_SLOTS, count.STALLED_SLOTS]]
    return np.asarray(time.any(axis=1))


# -- cells, slices, UEs -------------------------------------------------------------------------------------------


def prb_share_pct(rows: Rows) -> F64:
    """RRU.PrbTotDl, TS 28.552 5.1.1.2.1: 100 x PRBs used / PRBs available; of a UE, its share of its cell.

    A UE that came from another cell may have used more than its present cell, awake for a part of the period, had.
    """
    share = rows.per_slot(count.PRB_USED) / rows.n_prb
    return np.minimum(100.0 * _ratio(share, rows.state["active_share"]), 100.0)


def prb_available(rows: Rows) -> F64:
    """RRU.PrbAvailDl, TS 28.552 5.1.1.2.6: mean over the period; a cell that sleeps has none to offer."""
    return rows.n_prb * rows.state["active_share"]


def connected_mean(rows: Rows) -> F64:
    """RRC.ConnMean, TS 28.552 5.1.1.4.1: sampled in every slot."""
    return rows.per_slot(count.CONNECTED_SLOTS)


def active_mean(rows: Rows) -> F64:
    """DRB.MeanActiveUeDl, TS 28.552 5.1.1.23.1: UEs with data in the buffer or in HARQ, sampled in every slot."""
    return rows.per_slot(count.ACTIVE_SLOTS)


def mean_power_w(rows: Rows) -> F64:
    """PEE.AvgPower, TS 28.552 5.1.1.19.2.1, of one cell's equipment; see `energy.power`."""
    return rows.state["energy_j"] / (rows.slots * rows.slot_ms * 1e-3)


def energy_kwh(rows: Rows) -> F64:
    """PEE.Energy, TS 28.552 5.1.1.19.3, of one cell's equipment; see `energy.power`."""
    return rows.state["energy_j"] / JOULE_PER_KWH


def tx_power_dbm(rows: Rows) -> F64:
    """X.Cell.TxPower: the setting in force, also while the cell sleeps. NaN if it is switched off."""
    return np.where(rows.state["cell_state"] == OFF, np.nan, rows.state["tx_power_dbm"])


def mean_mcs(rows: Rows) -> F64:
    """X.UE.MeanMcsDl: mean MCS index (TS 38.214 Table 5.1.3.1-1 or -2, as configured) of first transmissions; NaN without any."""
    return rows.ratio(count.MCS_SUM, count.TB_INITIAL)


def bits_per_prb(rows: Rows) -> F64:
    """X.UE.SpectralEffDl: bits decoded per PRB used. NaN if no PRB was used.

    A transport block counts as delivered when its feedback is there, eight slots after its PRBs were used.
    """
    return rows.ratio(count.DELIVERED_BYTES, count.PRB_USED) * 8.0


_ALL_LEVELS: Final[Mapping[str, Column]] = {
    "DRB.UEThpDl": ue_throughput_kbps,
    "DRB.UEUnresVolDl": unrestricted_volume_pct,
    "DRB.AirIfDelayDl": air_delay_tenth_ms,
    "DRB.RlcSduDelayDl": sdu_delay_tenth_ms,
    "DRB.RlcPacketDropRateDl": drop_rate_ppm,
    "DRB.RlcSduTransmittedVolumeDL": transmitted_volume_kbit,
    "DRB.PdcpSduVolumeDL": pdcp_volume_kbit,
    "RRU.PrbUsedDl": _unless_asleep(prb_used),
    "X.DRB.OfferedVolDl": offered_volume_kbit,
    "X.DRB.BufferedVolDl": buffered_volume_kbit,
    "X.DRB.BudgetMissRateDl": budget_miss_rate,
}
# TS 28.552 5.1.1.7; counted when the feedback of the transmission arrives.
_TRANSPORT_BLOCKS: Final[Mapping[str, Column]] = {
    "RRU.PrbTotDl": prb_share_pct,
    "TB.TotNbrDlInitial": _count(count.TB_INITIAL),
    "TB.IntialErrNbrDl": _count(count.TB_INITIAL_ERRORS),
    "TB.TotNbrDl": _count(count.TB_TOTAL),
    "TB.ErrTotNbrDl": _count(count.TB_ERRORS),
    "TB.ResidualErrNbrDl": _count(count.TB_LOST),
}
_FLOW: Final[Mapping[str, Column]] = {
    "CQI": _state("cqi"),
    "RSRP": _state("rsrp_dbm"),
    "RSRQ": _state("rsrq_db"),
    "L1M.DL-SS-RSRP": _state("l1_rsrp_dbm"),
    "L1M.DL-SS-SINR": _state("l1_sinr_db"),
    "X.DRB.HolDelayDl": _state("hol_ms"),
    "X.DRB.RadioBudgetDl": _state("budget_ms"),
    "X.UE.MeanMcsDl": mean_mcs,
    "X.UE.SpectralEffDl": bits_per_prb,
    "X.UE.Weight": _state("weight"),
    "X.UE.StallTime": stall_ms,
    "X.UE.Stalls": stalls,
}
_UE: Final[Mapping[str, Column]] = {
    "X.UE.OllaTarget": _state("olla_target"),
    "X.UE.PosX": _state("x_m"),
    "X.UE.PosY": _state("y_m"),
}
_SLICE: Final[Mapping[str, Column]] = {"DRB.MeanActiveUeDl": _unless_asleep(active_mean)}
_QUOTA: Final[Mapping[str, Column]] = {
    "X.Slice.MinQuota": _state("min_pct"),
    "X.Slice.MaxQuota": _state("max_pct"),
    "X.Slice.DedicatedQuota": _state("dedicated_pct"),
}
_CELL: Final[Mapping[str, Column]] = {
    "RRU.PrbAvailDl": _unless_asleep(prb_available),
    "RRC.ConnMean": _unless_asleep(connected_mean),
    "RRC.ConnMax": _unless_asleep(_state("connected_max")),
    "MM.HoExeIntraFreqReq": _state("handover_attempts"),
    "MM.HoExeIntraFreqSucc": _state("handover_successes"),
    "HO.IntraSys.TooEarly": _state("too_early"),
    "HO.IntraSys.TooLate": _state("too_late"),
    "HO.IntraSys.ToWrongCell": _state("wrong_cell"),
    "RRC.ReEstabAtt": _state("reestablishments"),
    "RRC.ReEstabSuccWithUeContext": _state("reestablishments"),
    "X.MM.HoCommandLost": failures_before_execution,
    "X.MM.HoTargetLost": _state("targets_lost"),
    "X.MM.HoPingPong": _state("ping_pongs"),
    "X.MM.HoShortStay": _state("short_stays"),
    "X.MM.RadioLinkFailures": _state("link_failures"),
    "CARR.MaxTxPwr": _unless_asleep(_state("peak_power_dbm")),
    "PEE.AvgPower": mean_power_w,
    "PEE.Energy": energy_kwh,
    "X.Cell.TxPower": tx_power_dbm,
    "X.Cell.Offset": _state("cio_db"),
    "X.Cell.State": _state("cell_state"),
}

_UE_CELL: Final[Mapping[str, Column]] = {
    "RSRP": _within(layer1.RSRP_RANGE_DBM, "measured_rsrp_dbm"),
    "RSRQ": _within(layer1.RSRQ_RANGE_DB, "measured_rsrq_db"),
    "SINR": _within(layer1.SINR_RANGE_DB, "measured_sinr_db"),
}

# Level -> measurement -> its function; reports keep this order.
LEVELS: Final[Mapping[str, Mapping[str, Column]]] = MappingProxyType(
    {
        "cell": {**_ALL_LEVELS, **_TRANSPORT_BLOCKS, **_SLICE, **_CELL},
        "ue": {**_ALL_LEVELS, **_TRANSPORT_BLOCKS, **_FLOW, **_UE},
        "slice": {**_ALL_LEVELS, **_SLICE, **_QUOTA},
        "qos_flow": {**_ALL_LEVELS, **_FLOW},
        "ue_cell": _UE_CELL,
    }
)

_ROUNDED_DOWN: Final = frozenset({"RRU.PrbTotDl"})


def rounded(name: str, values: F64) -> F64:
    """An integer measurement as a node sends it: to the nearest whole number; RRU.PrbTotDl is a floor by definition."""
    # The tolerance keeps a share that is whole but for its last bit (57.999...) from losing a percent.
    return np.floor(values + 1e-9) if name in _ROUNDED_DOWN else np.rint(values)


_STEPS_DB: Final = {"RSRP": 1.0, "RSRQ": 0.5, "SINR": 0.5}


def in_steps(name: str, values: F64) -> F64:
    """A measurement of a cell as a UE reports it, the lower end of its step: TS 38.133 10.1.6, 10.1.11, 10.1.16.

    Steps are half open: an RSRP of -90 dBm stands for -90 to below -89 dBm. The lowest value stands for all below, too.
    """
    return np.floor(values / _STEPS_DB[name]) * _STEPS_DB[name]


def drop_outcomes_without_budget(counts: I64, delay_bound: NDArray[np.bool_]) -> None:
    """Forget, in place, how packets of classes without a delay budget ended: a file has no deadline to miss.

    `counts` has the shape [..., n, counters.N], `delay_bound` [n].
    """
    counts[..., OUTCOMES] *= delay_bound[:, None]
