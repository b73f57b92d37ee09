"""Path gains of a UE to all cells, and its links: the powers that it receives of the serving cell, of others and of the rest."""

from __future__ import annotations

import math

import numpy as np

from ran_sim.core.jit import bare_kernel
from ran_sim.core.state import F32, F64, I32, I64, Cells, Links, Ues
from ran_sim.energy.power import ACTIVE
from ran_sim.engine.radio_state import RadioState
from ran_sim.radio.antenna import column_gain
from ran_sim.radio.fading import assign_links
from ran_sim.radio.propagation import site_gains
from ran_sim.radio.spread import departure, link_gain, pointed
from ran_sim.radio.topology import nearest_copy

_NEPER_PER_DB = math.log(10.0) / 10.0  # of power; exp takes a quarter of pow's time


@bare_kernel
def note_powers(cells: Cells, radio: RadioState) -> bool:
    """Note the power that every cell sends; whether any cell is awake."""
    sent_dbm, some_awake = radio.sent_dbm, False
    for cell in range(cells.state.size):
        awake = cells.state[cell] == ACTIVE
        sent_dbm[cell] = cells.tx_power_dbm[cell] - cells.ailments.loss_db[cell] if awake else -np.inf
        radio.sent_mw[cell] = math.exp(_NEPER_PER_DB * (sent_dbm[cell] + radio.rbg_share_db))
        some_awake |= awake
    return some_awake


@bare_kernel
def refresh_links(cells: Cells, ues: Ues, links: Links, radio: RadioState) -> None:
    """Renew the received powers at once after a transmit power changed; measurements follow on the next tick."""
    note_powers(cells, radio)
    for u in range(ues.id.size):
        if ues.connected[u]:
            renew_links(u, ues.cell[u], cells.load, links, radio)


@bare_kernel
def renew_path_gains(cells: Cells, ues: Ues, links: Links, radio: RadioState) -> None:
    """Renew all path gains at once, at the places that they are of, after antennas or sources changed; and the links."""
    for u in range(ues.id.size):
        if ues.connected[u]:
            path_gains(u, ues.id[u], cells.ailments.pointing, links, radio)
        else:
            links.outside_mw[u] = 0.0
    refresh_links(cells, ues, links, radio)


@bare_kernel
def serving_sinr(u: int, cells: Cells, links: Links) -> float:
    """Mean SINR of one branch on the serving cell, linear, without fast fading, interferers weighted with their load."""
    other_mw = links.noise_mw[0] + links.rest_mw[u]
    for k in range(1, links.cell.shape[1]):
        if links.cell[u, k] >= 0:
            other_mw += cells.load[links.cell[u, k]] * links.rx_mw[u, k]
    return float(links.rx_mw[u, 0] / other_mw)


@bare_kernel
def sinr_of(cell: int, gain: F32, sent_mw: F64, load: F32, noise_mw: float) -> float:
    """The `serving_sinr` that a UE would have on any cell; `noise_mw` holds all that comes from no cell."""
    wanted_mw, other_mw = 0.0, float(noise_mw)
    for i in range(load.size):
        power_mw = gain[i] * sent_mw[i]
        if i == cell:
            wanted_mw = power_mw
        else:
            other_mw += power_mw * load[i]
    return wanted_mw / other_mw


