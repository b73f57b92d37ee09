"""Path loss, line of sight, shadowing and penetration of urban macro and micro cells, TR 38.901 V17 clause 7.4.

UEs outdoors read line of sight and shadowing from maps around each site (see `maps`), with the soft state of 7.6.3.3
between sight and none; a UE in a building keeps its place and has its own draws per site. Functions of the user's own can
stand in for the report's: `own_propagation`. Left out: ground reflection, correlation of shadowing with other large-scale
parameters, blockage, indoor offices; docs/examples/plugins/rma.py has RMa.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from ran_sim.core.jit import bare_kernel
from ran_sim.core.plugins import Plugin
from ran_sim.core.random import LOS, PENETRATION, SHADOWING, normal, uniform
from ran_sim.radio.maps import EXPONENTIAL, SMOOTH, Map, build_map, flat_map, map_points, value_at
from ran_sim.radio.own_propagation import (
    LOS_PROBABILITY_SIGNATURE,
    PATH_LOSS_SIGNATURE,
    SHADOW_SD_SIGNATURE,
    OwnPropagation,
    PropagationModel,
    function_or_none,
    own_decorrelations_m,
    own_model,
)
from ran_sim.radio.topology import span_m
from ran_sim.scenario import Scenario

SPEED_OF_LIGHT_MPS: Final = 3.0e8  # as TR 38.901 Table 7.4.1-1 note 1 has it
OUTDOOR_HEIGHT_M: Final = 1.5  # of UEs
MIN_D_2D_M: Final = 10.0  # the formulas' lower end; closer UEs count as this far
OLDER_WALL_LOSS_DB: Final = 20.0  # Table 7.4.3-3
SIGHT_M: Final = 18.0  # within it there always is line of sight, Table 7.4.2-1
DECORRELATION_STATE_M: Final = 50.0  # Table 7.6.3.1-2
STATE_GRID_M: Final = 6.4  # the state is smooth: an eighth of the decorrelation distance does
MOST_LOSS_DB: Final = 1000.0  # of a path of the user's own: a greater one is an error in the function
_HARD: Final = 1e9  # sharpness of a state without a soft edge
_NEPER_PER_DB: Final = math.log(10.0) / 10.0  # of power; exp takes a quarter of pow's time
_LOGITS_PER_SIGMA: Final = 1.702  # logistic approximation of the normal distribution
_GRIDS_PER_DECORRELATION: Final = 12.0  # of maps with a decorrelation distance of the user's own
_FEWEST_FLOORS, _MOST_FLOORS = 4, 8
# Of a UE's penetration draws the first belong to its building, then four to each site
_FIRST_SITE_DRAW: Final = 16
_O2I_VARIANT: Final = 1000  # of shadows; the others have twice the numbers of pairs of sites, and that plus 1
_SHADOW_DRAW, _STATE_DRAW, _LEVEL_DRAW, _FLOOR_DRAW = 0, 1, 2, 3


class Environment(NamedTuple):
    """One kind of surroundings: coefficients of TR 38.901 Tables 7.4.1-1, 7.4.2-1 and 7.5-6.

    LOS: `los_db` + `los_slope_db` log10(d_3D) + 20 log10(f), beyond the breakpoint with slope 40 and
    `breakpoint_db` less; NLOS: `nlos_db` + `nlos_slope_db` log10(d_3D) + `nlos_frequency_db` log10(f)
    - `nlos_height_db` (h_UT - 1.5 m).
    """

    los_db: float
    los_slope_db: float
    breakpoint_db: float
    nlos_db: float
    nlos_slope_db: float
    nlos_frequency_db: float
    nlos_height_db: float
    sight_decay_m: float
    over_roofs: bool  # whether UEs above 13 m see more, and stand above roofs (h_E)
    sigma_los_db: float
    sigma_nlos_db: float
    sigma_o2i_db: float
    decorrelation_los_m: float
    decorrelation_nlos_m: float
    shadow_grid_m: float  # ours: about a tenth of the decorrelation distances


UMA: Final = Environment(28.0, 22.0, 9.0, 13.54, 39.08, 20.0, 0.6, 63.0, True, 4.0, 6.0, 7.0, 37.0, 50.0, 3.2)
UMI: Final = Environment(32.4, 21.0, 9.5, 22.4, 35.3, 21.3, 0.3, 36.0, False, 4.0, 7.82, 7.0, 10.0, 13.0, 1.6)
ENVIRONMENTS: Final = {"uma": UMA, "umi": UMI}


class Propagation(NamedTuple):
    """Constants and maps that all links of a network share."""

    environment: Environment
    h_bs_m: float
    frequency_ghz: float
    by_building: bool  # how walls lose power, see `way_inside_m`
    state_sharpness: float  # of the soft state, per standard deviation of its field: sqrt(20 m / wavelength)
    least_sight: float  # bounds of the probability of line of sight, for scenarios that fix it
    most_sight: float
    state: Map  # line of sight where the field lies below the quantile of the probability
    los: Map  # shadowing with line of sight
    nlos: Map  # … and without
    o2i: Map  # … of UEs in buildings, where `o2i_mapped`; else every UE has its own
    o2i_mapped: bool
    own_decorrelation_los_m: (
        float  # of a `PropagationModel`, part of its identity; 0 where the environment's holds
    )
    own_decorrelation_nlos_m: float
    own_decorrelation_o2i_m: float
    own_path_loss: (
        bool  # whether functions of the user's own stand in for the report's, see `own_propagation`
    )
    own_los_probability: bool
    own_shadow_sd: bool
    path_loss: Plugin
    los_probability: Plugin
    shadow_sd_db: Plugin


class ShadowGrid(NamedTuple):
    """Grid of a map of shadowing."""

    grid_m: float
    decorrelation_m: float

    def points(self, scenario: Scenario) -> int:
        """Along a side of the map around each site."""
        return map_points(span_m(scenario.layout), self.grid_m, self.decorrelation_m)


def shadow_grids(scenario: Scenario, model: PropagationModel | None) -> tuple[ShadowGrid | None, ...]:
    """Grids of the shadowing with line of sight, without, and in buildings; None where no map is drawn.

    A distance of `model` takes the place of the environment's.
    """
    if not scenario.radio.shadowing:
        return None, None, None
    environment = ENVIRONMENTS[scenario.layout.environment]
    environments_m = environment.decorrelation_los_m, environment.decorrelation_nlos_m, None
    own_m = own_decorrelations_m(model)
    grids: list[ShadowGrid | None] = []
    for mine_m, far_m in zip(own_m, environments_m, strict=True):
        if mine_m is not None:
            grids.append(ShadowGrid(mine_m / _GRIDS_PER_DECORRELATION, mine_m))
        else:
            grids.append(None if far_m is None else ShadowGrid(environment.shadow_grid_m, far_m))
    return tuple(grids)


def shadow_map_bytes(scenario: Scenario, model: PropagationModel | None) -> int:
    """Bytes of the maps of shadowing, the largest arrays of a wide network."""
    points = [grid.points(scenario) for grid in shadow_grids(scenario, model) if grid is not None]
    return 4 * _n_site(scenario) * sum(side**2 for side in points)


def _n_site(scenario: Scenario) -> int:
    """Sites with maps of their own: those of cells, then sources of interference."""
    return scenario.layout.n_site + len(scenario.sources)


def build_propagation(scenario: Scenario, seed: int, own: OwnPropagation = None) -> Propagation:
    """The maps and constants that a network's links share; `own` takes the place of the scenario's `layout.path_loss`.

    Raises:
        PluginError: A function of the user's own cannot be loaded or compiled.
    """
    model = own_model(own if own is not None else scenario.layout.path_loss)
    radio, frequency_ghz, n_site = scenario.radio, scenario.carrier.frequency_ghz, _n_site(scenario)
    environment = ENVIRONMENTS[scenario.layout.environment]
    if not radio.shadowing:
        environment = environment._replace(sigma_los_db=0.0, sigma_nlos_db=0.0, sigma_o2i_db=0.0)

    def drawn_map(grid: ShadowGrid | None, purpose: int, variant: int, exponent: float) -> Map:
        if grid is None:
            return flat_map(n_site)
        points = grid.points(scenario)
        return build_map(seed, purpose, variant, n_site, points, *grid, exponent)

    los, nlos, o2i = shadow_grids(scenario, model)
    state = ShadowGrid(STATE_GRID_M, DECORRELATION_STATE_M) if radio.line_of_sight == "drawn" else None
    own_los_m, own_nlos_m, own_o2i_m = (float(far_m or 0.0) for far_m in own_decorrelations_m(model))
    path_loss, los_probability, shadow_sd_db = (
        (model.path_loss, model.los_probability, model.shadow_sd_db) if model else (None, None, None)
    )
    return Propagation(
        environment=environment,
        h_bs_m=scenario.layout.bs_height_m,
        frequency_ghz=frequency_ghz,
        by_building=radio.wall_loss == "by-building",
        state_sharpness=math.sqrt(20.0 * frequency_ghz * 1e9 / SPEED_OF_LIGHT_MPS)
        if radio.soft_line_of_sight
        else _HARD,
        least_sight=1.0 if radio.line_of_sight == "always" else 0.0,
        most_sight=0.0 if radio.line_of_sight == "never" else 1.0,
        state=drawn_map(state, LOS, 0, SMOOTH),
        los=drawn_map(los, SHADOWING, 0, EXPONENTIAL),
        nlos=drawn_map(nlos, SHADOWING, 1, EXPONENTIAL),
        o2i=drawn_map(o2i, SHADOWING, _O2I_VARIANT, EXPONENTIAL),
        o2i_mapped=o2i is not None,
        own_decorrelation_los_m=own_los_m,
        own_decorrelation_nlos_m=own_nlos_m,
        own_decorrelation_o2i_m=own_o2i_m,
        own_path_loss=path_loss is not None,
        own_los_probability=los_probability is not None,
        own_shadow_sd=radio.shadowing and shadow_sd_db is not None,
        path_loss=function_or_none(path_loss, PATH_LOSS_SIGNATURE),
        los_probability=function_or_none(los_probability, LOS_PROBABILITY_SIGNATURE),
        shadow_sd_db=function_or_none(shadow_sd_db, SHADOW_SD_SIGNATURE),
    )


@bare_kernel
def high_ue_term(d_2d_m: float, h_ut_m: float) -> float:
    """C(d_2D, h_UT) of TR 38.901 Table 7.4.1-1 note 1: by how much more a UE above 13 m sees an urban macro site."""
    if d_2d_m <= SIGHT_M or h_ut_m <= 13.0:
        return 0.0
    return math.pow((h_ut_m - 13.0) / 10.0, 1.5) * 1.25 * (d_2d_m / 100.0) ** 3 * math.exp(-d_2d_m / 150.0)


@bare_kernel
def los_probability(d_2d_m: float, h_ut_m: float, environment: Environment) -> float:
    """Probability of line of sight, TR 38.901 Table 7.4.2-1; `d_2d_m` is the outdoor part of the distance."""
    if d_2d_m <= SIGHT_M:
        return 1.0
    near = SIGHT_M / d_2d_m
    probability = near + math.exp(-d_2d_m / environment.sight_decay_m) * (1.0 - near)
    if environment.over_roofs:
        probability *= 1.0 + high_ue_term(d_2d_m, h_ut_m)
    return probability


@bare_kernel
def los_path_loss_db(
    d_2d_m: float, frequency_ghz: float, h_bs_m: float, h_ut_m: float, h_e_m: float, environment: Environment
) -> float:
    """Path loss with line of sight, TR 38.901 Table 7.4.1-1, 10 m to 5 km, without shadowing.

    `h_e_m` is the height of the UE's surroundings: 1 m in streets, a roof's height for some high UEs (note 1).
    """
    d_3d_m = math.hypot(d_2d_m, h_bs_m - h_ut_m)
    breakpoint_m = 4.0 * (h_bs_m - h_e_m) * (h_ut_m - h_e_m) * frequency_ghz * 1e9 / SPEED_OF_LIGHT_MPS
    common_db = environment.los_db + 20.0 * math.log10(frequency_ghz)
    if d_2d_m <= breakpoint_m:
        return common_db + environment.los_slope_db * math.log10(d_3d_m)
    beyond_db = environment.breakpoint_db * math.log10(breakpoint_m**2 + (h_bs_m - h_ut_m) ** 2)
    return common_db + 40.0 * math.log10(d_3d_m) - beyond_db


@bare_kernel
def nlos_path_loss_db(
    d_2d_m: float, frequency_ghz: float, h_bs_m: float, h_ut_m: float, los_db: float, environment: Environment
) -> float:
    """Path loss without line of sight, TR 38.901 Table 7.4.1-1: never below `los_db`, that with line of sight."""
    nlos_db = (
        environment.nlos_db
        + environment.nlos_slope_db * math.log10(math.hypot(d_2d_m, h_bs_m - h_ut_m))
        + environment.nlos_frequency_db * math.log10(frequency_ghz)
        - environment.nlos_height_db * (h_ut_m - 1.5)
    )
    return max(los_db, nlos_db)


@bare_kernel
def wall_loss_db(frequency_ghz: float, high_loss: bool) -> float:
    """Mean loss through a building's outer wall, TR 38.901 Tables 7.4.3-1 and 7.4.3-2 (V17: IRR glass 23 + 0.3 f)."""
    concrete_db = 5.0 + 4.0 * frequency_ghz
    glass_db = 23.0 + 0.3 * frequency_ghz if high_loss else 2.0 + 0.2 * frequency_ghz
    glass_share = 0.7 if high_loss else 0.3
    passed = glass_share * 10 ** (-glass_db / 10.0) + (1.0 - glass_share) * 10 ** (-concrete_db / 10.0)
    return 5.0 - 10.0 * math.log10(passed)


