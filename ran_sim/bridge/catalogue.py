"""The offer of a site as a RAN node: measurements, actions, cells and their neighbours, slices, and where it stands."""

from __future__ import annotations

import numpy as np

from ran_sim.bridge.actuators import Actuators
from ran_sim.bridge.places import Places
from ran_sim.engine import Engine
from ran_sim.measure import kpm
from ran_sim.radio.antenna import BEAMWIDTH_DEG
from ran_sim.radio.topology import site_distances_m
from ran_sim.scenario import Scenario
from ranloop.vocabulary import LEVELS
from ranloop.wire.messages import Catalogue, CellPlace, CellRelation


def catalogue(
    scenario: Scenario, engine: Engine, places: Places, site: int, actuators: Actuators
) -> Catalogue:
    """The catalogue of one site."""
    node, cells = places.nodes[site], np.flatnonzero(places.site == site).tolist()
    # Rounded, so that of cells at the same distance the first comes first.
    distance_m = site_distances_m(scenario.layout)[site][places.site].round(3)
    nearest = np.argsort(distance_m, kind="stable").tolist()
    return Catalogue(
        node=node,
        measurements={level: tuple(kpm.LEVELS[level]) for level in LEVELS},
        actions=actuators.actions,
        periods_ms=tuple(sorted(scenario.reports.periods_ms)),
        cells={cell: places.cell_names[cell] for cell in cells},
        slices=dict(enumerate(engine.slice_names)),
        slice_min_pct=dict(enumerate(actuators.slice_default[:, 0].tolist())),
        control_delay_ms=scenario.control.delay_ms,
        geometry={cell: _place(scenario, engine, node, cell) for cell in cells},
        # Event A3 takes any cell, and every handover is allowed: each cell knows all others, the nearest first.
        neighbours={
            cell: tuple(
                CellRelation(cell=other, name=places.cell_names[other]) for other in nearest if other != cell
            )
            for cell in cells
        },
        scheduler_models=actuators.scheduler_models,
    )


def _place(scenario: Scenario, engine: Engine, node: str, cell: int) -> CellPlace:
    cells, layout = engine.cells, scenario.layout
    return CellPlace(
        site=node,
        x_m=float(cells.x_m[cell]),
        y_m=float(cells.y_m[cell]),
        azimuth_deg=None if layout.sectors == 1 else float(np.rad2deg(cells.azimuth_rad[cell])) % 360.0,
        height_m=layout.bs_height_m,
        beam_width_deg=None if layout.sectors == 1 else BEAMWIDTH_DEG,
    )
