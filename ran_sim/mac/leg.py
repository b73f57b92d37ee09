"""A leg: one carrier in one direction, as its scheduler, its HARQ and its link adaptation see it."""

from __future__ import annotations

from typing import NamedTuple

from ran_sim.core.state import I64
from ran_sim.link.adaptation import LinkTables
from ran_sim.link.csi import Csi
from ran_sim.link.harq import Harq, Sent
from ran_sim.mac.slices import Slices
from ran_sim.mac.state import Mac
from ran_sim.traffic.arrivals import Traffic
from ran_sim.traffic.queues import Queues


class Leg(NamedTuple):
    """All state that the scheduling of a slot reads and writes, of all cells."""

    traffic: Traffic
    queues: Queues
    harq: Harq
    csi: Csi
    mac: Mac
    slices: Slices
    tables: LinkTables
    sent: Sent
    counts: I64  # [n_ue, N], see `core.counters`