@bare_kernel
def way_inside_m(seed: int, ue_id: int, by_building: bool) -> float:
    """d_2D-in of TR 38.901 7.4.3.1: how far behind the wall a UE sits, the smaller of two uniforms up to 25 m.

    With the loss of Table 7.4.3-3 it is one uniform.
    """
    way = uniform(seed, PENETRATION, ue_id, 1)
    return 25.0 * (min(way, uniform(seed, PENETRATION, ue_id, 2)) if by_building else way)


@bare_kernel
def penetration_loss_db(
    seed: int, ue_id: int, frequency_ghz: float, by_building: bool, high_loss_share: float
) -> float:
    """Loss into the building that one UE sits in, towards all sites: wall, way inside and the building's own spread.

    TR 38.901 7.4.3.1: 0.5 dB per metre inside; sd 4.4 dB (low loss) or 6.5 dB. Table 7.4.3-3, below 6 GHz and for comparison
    with older results: 20 dB for the wall, no spread.
    """
    inside_db = 0.5 * way_inside_m(seed, ue_id, by_building)
    if not by_building:
        return OLDER_WALL_LOSS_DB + inside_db
    high_loss = uniform(seed, PENETRATION, ue_id, 0) < high_loss_share
    sigma_db = 6.5 if high_loss else 4.4
    return wall_loss_db(frequency_ghz, high_loss) + inside_db + sigma_db * normal(seed, PENETRATION, ue_id, 3)


