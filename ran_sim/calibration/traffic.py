"""Traffic and queues: packets against the specifications, delays against queueing theory.

The radio is set up as a server of constant rate: UEs at 40 dB on a flat channel get the largest block in every slot. One UE
with Poisson packets of one block each is then an M/D/1 queue, and many UEs with files under round robin share the cell
as processor sharing does.
"""

from __future__ import annotations

import math

import numpy as np

from ran_sim.calibration.check import Check, Plot, Section, Series, near
from ran_sim.core import counters as count
from ran_sim.core.jit import bare_kernel
from ran_sim.core.state import F64, I64
from ran_sim.engine import Engine
from ran_sim.link.adaptation import RE_PER_PRB, transport_block_bits
from ran_sim.link.harq import HARQ_RTT_SLOTS
from ran_sim.scenario import Scenario, load_scenario
from ran_sim.traffic.arrivals import SID_FRAMES, Traffic, init_traffic, next_packet

N_PRB = 51
SLOT_S = 0.5e-3
BLOCK_BYTES = (
    transport_block_bits(N_PRB, RE_PER_PRB, 8, 948 / 1024) // 8
)  # MCS 27 of TS 38.214 Table 5.1.3.1-2
_STILL_MS = 3.6e6
_WAIT_LOADS = (0.3, 0.5, 0.7, 0.8)
_FILE_LOADS = (0.5, 0.3)
# Deviation of a standard normal that is cut at +-c, here 50 % of a frame's mean size in deviations of 10.5 %.
_CUT = 0.5 / 0.105
_CUT_SD = math.sqrt(
    1 - 2 * _CUT * math.exp(-(_CUT**2) / 2) / math.sqrt(2 * math.pi) / math.erf(_CUT / math.sqrt(2))
)


