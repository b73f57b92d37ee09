"""Answers of plug-ins: an impossible answer stops the run at once, with the plug-in's name.

Kernels cannot raise. They mark an impossible answer, and `check_propagation` and `check_packets` look for the mark after each
call. If there is one, they ask the plug-in again, so that the error can show its answer. A metric's NaN is no claim and is
counted.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from ran_sim.core.plugins import Plugin, PluginError, ask_again, plugin_name
from ran_sim.engine.kernels import Network
from ran_sim.radio.propagation import MIN_D_2D_M, way_inside_m
from ran_sim.radio.topology import nearest_copy
from ran_sim.traffic.arrivals import MOST_BYTES, NO_ANSWER

__all__ = ("check_packets", "check_propagation")

# More than antennas (18 dBi) and shadowing (four of its deviations) can add to a path without loss.
_MOST_GAIN_DB: Final = 50.0
_MOST_LOSS_DB: Final = 1000.0  # a multiple of it is no longer told from none at all


def check_propagation(network: Network) -> None:
    """Look at the path gains after a radio tick with propagation of the user's own.

    Raises:
        PluginError: One is not finite, or so large that the path cannot have had a loss.
    """
    gain_db = network.links.gain_db
    fits = np.isfinite(gain_db) & (gain_db < _MOST_GAIN_DB)
    wrong = np.argwhere(~fits & (network.ues.connected > 0)[:, None])
    if len(wrong):
        raise PluginError(_wrong_propagation(network, *wrong[0].tolist()))
    unheard = np.flatnonzero(~np.isfinite(network.links.outside_mw))
    if len(unheard):
        raise PluginError(
            f"{plugin_name(network.radio.propagation.path_loss)}: gives no finite loss between a source of interference and "
            f"the UE in row {unheard[0]}, want finite numbers at all distances"
        )


def _wrong_propagation(network: Network, u: int, cell: int) -> str:
    """What the first of the functions that gives an impossible answer was asked, answered, and should have answered."""
    topology, own, ues, motion = (
        network.radio.topology,
        network.radio.propagation,
        network.ues,
        network.radio.motion,
    )
    site, indoor = topology.cell_site[cell], bool(motion.indoor[u])
    dx_m, dy_m = nearest_copy(
        ues.x_m[u] - topology.site_x_m[site], ues.y_m[u] - topology.site_y_m[site], topology
    )
    heights_m = own.h_bs_m, float(motion.height_m[u])
    d_2d_m = max(math.hypot(dx_m, dy_m), MIN_D_2D_M)
    inside_m = way_inside_m(network.radio.seed, int(ues.id[u]), own.by_building) if indoor else 0.0
    outside_m = max(d_2d_m - inside_m, 0.0)
    d_3d_m = math.hypot(d_2d_m, heights_m[0] - heights_m[1])
    asked: tuple[float, ...]
    told = "a path loss of {} dB, want 0 to 1000"
    for sight in (1.0, 0.0):
        path_loss = (d_2d_m, d_3d_m, *heights_m, own.frequency_ghz, sight)
        questions: list[tuple[Plugin, tuple[float, ...], float, str]] = [
            (own.path_loss, path_loss, _MOST_LOSS_DB, told)
        ]
        if own.own_los_probability:
            asked = (outside_m, *heights_m, own.frequency_ghz)
            wanted = "a probability of line of sight of {}, want 0 to 1"
            questions.append((own.los_probability, asked, math.nextafter(1.0, 2.0), wanted))
        if own.own_shadow_sd:
            asked = (d_2d_m, *heights_m, own.frequency_ghz, sight, float(indoor))
            wanted = "a deviation of shadowing of {} dB, want a finite number, 0 or more"
            questions.append((own.shadow_sd_db, asked, math.inf, wanted))
        for plugin, asked, below, wanted in questions:
            answer = ask_again(plugin, *asked)
            if not 0.0 <= answer < below:
                arguments = ", ".join(f"{value:.6g}" for value in asked)
                return f"{plugin_name(plugin)}({arguments}) gives {wanted.format(answer)}"
    arguments = ", ".join(f"{value:.6g}" for value in path_loss)
    return (
        f"{plugin_name(own.path_loss)}({arguments}) gives {told.format(ask_again(own.path_loss, *path_loss))}"
    )


def check_packets(network: Network) -> None:
    """Look for UEs whose next packet a traffic plug-in could not name.

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
