"""Faults of a network: what goes wrong, in which cells, from when to when.

Times are RAN time, taken to the nearest slot. A fault holds from the slot of `start_s` up to, not including, that of `end_s`;
one without an end stays. `engine.faults` puts faults into the network, `measure.counter_faults` into reports.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Annotated, Final, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from ran_sim.scenario.sections import Metres, NotNegative, NotNegativeMs, NotNegativeS, PositiveS, Section

MOST_FAULTS: Final = 1000
MOST_SOURCES: Final = 100  # each has maps of its own, as a site has
MOST_TILTS: Final = 20

Decibel = Annotated[float, Field(ge=0, le=200)]


class _Fault(Section):
    """Kind, times and name of a fault; overrides may use the name."""

    kind: str
    name: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9-]*$")
    start_s: NotNegativeS
    end_s: PositiveS | None = None  # stays where missing

    @property
    def until_s(self) -> float:
        """End of the fault, infinity if it stays."""
        return math.inf if self.end_s is None else self.end_s


class _CellFault(_Fault):
    cells: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _cells_differ(self) -> Self:
        if len(set(self.cells)) < len(self.cells):
            raise ValueError(f"cells that differ, not {list(self.cells)}")
        return self


class SleepingCell(_CellFault):
    """A cell whose data plane hangs: to the network it looks up, and it serves nobody.

    3GPP's self-healing (TS 32.541) knows outages of cells; operators call an outage without an alarm a sleeping cell: "a cell
    that is transmitting on a broadcast channel, but lacks alarms and is unable to set up traffic" (Ericsson, US patent
    8,095,075, claim 1), which "works properly from the point of view of the monitoring system" (Fortes et al., EURASIP
    JWCN 2016:149).

    Here SS/PBCH blocks, measurements, channel reports and signalling go on, so UEs come, stay and are handed over by A3
    as ever. The cell sends no transport block, neither new ones nor retransmissions; data waits in its buffers. It draws the
    power of an active cell without data. Random access is not modelled: UEs that would fail at it in a real cell are
    connected here and get nothing, so that RRC.ConnMean does not fall.

    Cells that are told to sleep, to save energy, are another matter: `energy.power`.
    """

    kind: Literal["sleeping-cell"]


class PowerLoss(_CellFault):
    """Loss between a cell's amplifier and its antenna: a wet connector, a cut jumper.

    The cell sends less than its setting and does not know it: X.Cell.TxPower, CARR.MaxTxPwr and the drawn power stay.
    """

    kind: Literal["power-loss"]
    loss_db: Decibel


class TiltShift(_CellFault):
    """A column that is steered to another angle than its setting: a remote tilt motor that slipped. Its elements keep their direction."""

    kind: Literal["tilt-shift"]
    shift_deg: Annotated[float, Field(ge=-20, le=20)]  # added to the tilt; down is positive


class Interference(_Fault):
    """A transmitter that is no cell of the network: a foreign network's, a repeater that oscillates, a jammer.

    It stands at `position_m`, as high as the sites, and sends without a pause, evenly over the carrier and in all directions.
    It reaches UEs as a site of its own would: path loss, line of sight, shadows and penetration of the environment, without
    fast fading. Under wrap-around each copy of the network has it, and a UE hears the nearest one.
    """

    kind: Literal["interference"]
    position_m: tuple[Metres, Metres]
    eirp_dbm: Annotated[float, Field(ge=-200, le=200)]  # within the carrier's band


class BackhaulDelay(_CellFault):
    """Downlink packets of the cells' UEs reach the cell later, in their order.

    A packet that is due in slot k comes in slot k + delay, plus a uniform draw of its own up to `jitter_ms`, cut to whole
    slots. Packets that are held when the fault ends, or when their UE is handed over to a cell with a healthy backhaul, come at
    once, up to 256 a slot. Nothing is lost. A scheduler and the discarding of late packets count from the arrival at the cell, as
    they know no other time; delays and late packets in reports count from when the packet was due.
    """

    kind: Literal["backhaul-delay"]
    delay_ms: NotNegativeMs
    jitter_ms: NotNegativeMs = 0.0


class FaultyCounters(_CellFault):
    """Measurements of a cell that its reports give wrongly; the network itself is well.

    Only reports at level "cell" are wrong, and only those about periods that end while the fault holds, the period's end
    at the fault's end included.
    """

    kind: Literal["faulty-counters"]
    measurements: Annotated[tuple[str, ...], Field(min_length=1)]
    effect: Literal["stuck", "missing", "scaled"]  # stuck: the value of the last period before the fault
    factor: NotNegative | None = None  # scaled: times this, before rounding

    @model_validator(mode="after")
    def _factor_scales(self) -> Self:
        if (self.factor is not None) != (self.effect == "scaled"):
            raise ValueError("factor with effect 'scaled', and only with it")
        return self


def _kind(value: object) -> str:
    """Kind of a fault, read from its table or its object."""
    return str(value.get("kind", "") if isinstance(value, Mapping) else getattr(value, "kind", ""))


Fault = Annotated[
    Annotated[SleepingCell, Tag("sleeping-cell")]
    | Annotated[PowerLoss, Tag("power-loss")]
    | Annotated[TiltShift, Tag("tilt-shift")]
    | Annotated[Interference, Tag("interference")]
    | Annotated[BackhaulDelay, Tag("backhaul-delay")]
    | Annotated[FaultyCounters, Tag("faulty-counters")],
    Discriminator(_kind),
]


def check_faults(faults: Sequence[Fault], n_cell: int, slots: Callable[[float], int]) -> None:
    """Hold the faults of a scenario against its cells, its slots (of a time in ms) and each other.

    Raises:
        ValueError: A name twice, an unknown cell, less than a slot, or two faults of one kind that hold in one cell at one
            time.
    """
    names = [fault.name for fault in faults if fault.name is not None]
    if len(set(names)) < len(names):
        raise ValueError(f"different names in [[faults]], not {names}")
    if len({fault.shift_deg for fault in faults if isinstance(fault, TiltShift)}) > MOST_TILTS:
        raise ValueError(f"at most {MOST_TILTS} different shift_deg, for each has a table of gains")
    if sum(isinstance(fault, Interference) for fault in faults) > MOST_SOURCES:
        raise ValueError(f"at most {MOST_SOURCES} faults of kind interference")
    for i, fault in enumerate(faults):
        if fault.end_s is not None and slots(fault.end_s * 1e3) <= slots(fault.start_s * 1e3):
            raise ValueError(
                f"faults.{fault.name or i}.end_s a slot or more after its start_s, {fault.start_s:g}, not {fault.end_s:g}"
            )
        unknown = [cell for cell in getattr(fault, "cells", ()) if cell >= n_cell]
        if unknown:
            raise ValueError(f"faults.{fault.name or i}.cells among 0 to {n_cell - 1}, not {unknown[0]}")
    last: dict[
        tuple[str, int, str], int
    ] = {}  # index of the latest fault so far, by kind, cell and measurement
    for i in sorted(range(len(faults)), key=lambda i: faults[i].start_s):
        for taken in _taken(faults[i]):
            j = last.get(taken)
            if j is not None and faults[j].until_s > faults[i].start_s:
                names = [f"faults.{faults[k].name or k}" for k in sorted((i, j))]
                raise ValueError(
                    f"one {taken[0]} at a time in cell {taken[1]}, not {names[0]} and {names[1]} at once"
                )
            last[taken] = i


def _taken(fault: Fault) -> Iterator[tuple[str, int, str]]:
    """Kind, cell and measurement that no other fault may have at the same time; none for sources of interference: they add up."""
    if not isinstance(fault, Interference):
        measurements = fault.measurements if isinstance(fault, FaultyCounters) else ("",)
        yield from product((fault.kind,), sorted(fault.cells), measurements)
