"""The sections of a scenario: meaning, unit and bounds of each field; see `model`.

Every section is frozen, has a default for every field, and checks its fields against each other. `scenarios/*.toml` name the
source of each number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from itertools import combinations, pairwise
from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from ran_sim.scenario.five_qi import PACKET_DELAY_BUDGET_MS
from ran_sim.scenario.routes import MOST_M, MOST_S

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
PositiveMs = Annotated[float, Field(gt=0, le=MOST_S * 1e3)]
NotNegativeMs = Annotated[float, Field(ge=0, le=MOST_S * 1e3)]
PositiveS = Annotated[float, Field(gt=0, le=MOST_S)]
NotNegativeS = Annotated[float, Field(ge=0, le=MOST_S)]
LEAST_S: Final = (
    1e-3  # lower bound of times in denominators: far below any that makes sense, and far from overflow
)
LEAST_FACTOR: Final = 1e-6  # likewise, lower bound of a load above 0
Metres = Annotated[float, Field(ge=-MOST_M, le=MOST_M)]
Share = Annotated[float, Field(ge=0, le=1)]
PacketBytes = Annotated[int, Field(ge=1, le=65_535)]
Range = tuple[NotNegativeS, NotNegativeS]
Deviation = Annotated[float, Field(ge=0, le=100)]  # standard, in dB
Speed = Annotated[float, Field(ge=0, le=5000)]  # km/h
Percent = Annotated[float, Field(ge=0, le=100)]


def _known_5qi(value: int) -> int:
    if value not in PACKET_DELAY_BUDGET_MS:
        raise ValueError(f"one of {sorted(PACKET_DELAY_BUDGET_MS)} (TS 23.501 Table 5.7.4-1)")
    return value


FiveQi = Annotated[int, AfterValidator(_known_5qi)]
SliceId = Annotated[str, Field(pattern=r"^\d{1,3}-[0-9a-f]{6}$")]


MOST_PEAK: Final = (
    100_000  # over a day's mean: one in so many candidates at the day's highest rate becomes a session
)


# TS 38.101-1 Table 5.3.2-1: the widest carriers of FR1, in PRBs by subcarrier spacing in kHz. A narrower carrier can be a part of one.
MOST_PRB: Final[Mapping[int, int]] = {15: 270, 30: 273, 60: 135}


def _has_bool(value: Any) -> bool:
    """Whether a value, or something in a list or a table, is true or false."""
    if isinstance(value, list | tuple | Mapping):
        return any(map(_has_bool, value.values() if isinstance(value, Mapping) else value))
    return isinstance(value, bool)


def _kinds(annotation: Any) -> set[Any]:
    """The types that an annotation such as `tuple[float, ...] | None` is made of."""
    return {annotation}.union(*map(_kinds, get_args(annotation)))


@cache
def _takes_bools(section: type[BaseModel], name: str) -> bool:
    """Whether a field may hold true or false, itself or in sections of its own."""
    kinds = _kinds(section.model_fields[name].annotation)
    return any(kind is bool or (isinstance(kind, type) and issubclass(kind, BaseModel)) for kind in kinds)


class Section(BaseModel):
    """A part of a scenario."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Python counts true as 1; TOML does not."""
        if _has_bool(value) and not _takes_bools(cls, str(info.field_name)):
            raise ValueError("anything but true and false")
        return value


class Carrier(Section):
    """One downlink carrier, the same in every cell (reuse 1)."""

    frequency_ghz: float = Field(
        default=3.5, ge=0.5, le=6.0
    )  # the range of TR 38.901's UMa that is used here
    bandwidth_prb: int = Field(default=51, ge=11, le=273)  # 51 = 20 MHz at 30 kHz (TS 38.101-1 Table 5.3.2-1)
    scs_khz: Literal[15, 30, 60] = 30
    mcs_table: Literal[1, 2] = 2  # and CQI table: up to 64QAM, up to 256QAM (TS 38.214 5.1.3.1, 5.2.2.1)
    noise_figure_db: float = Field(default=9.0, ge=0.0, le=100.0)

    @model_validator(mode="after")
    def _is_a_carrier(self) -> Self:
        most = MOST_PRB[self.scs_khz]
        if self.bandwidth_prb > most:
            raise ValueError(
                f"bandwidth_prb at most {most} at {self.scs_khz} kHz (TS 38.101-1 Table 5.3.2-1), not {self.bandwidth_prb}"
            )
        return self