def run(quick: bool = False, seed: int = 1) -> Section:
    """All checks; `quick` takes a tenth of the packets."""
    n = 4_000 if quick else 40_000
    waits = [
        (load, *single_server(load, 10 * n, seed)) for load in (_WAIT_LOADS[:2] if quick else _WAIT_LOADS)
    ]
    shares = [
        (load, *processor_sharing(load, n // 2, seed)) for load in (_FILE_LOADS[:1] if quick else _FILE_LOADS)
    ]
    checks = [
        near(
            _wait_name(load), wait, rho / (2 * (1 - rho)),
            unit="service times", source="M/D/1: rho / (2 (1 - rho))",
            share=_tolerance(rho, 10 * n),
        )
        for load, rho, wait in waits
    ]  # fmt: skip
    for load, rho, use, time in shares:
        use_name, time_name = _file_names(load)
        checks += [
            near(use_name, use / rho, 1.0, unit="of the load", share=0.005,
                 source="utilisation law: rho = lambda S / R"),
            near(time_name, time, 1 / (1 - rho),
                 unit="S / R", share=0.1 if quick else 0.03,
                 source="M/G/1 processor sharing, 1 / (1 - rho), and Little's law"),
        ]  # fmt: skip
    checks += packet_shapes(n, seed)
    x = np.linspace(0, 0.85, 100)
    plot = Plot(
        name="traffic-wait", title="Wait of packets that fill one slot", x_label="load", y_label="service times",
        series=(
            Series(name="M/D/1", x=x, y=x / (2 * (1 - x))),
            Series(name="simulated", x=np.array([w[1] for w in waits]), y=np.array([w[2] for w in waits]), style="points"),
        ),
    )  # fmt: skip
    return Section(
        title="Traffic and queues",
        checks=tuple(checks),
        plots=(plot,),
        seeds=str(seed),
        only_long=(
            *map(_wait_name, _WAIT_LOADS[2:]),
            *(name for load in _FILE_LOADS[1:] for name in _file_names(load)),
        )
        if quick
        else (),
        left_out=(
            "Transport protocols: packets arrive whether or not those before them were delivered.",
            "Headers of IP, PDCP, RLC and MAC, and RLC retransmissions.",
            "The adaptation of a stream's quality to the throughput.",
        ),
    )


def _wait_name(load: float) -> str:
    return f"mean wait of a packet, offered {load:g} of what the cell carries"


def _file_names(load: float) -> tuple[str, str]:
    return (
        f"PRB use by files, offered {load:g} of what the cell carries, over what came",
        f"mean time of a file at load {load:g}, from the mean number of them",
    )


def _tolerance(rho: float, n: int) -> float:
    """Four standard errors of the mean wait over `n` packets; waits stay correlated for about 2 / (1 - rho)^2 packets."""
    return 4.0 * math.sqrt(2.0 / (1.0 - rho) ** 2 / n) + 0.01


def still_cell(ues: int, seed: int = 1, **traffic: object) -> Engine:
    """An engine past its first channel reports: one cell, round robin, every UE at 40 dB on a flat channel throughout."""
    data = load_scenario("one-cell").model_dump()
    always = {"name": "all", "five_qi": 9, "idle_s": 0.0, "session_s": (1e6, 1e6), "ues": ues}
    data["traffic"] = [{**always, **traffic}]
    data["radio"]["tick_ms"] = data["radio"]["fading_grid_ms"] = _STILL_MS
    engine = Engine(Scenario.model_validate(data), seed=seed, scheduler="rr")
    engine.run_until(1)
    engine.links.rx_mw[:, 0] = engine.links.noise_mw[0] * 1e4
    engine.links.fading[:] = 1.0
    engine._network.radio.fading.grid_step[:] = 0  # as if evaluated
    engine._network.csi.next_slot[:] = 1
    engine.run_until(2000)
    return engine


def _counted(engine: Engine, slots: int) -> I64:
    before = engine.snapshot()
    engine.run_until(engine.slot + slots)
    row: I64 = engine.snapshot().since(before).cell_class[0, 0]
    return row


def single_server(load: float, packets: int, seed: int = 1) -> tuple[float, float]:
    """Load of the run, and the mean wait in slots from a packet's arrival to the slot that carries it."""
    engine = still_cell(
        1, seed, model="urllc", arrivals="poisson", packet_bytes=BLOCK_BYTES, interval_ms=SLOT_S * 1e3 / load
    )
    slots = int(packets / load)
    row = _counted(engine, slots)
    return row[count.PACKETS_OFFERED] / slots, row[count.SDU_WAIT_SLOTS] / row[count.SDUS_SENT]


def processor_sharing(load: float, files: int, seed: int = 1) -> tuple[float, float, float]:
    """Load of the run, PRB use, and mean time of a file in S / R.

    There are 400 UEs, so that two files seldom wait in one queue, which is first come, first served. A file is 32 blocks
    of one slot each. Its UE stays active until the feedback for the last block has come.
    """
    n_ue, blocks = 400, 32
    engine = still_cell(
        n_ue,
        seed,
        model="ftp3",
        file_kb=blocks * BLOCK_BYTES / 1e3,
        rate_mbps=load * BLOCK_BYTES * 8 / 1e6 / SLOT_S / n_ue,
    )
    slots = int(files * blocks / load)
    row = _counted(engine, slots)
    came = int(row[count.PACKETS_OFFERED])
    active = row[count.ACTIVE_SLOTS] - came * (HARQ_RTT_SLOTS - 1)
    return came * blocks / slots, row[count.PRB_USED] / (slots * N_PRB), active / came / blocks


def packet_shapes(n: int, seed: int) -> list[Check]:
    """Moments of `n` packets of each model."""
    xr = _packets({"model": "xr", "five_qi": 80, "rate_mbps": 30.0, "fps": 60.0, "jitter_ms": 2.0}, n, seed)
    files = _packets({"model": "ftp3", "rate_mbps": 8.0, "file_kb": 500.0}, n, seed)
    voice = _packets({"model": "voip", "five_qi": 1}, 4 * n, seed)
    mean = 30e6 / 8 / 60
    error = 4 / math.sqrt(n)
    gaps = np.diff(files[0])
    talk = voice[1] == voice[1].max()
    spurts = int((talk[1:] & ~talk[:-1]).sum())
    silence = 1 - 0.99**SID_FRAMES
    xr_source, voice_source = "TR 38.838 5.1.1.1", "NGMN evaluation methodology, Annex B; R1-070674"
    return [
        near("mean size of an XR frame, 30 Mb/s at 60 fps", xr[1].mean(), mean, unit="byte", share=0.105 * error,
             source=xr_source),
        near("deviation of its size", xr[1].std() / mean, 0.105 * _CUT_SD, unit="of the mean",
             share=error, source=xr_source),
        near("smallest XR frame: 50 % of the mean or more", xr[1].min() / mean, 0.75, unit="of the mean", within=0.25,
             source=xr_source),
        near("largest XR frame: 150 % of the mean or less", xr[1].max() / mean, 1.25, unit="of the mean", within=0.25,
             source=xr_source),
        near("mean gap of Poisson files", gaps.mean(), 1000.0, unit="slots", share=error, source="TR 36.889 A.1.1"),
        near("deviation of the gap over its mean", gaps.std() / gaps.mean(), 1.0, unit="1", share=2 * error,
             source="exponential distribution"),
        near("frames of a talk spurt", talk.sum() / spurts, 100.0, unit="frames", share=4 / math.sqrt(spurts),
             source=voice_source),
        near("share of speech in a call", talk.sum() * 40 / voice[0][-1], 0.5, unit="1",
             within=4 * 0.5 / math.sqrt(2 * spurts), source=voice_source),
        near("silence descriptors of a silence", (~talk).sum() / spurts, 1 / silence, unit="packets",
             share=4 / math.sqrt(spurts), source="geometric silences of 2 s: 1 / (1 - 0.99^8)"),
    ]  # fmt: skip


def _packets(traffic: dict[str, object], n: int, seed: int) -> tuple[F64, F64]:
    """When the first `n` packets of a session are due, in slots of 0.5 ms and without jitter, and their bytes."""
    own = {"name": "own", "five_qi": 9, "ues": 1, **traffic}
    classes = init_traffic(load_scenario("one-cell").with_overrides({"traffic": [own]}))
    slots, sizes = np.zeros(n), np.zeros(n)
    _draw(classes, seed, slots, sizes)
    return slots, sizes


@bare_kernel
def _draw(classes: Traffic, seed: int, slots: F64, sizes: F64) -> None:
    """Compiled, because a call from Python takes longer to hand over the classes' arrays than to draw a packet."""
    due, talking = 0.0, 0
    for i in range(slots.shape[0]):
        _, due, sizes[i], talking = next_packet(classes, seed, 0, 7, i, due, talking)
        slots[i] = due