@bare_kernel
def path_gains(u: int, ue_id: int, pointing_of: I64, links: Links, radio: RadioState) -> None:
    """Path gains of one UE at its noted place: losses, angles and height once per site, then sectors; and sources."""
    topology, motion, gain_db = radio.topology, radio.motion, links.gain_db[u]
    indoor, height_m = motion.indoor[u] > 0, motion.height_m[u]
    for cell in range(gain_db.size):
        site = topology.cell_site[cell]
        if cell > 0 and topology.cell_site[cell - 1] == site:
            continue  # its site's first cell did it
        in_sight, blocked, dx_m, dy_m = _way_from(
            u, ue_id, site, topology.site_x_m[site], topology.site_y_m[site], radio
        )
        link = departure(
            in_sight,
            blocked,
            max(math.hypot(dx_m, dy_m), 1e-3),
            topology.bs_height_m,
            height_m,
            indoor,
            radio.spread,
        )
        bearing = math.atan2(dy_m, dx_m)
        pointing, column = -1, 0.0
        sector = cell
        while sector < gain_db.size and topology.cell_site[sector] == site:
            off_rad = bearing - topology.azimuth_rad[sector]
            off_deg = math.degrees(off_rad - 2.0 * math.pi * math.floor(off_rad / (2.0 * math.pi) + 0.5))
            if pointing_of[sector] != pointing:
                pointing = pointing_of[sector]
                column = column_gain(link.zenith_cos, pointed(radio.antenna, pointing, radio.spread))
            gain = link_gain(link, off_deg, column, pointing, radio.antenna, radio.spread)
            gain_db[sector] = math.log(gain) / _NEPER_PER_DB
            radio.gain[u, sector] = gain
            sector += 1
    sources = radio.sources
    outside_mw = 0.0
    for i in range(sources.x_m.size):  # their maps stand behind those of the sites
        site = topology.site_x_m.size + i
        in_sight, blocked, _, _ = _way_from(u, ue_id, site, sources.x_m[i], sources.y_m[i], radio)
        outside_mw += sources.sent_mw[i] * (in_sight + blocked)
    links.outside_mw[u] = outside_mw


@bare_kernel
def _way_from(
    u: int, ue_id: int, site: int, x_m: float, y_m: float, radio: RadioState
) -> tuple[float, float, float, float]:
    """Gains of both states between a site at (x, y) and the noted place of UE row `u`, see `site_gains`, and the way there."""
    dx_m, dy_m = nearest_copy(radio.gain_x_m[u] - x_m, radio.gain_y_m[u] - y_m, radio.topology)
    motion = radio.motion
    in_sight, blocked = site_gains(
        radio.seed, ue_id, site, dx_m, dy_m, motion.indoor[u] > 0, motion.height_m[u], motion.penetration_db[u],
        radio.propagation,
    )  # fmt: skip
    return in_sight, blocked, dx_m, dy_m


@bare_kernel
def renew_links(u: int, serving: int, load: F32, links: Links, radio: RadioState) -> None:
    """Sort one UE's cells into serving, K strongest others and the rest."""
    cell_of, rx_mw, power_mw = links.cell[u], links.rx_mw[u], radio.power_mw
    for cell in range(power_mw.size):
        power_mw[cell] = radio.gain[u, cell] * radio.sent_mw[cell]
    cell_of[:] = -1
    rx_mw[:] = np.float32(0)
    cell_of[0], rx_mw[0] = serving, power_mw[serving]
    rest_mw = 0.0
    for cell in range(power_mw.size):
        rest_mw += power_mw[cell] * load[cell]
        heard_mw = np.float32(
            power_mw[cell]
        )  # as `links.rx_mw` keeps it, so that of two equal cells the first comes first
        # Cells that sleep do not interfere; with many asleep there may be fewer than K others.
        if rx_mw.size > 1 and cell != serving and heard_mw > rx_mw[-1]:
            _insert_interferer(cell, heard_mw, cell_of, rx_mw)
    for rank in range(cell_of.size):
        if cell_of[rank] >= 0:
            rest_mw -= power_mw[cell_of[rank]] * load[cell_of[rank]]
    links.rest_mw[u] = max(rest_mw, 0.0) + links.outside_mw[u]
    assign_links(u, cell_of, radio.fading)


@bare_kernel
def _insert_interferer(cell: int, heard_mw: np.float32, cell_of: I32, rx_mw: F32) -> None:
    """Replace the weakest interferer by a cell that is stronger."""
    rank = rx_mw.size - 1
    while rank > 1 and rx_mw[rank - 1] < heard_mw:
        cell_of[rank], rx_mw[rank] = cell_of[rank - 1], rx_mw[rank - 1]
        rank -= 1
    cell_of[rank], rx_mw[rank] = cell, heard_mw