def _of_environment(uma: float, umi: float) -> Callable[[dict[str, Any]], float]:
    """Default of a field of `Layout` that depends on its environment."""
    return lambda fields: umi if fields.get("environment") == "umi" else uma


class Layout(Section):
    """Sites on a hexagonal grid, or wherever `positions_m` says; sectors look to 30, 150 and 270 degrees.

    Fields that depend on the environment have the value of TR 38.901 Table 7.2-1, unless one is given.
    """

    environment: Literal["uma", "umi"] = "uma"  # urban macro, or micro in street canyons
    sites: Literal[1, 7, 19] = 7
    positions_m: Annotated[tuple[tuple[Metres, Metres], ...], Field(min_length=1, max_length=100)] | None = (
        None  # [x, y] of every site in place of the grid, without wrap-around; `isd_m` is the width of a home area
    )
    sectors: Literal[1, 3] = 3  # 1 = one omnidirectional cell per site
    isd_m: float = Field(default_factory=_of_environment(500.0, 200.0), ge=100.0, le=5000.0)
    path_loss: str | None = Field(
        default=None, pattern=r"^.+\.py:\w+$"
    )  # path/to/file.py:name, a function or a whole model in place of TR 38.901's, see `own_propagation`
    wrap_around: bool = True  # of a grid; one site has no neighbours to wrap to
    bs_height_m: float = Field(default_factory=_of_environment(25.0, 10.0), ge=3.0, le=150.0)
    tx_power_dbm: float = Field(default=44.0, ge=0.0, le=60.0)  # total over the carrier
    antenna_elements: int = Field(default=10, ge=1, le=32)  # of a cell's column, TR 38.901 Table 7.8-1
    element_spacing_wavelengths: float = Field(default=0.5, ge=0.1, le=1.0)  # along the column
    tilt_deg: float = Field(default=12.0, ge=0.0, le=45.0)  # electrical, below the horizon
    min_distance_m: float = Field(  # between a site and a UE that starts a session
        default_factory=_of_environment(35.0, 10.0), ge=10.0, le=50.0
    )

    @model_validator(mode="after")
    def _sites_do_not_overlap(self) -> Self:
        for (i, one), (j, other) in combinations(enumerate(self.positions_m or ()), 2):
            if math.dist(one, other) < self.min_distance_m:
                raise ValueError(
                    f"positions_m at least min_distance_m = {self.min_distance_m:g} m apart, not sites {i} and {j}"
                )
        return self

    @model_validator(mode="after")
    def _home_areas_have_room(self) -> Self:
        if self.min_distance_m >= self.isd_m / 2:
            raise ValueError(f"min_distance_m below half of isd_m, {self.isd_m / 2:g}, where UEs are dropped")
        return self

    @property
    def n_site(self) -> int:
        return self.sites if self.positions_m is None else len(self.positions_m)


class Radio(Section):
    """Slow radio, fast fading and channel reports."""

    tick_ms: PositiveMs = 50.0  # mobility, path gain, measurements, serving cells and sessions
    fading_grid_ms: PositiveMs = 2.0
    k_interferers: int = Field(default=4, ge=0, le=20)  # with fading of their own; the rest is flat
    rx_branches: int = Field(default=2, ge=1, le=4)  # maximum ratio combining of the serving cell
    delay_spread_ns: float = Field(default=100.0, ge=0.0, le=1e6)
    fading_profile: Literal["exponential", "tdl-a", "tdl-b", "tdl-c"] = "exponential"  # power over delay
    shadowing: bool = True  # off: the mean path loss, for tests against closed forms
    line_of_sight: Literal["drawn", "always", "never"] = "drawn"  # the last two hold for every link
    soft_line_of_sight: bool = (
        True  # TR 38.901 7.6.3.3 at its edges; off: sight or none, as in 3GPP's calibrations
    )
    angular_spread: bool = True  # of what a site sends, TR 38.901 7.5; off: it leaves towards the UE alone, as in 3GPP's calibrations
    min_doppler_hz: float = Field(default=1.0, ge=0.0, le=1e5)  # things move around a UE that stands still
    indoor_share: Share = 0.5
    indoor_height_m: Annotated[float, Field(ge=1.5, le=22.5)] | None = (
        None  # of UEs in buildings; None: on floors of houses with 4 to 8 of them, as in 3D-UMa of TR 36.873
    )
    wall_loss: Literal["by-building", "below-6-ghz"] = (
        "by-building"  # low-loss and high-loss buildings of TR 38.901 7.4.3.1, or its older 20 dB (Table 7.4.3-3)
    )
    high_loss_share: Share = 0.2  # of the buildings, if walls are by building; the others are low-loss
    cqi_period_ms: PositiveMs = 10.0
    cqi_delay_ms: NotNegativeMs = 4.0
    cqi_error_db: Deviation = 0.5
    measurement_error_db: Deviation = 1.0  # of one RSRP sample before the layer-3 filter