@bare_kernel
def car_loss_db(seed: int, ue_id: int) -> float:
    """Loss into the car that one UE sits in, TR 38.901 7.4.3.2: mean 9 dB, sd 5 dB."""
    return 9.0 + 5.0 * normal(seed, PENETRATION, ue_id, 3)


@bare_kernel
def floor_height_m(seed: int, ue_id: int) -> float:
    """Height of a UE in a building: floor U{1..U{4..8}} of 3 m each, 1.5 m above it (3D-UMa of TR 36.873)."""
    floors = _FEWEST_FLOORS + math.floor(
        (_MOST_FLOORS - _FEWEST_FLOORS + 1.0) * uniform(seed, PENETRATION, ue_id, 4)
    )
    floor = 1 + math.floor(floors * uniform(seed, PENETRATION, ue_id, 5))
    return 3.0 * (floor - 1) + 1.5


def indoor_heights_m(fixed_m: float | None) -> tuple[float, ...]:
    """All heights that UEs in buildings can have, evenly spaced: `fixed_m`, or those of `floor_height_m`."""
    return (fixed_m,) if fixed_m is not None else tuple(3.0 * floor + 1.5 for floor in range(_MOST_FLOORS))


@bare_kernel
def environment_height_m(d_2d_m: float, h_ut_m: float, level: float, floor: float) -> float:
    """h_E of a link of an urban macro cell from two uniform draws, TR 38.901 Table 7.4.1-1 note 1.

    1 m with probability 1 / (1 + C(d_2D, h_UT)), else one of 12 m, 15 m, … h_UT - 1.5 m.
    """
    if level * (1.0 + high_ue_term(d_2d_m, h_ut_m)) < 1.0 or h_ut_m < 13.5:
        return 1.0
    return 12.0 + 3.0 * math.floor(floor * (1.0 + math.floor((h_ut_m - 13.5) / 3.0)))


