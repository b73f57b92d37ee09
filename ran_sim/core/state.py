"""The simulator's whole state: one NamedTuple of NumPy arrays per kind of thing (struct of arrays).

numba takes NamedTuples of arrays as they are, so kernels read `ue.cell[u]` and nothing is copied at the border.
A snapshot is a copy of these arrays and the slot number: there is no generator state (see `random`).

Indices, everywhere: `u` UE row (0..n_ue), `c` cell, `f` QoS flow, `k` link rank (0 = serving, 1..K = the strongest
interferers), `b` RBG. A UE row hosts one UE after another; the UE in it has the never reused id `ue.id[u]`.
Time inside the kernels is the slot number (int64); `slot_ns` of the scenario turns it into RAN time.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
I32 = NDArray[np.int32]
U8 = NDArray[np.uint8]

NEVER: Final = np.iinfo(np.int64).max  # a slot that no run comes to
DEFAULT_WEIGHT = 1.0  # of a UE's scheduling weight
DEFAULT_OLLA_TARGET = 0.1  # TS 38.214 5.2.2.1: a CQI is defined at 10 % block errors


class Ailments(NamedTuple):
    """Effects of faults on cells, shape [n_cell]; all 0 without a fault. They do not change any setting."""

    mute: U8  # 1 = no user data is scheduled
    loss_db: F64  # between amplifier and antenna
    pointing: I64  # which of `Scenario.tilt_shifts_deg`; 0 = as set
    backhaul_slots: F64  # that downlink packets come late by
    backhaul_jitter_slots: F64  # … at most, on top


class Cells(NamedTuple):
    """Per cell; shape [n_cell] unless said otherwise."""

    x_m: F64
    y_m: F64
    azimuth_rad: F64
    site: I32  # index of the site (= RAN node) that the cell belongs to
    tx_power_dbm: F64  # total over the carrier's PRBs; an action may move it
    cio_db: F64  # cell individual offset added to this cell's measurements in A3; an action may move it
    activity: F32  # [n_cell, n_rbg] share of full power sent per RBG in the current slot, 0 or 1
    load: F32  # smoothed share of RBGs in use, 0..1: what CQI and far interferers see
    ailments: Ailments  # of faults, see `engine.faults`
    state: I32  # power state, see `energy.power`; a cell sends, and is measured, only while it is 0, active


class Ues(NamedTuple):
    """Per UE row; shape [n_ue] unless said otherwise."""

    id: I64  # never reused: session * n_ue + row
    connected: U8  # 1 while the UE is in RRC_CONNECTED
    cell: I32  # serving cell, -1 while not connected
    x_m: F64
    y_m: F64
    vx_mps: F64
    vy_mps: F64
    weight: F64  # xApp's per-UE scheduling weight, default 1
    olla_target: F64  # first-transmission BLER target, default 0.1
    start_slot: I64  # session start and end, drawn from the session's own random stream
    end_slot: I64
    reachable_slot: I64  # first slot in which a cell can send to it (after handover execution); NEVER while it searches for a cell
    reestablished: U8  # 1 from a re-establishment until the MAC has followed it


class Links(NamedTuple):
    """Large-scale radio, renewed on every radio tick; path gains only where a UE has moved, see `engine.radio_tick`."""

    gain_db: F32  # [n_ue, n_cell] path gain incl. antenna, shadowing, penetration; without fast fading and tx power
    rsrp_l3_dbm: F32  # [n_ue, n_cell] layer-3 filtered RSRP, per resource element
    cell: I32  # [n_ue, 1 + K] cell of each explicit link, -1 if none; rank 0 is the serving cell
    rx_mw: F32  # [n_ue, 1 + K] mean received power per RBG at full transmit power, mW
    rest_mw: F32  # [n_ue] received power per RBG of all other cells, weighted with their `load`, and `outside_mw`; mW
    outside_mw: F32  # [n_ue] received power per RBG of sources of interference that are no cells, mW
    noise_mw: F32  # [1] thermal noise + noise figure per RBG, mW
    fading: F32  # [n_ue, 1 + K, n_rbg] power gain of fast fading on its grid: mean 1, rank 0 summed over rx branches (MRC)