class Mobility(Section):
    """Random waypoint at constant speed within a session, where UEs in buildings keep their place; or routes."""

    model: Literal["waypoint", "routes"] = "waypoint"
    routes_file: str | None = None  # CSV, see `routes`; UE rows that are not in it move by waypoints
    routes_end: Literal["stay", "loop"] = "stay"  # after a route's last row
    speeds_kmh: tuple[Speed, ...] = (3.0, 30.0)
    speed_shares: tuple[Share, ...] = (0.7, 0.3)  # of the outdoor UEs
    indoor_speed_kmh: Speed = 3.0  # for the Doppler spread only
    car_from_kmh: Positive | None = None  # UEs this fast sit in cars, with the loss of TR 38.901 7.4.3.2

    @model_validator(mode="after")
    def _shares_match_speeds(self) -> Self:
        if len(self.speeds_kmh) != len(self.speed_shares) or abs(sum(self.speed_shares) - 1) > 1e-9:
            raise ValueError("one share per speed, adding up to 1")
        if (self.model == "routes") != (self.routes_file is not None):
            raise ValueError('routes_file with model = "routes", and only with it')
        return self


class HandoverSection(Section):
    """TS 38.331: event A3 (5.5.4.4), radio link failure (5.3.10), and the times of a handover; thresholds of TR 36.839."""

    a3_offset_db: float = Field(default=2.0, ge=-15.0, le=15.0)
    hysteresis_db: float = Field(default=1.0, ge=0.0, le=15.0)
    ttt_ms: NotNegativeMs = 100.0
    preparation_ms: NotNegativeMs = 50.0
    execution_ms: NotNegativeMs = 40.0  # nothing is scheduled to the UE
    reestablishment_ms: NotNegativeMs = 200.0  # interruption after a failure, if a cell is found at once
    l3_filter_k: int = Field(default=1, ge=0, le=19)
    qout_db: float = Field(
        default=-8.0, ge=-20.0, le=10.0
    )  # SINR after combining; below it a link is out of sync
    qin_db: float = Field(default=-6.0, ge=-20.0, le=10.0)  # above it a link is in sync, and a cell is found
    qout_window_ms: PositiveMs = 200.0  # that the SINR is averaged over
    qin_window_ms: PositiveMs = 100.0
    n310: int = Field(
        default=1, ge=1, le=20
    )  # out-of-sync indications in a row that start T310, one per tick
    n311: int = Field(default=1, ge=1, le=10)  # in-sync ones that stop it
    t310_ms: NotNegativeMs = 1000.0
    ping_pong_s: PositiveS = 1.0  # a shorter stay is short; a return after it counts as ping-pong
    mro_recent_s: PositiveS = (
        5.0  # a failure is blamed on a handover for this long; TS 38.300 leaves the time open
    )

    @model_validator(mode="after")
    def _in_sync_is_better_than_out(self) -> Self:
        if self.qin_db < self.qout_db:
            raise ValueError(f"qin_db at least qout_db, {self.qout_db:g}")
        return self


LEARNED_NAME: Final = "learned"  # of a scheduler: the first of its models, in all cells


class Scheduler(Section):
    name: Literal["rr", "pf", "max-ci", "m-lwdf", "exp", "log", "edf", "learned"] = "pf"  # see `metrics`
    metric: str | None = Field(
        default=None, pattern=r"^.+\.py:\w+$"
    )  # path/to/file.py:function in place of `name`
    pf_window_ms: PositiveMs = 100.0
    max_dci: int = Field(default=4, ge=1, le=16)  # per cell and slot
    class_weight: dict[FiveQi, Positive] = Field(default={})  # default weight by 5QI; 1 where missing
    # Folders of model packages: learned metrics that cells can change to while they run. "learned" begins with the first.
    models: tuple[Annotated[str, Field(min_length=1)], ...] = Field(default=(), max_length=8)
    # Folder of a model package that predicts each UE's sub-bands from its last reports, see `link.prediction`. Without one a slot uses
    # the newest report as it is.
    channel_model: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _learned_has_a_model(self) -> Self:
        if self.name == LEARNED_NAME and not self.models:
            raise ValueError('scheduler.models = ["path/to/a model package", ...] where name = "learned"')
        return self