@bare_kernel
def los_share(field: float, probability: float, sharpness: float) -> float:
    """The soft state of a link between none (0) and line of sight (1), TR 38.901 7.6.3.3; one half on the edge.

    The edge is where a standard normal `field` meets the quantile of `probability`; the distance from it is taken in
    logits, which follow the normal's quantiles to a few per cent. At 3.5 GHz the middle half of the way takes 0.13
    standard deviations, some 3 m.
    """
    if probability >= 1.0 or probability <= 0.0:
        return probability
    below = min(max(0.5 * math.erfc(-field / math.sqrt(2.0)), 1e-9), 1.0 - 1e-9)
    distance = math.log(probability * (1.0 - below) / ((1.0 - probability) * below)) / _LOGITS_PER_SIGMA
    return 0.5 + math.atan(sharpness * distance) / math.pi


@bare_kernel
def site_gains(
    seed: int,
    ue_id: int,
    site: int,
    dx_m: float,
    dy_m: float,
    indoor: bool,
    h_ut_m: float,
    penetration_db: float,
    propagation: Propagation,
) -> tuple[float, float]:
    """Power gains of a link's states between one UE and one site, with line of sight and without, by their share; no antennas.

    Path loss, shadowing and penetration in linear scale. TR 38.901 7.6.3.3: the amplitudes of both states, share and
    sqrt(1 - share^2), have independent phases, so powers add.

    (dx, dy) leads from the site to the UE. In a building, sight is that of its outer wall, drawn once for UE and site,
    and so is shadowing: indoors it decorrelates over 7 m, the size of one room, and the UE keeps its place.
    """
    environment, h_bs_m, frequency_ghz = (
        propagation.environment,
        propagation.h_bs_m,
        propagation.frequency_ghz,
    )
    d_2d_m = max(math.hypot(dx_m, dy_m), MIN_D_2D_M)
    outside_m = max(d_2d_m - way_inside_m(seed, ue_id, propagation.by_building), 0.0) if indoor else d_2d_m
    if propagation.own_los_probability:
        probability = propagation.los_probability(outside_m, h_bs_m, h_ut_m, frequency_ghz)
        if not 0.0 <= probability <= 1.0:
            return math.nan, math.nan  # which stops the run, see `engine.answers`
    else:
        probability = los_probability(outside_m, h_ut_m, environment)
    probability = min(max(probability, propagation.least_sight), propagation.most_sight)
    h_e_m = 1.0
    if indoor:
        draw = _FIRST_SITE_DRAW + 4 * site
        if propagation.o2i_mapped:
            los_shadow = value_at(propagation.o2i, site, dx_m, dy_m)
        else:
            los_shadow = normal(seed, PENETRATION, ue_id, draw + _SHADOW_DRAW)
        nlos_shadow = los_shadow
        los_sd_db, nlos_sd_db = environment.sigma_o2i_db, environment.sigma_o2i_db
        share = 1.0 if uniform(seed, PENETRATION, ue_id, draw + _STATE_DRAW) < probability else 0.0
        if environment.over_roofs:
            h_e_m = environment_height_m(
                d_2d_m,
                h_ut_m,
                uniform(seed, PENETRATION, ue_id, draw + _LEVEL_DRAW),
                uniform(seed, PENETRATION, ue_id, draw + _FLOOR_DRAW),
            )
    else:
        state = value_at(propagation.state, site, dx_m, dy_m)
        share = los_share(state, probability, propagation.state_sharpness)
        los_shadow = value_at(propagation.los, site, dx_m, dy_m)
        nlos_shadow = value_at(propagation.nlos, site, dx_m, dy_m)
        los_sd_db, nlos_sd_db = environment.sigma_los_db, environment.sigma_nlos_db
    if propagation.own_shadow_sd:
        inside = 1.0 if indoor else 0.0
        los_sd_db = propagation.shadow_sd_db(d_2d_m, h_bs_m, h_ut_m, frequency_ghz, 1.0, inside)
        nlos_sd_db = propagation.shadow_sd_db(d_2d_m, h_bs_m, h_ut_m, frequency_ghz, 0.0, inside)
        if not (0.0 <= los_sd_db < math.inf and 0.0 <= nlos_sd_db < math.inf):
            return math.nan, math.nan
    if propagation.own_path_loss:
        d_3d_m = math.hypot(d_2d_m, h_bs_m - h_ut_m)
        los_db = propagation.path_loss(d_2d_m, d_3d_m, h_bs_m, h_ut_m, frequency_ghz, 1.0)
        nlos_db = propagation.path_loss(d_2d_m, d_3d_m, h_bs_m, h_ut_m, frequency_ghz, 0.0)
        if not (0.0 <= los_db <= MOST_LOSS_DB and 0.0 <= nlos_db <= MOST_LOSS_DB):
            return math.nan, math.nan
    else:
        los_db = los_path_loss_db(d_2d_m, frequency_ghz, h_bs_m, h_ut_m, h_e_m, environment)
        nlos_db = nlos_path_loss_db(d_2d_m, frequency_ghz, h_bs_m, h_ut_m, los_db, environment)
    los_db += los_sd_db * los_shadow + penetration_db
    nlos_db += nlos_sd_db * nlos_shadow + penetration_db
    los_power = share * share
    in_sight = los_power * math.exp(-_NEPER_PER_DB * los_db)
    blocked = (1.0 - los_power) * math.exp(-_NEPER_PER_DB * nlos_db)
    return in_sight, blocked
