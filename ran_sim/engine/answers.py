"""Answers of plug-ins: an impossible answer stops the run at once, with the plug-in's name.

Kernels cannot raise. They mark an impossible answer, and `check_propagation` and `check_packets` look for the mark after each
call. If there is one, they ask the plug-in again, so that the error can show its answer. A NaN of a metric gets no
grant and is counted.
"""

from __future__ import annotations

import math
import sys
from typing import Final

import numpy as np

from ran_sim.core.plugins import Plugin, PluginError, ask_again, plugin_name
from ran_sim.engine.kernels import Network
from ran_sim.radio.propagation import MIN_D_2D_M, MOST_LOSS_DB, way_inside_m
from ran_sim.radio.topology import nearest_copy
from ran_sim.traffic.arrivals import MOST_BYTES, NO_ANSWER

__all__ = ("check_packets", "check_propagation")

_MOST_GAIN_DB: Final = (
    50.0  # more than antennas (18 dBi) and four deviations of shadowing add to a path without loss
)


def check_propagation(network: Network) -> None:
    """Look at the path gains after a radio tick with propagation of the user's own.

    Raises:
        PluginError: A function gave an impossible answer, or a path gains so much that its shadowing cannot be meant.
    """
    radio, gain_db = network.radio, network.links.gain_db
    topology, sources, path_loss = radio.topology, radio.sources, plugin_name(radio.propagation.path_loss)
    fits = np.isfinite(gain_db) & (gain_db < _MOST_GAIN_DB)
    for u, cell in np.argwhere(~fits & (network.ues.connected > 0)[:, None]).tolist():
        site = topology.cell_site[cell]
        told = _impossible_answer(network, u, topology.site_x_m[site], topology.site_y_m[site])
        raise PluginError(
            told
            or f"{path_loss}: the path from cell {cell} to the UE in row {u} gains {gain_db[u, cell]:g} dB with its antenna and "
            f"shadowing, want less than {_MOST_GAIN_DB:g} dB"
        )
    for u in np.flatnonzero(~np.isfinite(network.links.outside_mw)).tolist():
        ways = (
            _impossible_answer(network, u, *place) for place in zip(sources.x_m, sources.y_m, strict=True)
        )
        raise PluginError(
            next(filter(None, ways), None)
            or f"{path_loss}: no finite power reaches the UE in row {u} from the sources of interference"
        )


def _impossible_answer(network: Network, u: int, x_m: float, y_m: float) -> str | None:
    """The question, the answer and the wanted answer of the first function that errs about the way from (x, y) to UE row `u`."""
    own, ues, motion = network.radio.propagation, network.ues, network.radio.motion
    indoor = bool(motion.indoor[u])
    dx_m, dy_m = nearest_copy(ues.x_m[u] - x_m, ues.y_m[u] - y_m, network.radio.topology)
    heights_m = own.h_bs_m, float(motion.height_m[u])
    d_2d_m = max(math.hypot(dx_m, dy_m), MIN_D_2D_M)
    inside_m = way_inside_m(network.radio.seed, int(ues.id[u]), own.by_building) if indoor else 0.0
    outside_m = max(d_2d_m - inside_m, 0.0)
    d_3d_m = math.hypot(d_2d_m, heights_m[0] - heights_m[1])
    asked: tuple[float, ...]
    for sight in (1.0, 0.0):
        asked = (d_2d_m, d_3d_m, *heights_m, own.frequency_ghz, sight)
        wanted = f"a path loss of {{}} dB, want 0 to {MOST_LOSS_DB:g}"
        questions: list[tuple[Plugin, tuple[float, ...], float, str]] = [
            (own.path_loss, asked, MOST_LOSS_DB, wanted)
        ]
        if own.own_los_probability:
            asked = (outside_m, *heights_m, own.frequency_ghz)
            wanted = "a probability of line of sight of {}, want 0 to 1"
            questions.append((own.los_probability, asked, 1.0, wanted))
        if own.own_shadow_sd:
            asked = (d_2d_m, *heights_m, own.frequency_ghz, sight, float(indoor))
            wanted = "a deviation of shadowing of {} dB, want a finite number, 0 or more"
            questions.append((own.shadow_sd_db, asked, sys.float_info.max, wanted))
        for plugin, asked, most, wanted in questions:
            answer = ask_again(plugin, *asked)
            if not 0.0 <= answer <= most:
                arguments = ", ".join(f"{value:.6g}" for value in asked)
                return f"{plugin_name(plugin)}({arguments}) gives {wanted.format(answer)}"
    return None


def check_packets(network: Network) -> None:
    """Look for UEs for whose next packet a traffic plug-in gave an impossible answer.

    Raises:
        PluginError: There is one.
    """
    queues, traffic = network.queues, network.traffic
    wrong = np.flatnonzero((queues.next_bytes == NO_ANSWER) & (queues.owner >= 0))
    if not len(wrong):
        return
    u = wrong[0]
    asked = (
        network.settings.seed,
        traffic.of_ue[u],
        queues.owner[u],
        queues.next_packet[u],
        queues.nominal[u],
    )
    gap_slots, size_bytes = ask_again(traffic.plugin, *asked)
    arguments = ", ".join(
        str(value) if isinstance(value, int | np.integer) else f"{value:.12g}" for value in asked
    )
    raise PluginError(
        f"{plugin_name(traffic.plugin)}({arguments}) gives a packet after {gap_slots} slots of {size_bytes} bytes, "
        f"want a gap of 0 or more (infinite: no more packets) and a size above 0, at most {MOST_BYTES}"
    )