class Energy(Section):
    """Power model of TR 38.864, category 1; `ran_sim.energy.power` describes it."""

    reference_set: Literal[1, 2] = (
        1  # TR 38.864 Table 5.1-1: 1 = 64 TxRU, 100 MHz, 55 dBm; 2 = 32, 20 MHz, 49 dBm
    )
    # TR 38.864 knows relative power only. Our own choice, to be replaced by that of one's hardware: full load of set 1,
    # 280 units, is the 224 W that one 20 W macro transceiver draws in the EARTH model (Auer et al. 2011).
    unit_w: float = Field(default=0.8, gt=0.0, le=1e6)
    ssb_period_ms: Literal[0, 5, 10, 20, 40, 80, 160] = 20  # TS 38.331 ssb-periodicityServingCell; 0 = no SSB
    off_units: float = Field(default=1.0, ge=0.0, le=1e6)  # our choice, as deep sleep: no source has a figure
    off_transition_ms: NotNegativeMs = (
        1000.0  # way in plus way out; our choice, longer than deep sleep's 50 ms: no source has a figure
    )


class SliceQuota(Section):
    """RRMPolicyRatio of one slice, TS 28.541 4.3.36, in percent of a cell's downlink PRBs."""

    min_pct: Percent = 0.0  # guaranteed when needed, lent when idle
    max_pct: Percent = 100.0  # cap
    dedicated_pct: Percent = 0.0  # never lent

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.dedicated_pct <= self.min_pct <= self.max_pct:
            raise ValueError("dedicated_pct <= min_pct <= max_pct")
        return self


class LoadProfile(Section):
    """The number of sessions over the day: piecewise linear, and the same every day."""

    points: tuple[tuple[Annotated[float, Field(ge=0, lt=24)], Annotated[float, Field(ge=0, le=100)]], ...] = (
        Field(min_length=1, max_length=1000)
    )  # [hour, factor on the mean number of sessions that `load` and the classes make]
    day_s: float = Field(default=86_400.0, ge=1.0, le=MOST_S)  # RAN time that a day takes

    @model_validator(mode="after")
    def _hours_ascend(self) -> Self:
        hours = [hour for hour, _ in self.points]
        if any(b <= a for a, b in pairwise(hours)):
            raise ValueError(f"points in the order of their hours, each hour once, not {hours}")
        if any(0 < factor < LEAST_FACTOR for _, factor in self.points):
            raise ValueError(f"factors of 0, or {LEAST_FACTOR:g} and up")
        if self.peak > MOST_PEAK * self.mean:
            raise ValueError(
                f"a highest factor of at most {MOST_PEAK} times the day's mean, not {self.peak:g} with a mean of {self.mean:.3g}"
            )
        return self

    @property
    def peak(self) -> float:
        return max(factor for _, factor in self.points)

    @property
    def mean(self) -> float:
        """Corners of the day; midnight lies on the line from the last point to the first."""
        first_hour, first_factor = self.points[0]
        round_the_clock = pairwise((*self.points, (first_hour + 24.0, first_factor)))
        return sum((b - a) * (x + y) / 2.0 for (a, x), (b, y) in round_the_clock) / 24.0


class Reports(Section):
    periods_ms: Annotated[
        tuple[Annotated[int, Field(ge=10, le=int(MOST_S * 1e3))], ...], Field(min_length=1)
    ] = (100, 1000)
    delay_ms: NotNegativeMs = 0.0  # from the end of the granularity period until the report leaves the node
    rounding: bool = (
        True  # to the resolutions of TS 28.552 and the steps of TS 38.133; off shows exact values
    )
    max_report_cells: int = Field(
        default=8, ge=1, le=8
    )  # neighbours in a UE's measurement report, besides its serving cell (TS 38.331 maxReportCells)

    @model_validator(mode="after")
    def _periods_differ(self) -> Self:
        if len(set(self.periods_ms)) < len(self.periods_ms):
            raise ValueError(f"periods_ms that differ, not {list(self.periods_ms)}")
        return self


class Control(Section):
    delay_ms: PositiveMs = 10.0  # from the accepted action to its first slot


class Run(Section):
    duration_s: PositiveS = 60.0
    warmup_s: NotNegativeS = 2.0  # simulated but not counted
