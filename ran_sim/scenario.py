"""Scenarios: the world that a run takes place in, read from TOML and checked once.

A scenario is frozen; `with_overrides` gives a changed copy that is checked again. Random draws need the scenario and
a seed, nothing else. Fields carry their units; what a field means is said beside it, where the number came from in
`scenarios/*.toml`.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable, Mapping
from itertools import chain, combinations, pairwise, repeat
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from ran_sim.routes import MOST_M, MOST_S, load_routes

SCENARIO_FOLDER: Final = Path(__file__).parent / "scenarios"

# TS 23.501 V17 Table 5.7.4-1: packet delay budget in ms between the UE and the UPF.
PACKET_DELAY_BUDGET_MS: Final[Mapping[int, float]] = {
    # GBR, then non-GBR, then delay-critical GBR
    1: 100, 2: 150, 3: 50, 4: 300, 65: 75, 66: 100, 67: 100, 71: 150, 72: 300, 73: 300, 74: 500, 76: 500,
    5: 100, 6: 300, 7: 100, 8: 300, 9: 300, 10: 1100, 69: 60, 70: 200, 79: 50, 80: 10,
    82: 10, 83: 10, 84: 30, 85: 5, 86: 5, 87: 5, 88: 10, 89: 15, 90: 20,
}  # fmt: skip
# What the core network takes of it (same table, notes): 20 ms, 10 ms for mission critical classes (note 7), less for
# those that live near the edge.
CORE_DELAY_MS: Final[Mapping[int, float]] = {
    65: 10,
    69: 10,
    70: 10,
    80: 2,
    82: 1,
    83: 2,
    84: 5,
    85: 2,
    86: 2,
    87: 1,
    88: 1,
    89: 1,
    90: 1,
}
DEFAULT_CORE_DELAY_MS: Final = 20.0
VOICE_FRAME_S: Final = 0.02  # of the speech codec
GBR_5QI: Final = frozenset({1, 2, 3, 4, 65, 66, 67, 71, 72, 73, 74, 76, *range(82, 91)})
DELAY_BOUND_5QI: Final = frozenset({1, 2, 3, 4, 7, 65, 66, 67, 71, 72, 73, 74, 76, 79, 80, *range(82, 91)})

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
PositiveMs = Annotated[float, Field(gt=0, le=MOST_S * 1e3)]
NotNegativeMs = Annotated[float, Field(ge=0, le=MOST_S * 1e3)]
PositiveS = Annotated[float, Field(gt=0, le=MOST_S)]
NotNegativeS = Annotated[float, Field(ge=0, le=MOST_S)]
Metres = Annotated[float, Field(ge=-MOST_M, le=MOST_M)]
Share = Annotated[float, Field(ge=0, le=1)]
PacketBytes = Annotated[int, Field(ge=1, le=65_535)]
Range = tuple[NotNegativeS, NotNegativeS]
Percent = Annotated[float, Field(ge=0, le=100)]
SliceId = Annotated[str, Field(pattern=r"^\d{1,3}-[0-9a-f]{6}$")]


class ScenarioError(ValueError):
    """A scenario that cannot be used: one line with the file, the field, what it holds and what it should hold."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Carrier(_Section):
    """One downlink carrier, the same in every cell (reuse 1)."""

    frequency_ghz: float = Field(
        default=3.5, ge=0.5, le=6.0
    )  # the range of TR 38.901's UMa that is used here
    bandwidth_prb: int = Field(default=51, ge=11, le=273)  # 51 = 20 MHz at 30 kHz (TS 38.101-1 Table 5.3.2-1)
    scs_khz: Literal[15, 30, 60] = 30
    mcs_table: Literal[1, 2] = 2  # and CQI table: up to 64QAM, up to 256QAM (TS 38.214 5.1.3.1, 5.2.2.1)
    noise_figure_db: NotNegative = 9.0


def _of_environment(uma: float, umi: float) -> Callable[[dict[str, Any]], float]:
    """Default of a field of `Layout` that depends on its environment."""
    return lambda fields: umi if fields.get("environment") == "umi" else uma


class Layout(_Section):
    """Sites on a hexagonal grid, or wherever `positions_m` says; sectors look to 30, 150 and 270 degrees.

    What depends on the environment has its value of TR 38.901 Table 7.2-1, unless it is given.
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
    )  # path/to/file.py:function in place of TR 38.901's, see `propagation`
    wrap_around: bool = True  # of a grid; one site has no neighbours to wrap to
    bs_height_m: float = Field(default_factory=_of_environment(25.0, 10.0), ge=3.0, le=150.0)
    tx_power_dbm: float = Field(default=44.0, ge=0.0, le=60.0)  # total over the carrier
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

    @property
    def n_site(self) -> int:
        return self.sites if self.positions_m is None else len(self.positions_m)


class Radio(_Section):
    """Slow radio, fast fading and channel reports."""

    tick_ms: PositiveMs = 50.0  # mobility, path gain, measurements, serving cells and sessions
    fading_grid_ms: PositiveMs = 2.0
    k_interferers: int = Field(default=4, ge=0, le=20)  # with fading of their own; the rest is flat
    rx_branches: int = Field(default=2, ge=1, le=4)  # maximum ratio combining of the serving cell
    delay_spread_ns: NotNegative = 100.0
    fading_profile: Literal["exponential", "tdl-a", "tdl-b", "tdl-c"] = "exponential"  # power over delay
    shadowing: bool = True  # off: the mean path loss, for tests against closed forms
    line_of_sight: Literal["drawn", "always", "never"] = "drawn"  # the last two hold for every link
    soft_line_of_sight: bool = (
        True  # TR 38.901 7.6.3.3 at its edges; off: sight or none, as in 3GPP's calibrations
    )
    min_doppler_hz: NotNegative = 1.0  # things move around a UE that stands still
    indoor_share: Share = 0.5
    high_loss_share: Share = 0.2  # of the buildings, TR 38.901 7.4.3.1; the others are low-loss
    cqi_period_ms: PositiveMs = 10.0
    cqi_delay_ms: NotNegativeMs = 4.0
    cqi_error_db: NotNegative = 0.5  # standard deviation
    measurement_error_db: NotNegative = 1.0  # standard deviation of one RSRP sample before the layer-3 filter


class Mobility(_Section):
    """Random waypoint at constant speed within a session, where UEs in buildings keep their place; or routes."""

    model: Literal["waypoint", "routes"] = "waypoint"
    routes_file: str | None = None  # CSV, see `routes`; UE slots that are not in it move by waypoints
    routes_end: Literal["stay", "loop"] = "stay"  # after a route's last row
    speeds_kmh: tuple[NotNegative, ...] = (3.0, 30.0)
    speed_shares: tuple[Share, ...] = (0.7, 0.3)  # of the outdoor UEs
    indoor_speed_kmh: NotNegative = 3.0  # for the Doppler spread only
    car_from_kmh: Positive | None = None  # UEs this fast sit in cars, with the loss of TR 38.901 7.4.3.2

    @model_validator(mode="after")
    def _shares_match_speeds(self) -> Self:
        if len(self.speeds_kmh) != len(self.speed_shares) or abs(sum(self.speed_shares) - 1) > 1e-9:
            raise ValueError("one share per speed, adding up to 1")
        if (self.model == "routes") != (self.routes_file is not None):
            raise ValueError('routes_file with model = "routes", and only with it')
        return self


class Handover(_Section):
    """TS 38.331: event A3 (5.5.4.4), radio link failure (5.3.10), and what a handover costs; thresholds of TR 36.839."""

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


class Scheduler(_Section):
    name: Literal["rr", "pf", "max-ci", "m-lwdf", "exp", "log", "edf"] = "pf"  # see `metrics`
    metric: str | None = Field(
        default=None, pattern=r"^.+\.py:\w+$"
    )  # path/to/file.py:function in place of `name`
    pf_window_ms: PositiveMs = 100.0
    max_dci: int = Field(default=4, ge=1, le=16)  # per cell and slot
    class_weight: dict[int, Positive] = {}  # default weight by 5QI; 1 where missing


# What `model` may be called by, and the fields it takes beside those that every class has: needed, then possible.
_MODEL_FIELDS: Final[Mapping[str, tuple[frozenset[str], frozenset[str]]]] = {
    "full-buffer": (frozenset(), frozenset()),
    "poisson-file": (frozenset({"rate_mbps", "file_kb"}), frozenset()),
    "video": (frozenset({"rate_mbps", "fps"}), frozenset()),
    "xr": (frozenset({"rate_mbps", "fps", "jitter_ms"}), frozenset()),
    "voip": (frozenset(), frozenset({"packet_bytes", "sid_bytes", "voice_activity", "talk_spurt_s"})),
    "streaming": (frozenset({"rate_mbps", "segment_s", "start_s"}), frozenset({"resume_s"})),
    "urllc": (frozenset({"packet_bytes", "interval_ms", "arrivals"}), frozenset({"jitter_ms"})),
    "cbr": (frozenset({"rate_mbps", "packet_bytes"}), frozenset()),
    "trace": (frozenset({"trace"}), frozenset({"trace_once"})),
    "plugin": (frozenset(), frozenset({"plugin"})),  # or an argument of `Engine`
}
_MODEL_ALIASES: Final[Mapping[str, str]] = {"ftp3": "poisson-file"}  # FTP model 3 of TR 36.889 A.1.1
_OPTIONAL_FIELDS: Final = frozenset().union(
    *(needed | possible for needed, possible in _MODEL_FIELDS.values())
)


def _model_name(name: str) -> str:
    name = _MODEL_ALIASES.get(name, name)
    if name not in _MODEL_FIELDS:
        raise ValueError(f"one of {', '.join(sorted({*_MODEL_FIELDS, *_MODEL_ALIASES}))}")
    return name


Model = Annotated[str, AfterValidator(_model_name)]


class Traffic(_Section):
    """One class of traffic and the UE slots that carry it; every session in such a slot is of this class."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    five_qi: int
    model: Model
    ues: int = Field(ge=1, le=10_000)  # UE slots
    slice: SliceId = "1-000001"
    gbr_mbps: Positive | None = None  # guaranteed flow bit rate of each UE; GBR resource types only
    # What a model needs of the following is in `_MODEL_FIELDS`; what the models do, in `traffic`.
    rate_mbps: Positive | None = None  # mean offered rate while a session lasts
    file_kb: Positive | None = None  # poisson-file: size of one file, 10^3 bytes
    fps: Positive | None = None  # video and xr: frames per second
    jitter_ms: NotNegativeMs | None = (
        None  # xr, urllc: standard deviation of the arrival time, truncated at +-2
    )
    packet_bytes: PacketBytes | None = None  # urllc, cbr: of every packet; voip: of a voice frame, else 40
    interval_ms: PositiveMs | None = None  # urllc: between packets, their mean if `arrivals` is "poisson"
    arrivals: Literal["periodic", "poisson"] | None = None  # urllc
    sid_bytes: PacketBytes | None = None  # voip: of a silence descriptor, else 15
    voice_activity: float | None = Field(default=None, gt=0, le=1)  # voip: share of the time, else 0.5
    talk_spurt_s: float | None = Field(default=None, ge=VOICE_FRAME_S, le=MOST_S)  # voip: mean, else 2
    segment_s: PositiveS | None = None  # streaming: content in one segment, which arrives as a whole
    start_s: PositiveS | None = (
        None  # streaming: content that playing starts with; the server sends it at once
    )
    resume_s: PositiveS | None = (
        None  # streaming: content that playing goes on with after a stall, else start_s
    )
    trace: str | None = Field(default=None, min_length=1)  # trace: CSV file of time_ms,bytes, see `traces`
    trace_once: bool | None = None  # trace: every packet of the file once instead of again and again
    plugin: str | None = Field(default=None, pattern=r"^.+\.py:\w+$")  # plugin: path/to/file.py:function
    follows_load: bool = (
        False  # poisson-file: the files' rate follows `load_profile`, for classes always in session
    )
    session_s: Range = (10.0, 60.0)  # uniform
    idle_s: NotNegativeS = (
        35.0  # mean of the exponential pause between sessions at load 1; 0 = always in session
    )
    radio_budget_ms: PositiveMs | None = None  # packet delay budget of the radio; from the 5QI if missing

    @model_validator(mode="after")
    def _fields_match_model(self) -> Self:
        if self.five_qi not in PACKET_DELAY_BUDGET_MS:
            raise ValueError(f"five_qi one of {sorted(PACKET_DELAY_BUDGET_MS)} (TS 23.501 Table 5.7.4-1)")
        if self.gbr_mbps is not None and self.five_qi not in GBR_5QI:
            raise ValueError(f"no gbr_mbps with the non-GBR 5QI {self.five_qi} (TS 23.501 Table 5.7.4-1)")
        needed, possible = _MODEL_FIELDS[self.model]
        present = {key for key in _OPTIONAL_FIELDS if getattr(self, key) is not None}
        if not needed <= present <= needed | possible:
            also = f", perhaps {sorted(possible)}," if possible else ""
            raise ValueError(
                f"exactly {sorted(needed)}{also} with model {self.model!r}, not {sorted(present)}"
            )
        if self.follows_load and (self.model != "poisson-file" or self.idle_s > 0):
            raise ValueError(
                "follows_load with model 'poisson-file' and idle_s = 0: the sessions of others follow"
            )
        if self.arrivals == "poisson" and self.jitter_ms is not None:
            raise ValueError("no jitter_ms with Poisson arrivals, which have no rhythm to miss")
        if self.model == "voip" and self.silence_s < VOICE_FRAME_S and self.activity < 1:
            raise ValueError(
                f"silences of {VOICE_FRAME_S:g} s or more: a longer talk_spurt_s, a lower voice_activity"
            )
        if not 0 < self.session_s[0] <= self.session_s[1]:
            raise ValueError("session_s = [shortest > 0, longest]")
        return self

    @property
    def delay_bound(self) -> bool:
        """Whether the class has a delay budget that its packets are worthless after; `load` scales these.

        Whatever their 5QI, a full buffer has none, for it has no packets, nor has a stream that is played from a buffer: a
        late segment is still shown.
        """
        return self.five_qi in DELAY_BOUND_5QI and self.model not in ("full-buffer", "streaming")

    @property
    def activity(self) -> float:
        """voip: share of the time with speech; NGMN's evaluation methodology, Annex B: 0.5."""
        return 0.5 if self.voice_activity is None else self.voice_activity

    @property
    def talk_s(self) -> float:
        """voip: mean talk spurt; NGMN's evaluation methodology, Annex B: 2 s."""
        return 2.0 if self.talk_spurt_s is None else self.talk_spurt_s

    @property
    def silence_s(self) -> float:
        """voip: mean silence."""
        return self.talk_s * (1 - self.activity) / self.activity

    @property
    def budget_ms(self) -> float:
        """The radio's share of the packet delay budget: TS 23.501 5.7.3.4, PDB minus the core's part."""
        if self.radio_budget_ms is not None:
            return self.radio_budget_ms
        return PACKET_DELAY_BUDGET_MS[self.five_qi] - CORE_DELAY_MS.get(self.five_qi, DEFAULT_CORE_DELAY_MS)

    @property
    def busy_share(self) -> float:
        """Long-run share of the time in which a UE slot of this class holds a session, at load 1."""
        session_s = (self.session_s[0] + self.session_s[1]) / 2
        return session_s / (session_s + self.idle_s)


class Energy(_Section):
    """Power model of TR 38.864, category 1; what it is and what is left out: `ran_sim.energy`."""

    reference_set: Literal[1, 2] = (
        1  # TR 38.864 Table 5.1-1: 1 = 64 TxRU, 100 MHz, 55 dBm; 2 = 32, 20 MHz, 49 dBm
    )
    # TR 38.864 knows relative power only. Our own choice, to be replaced by that of one's hardware: full load of set 1,
    # 280 units, is the 224 W that one 20 W macro transceiver draws in the EARTH model (Auer et al. 2011).
    unit_w: Positive = 0.8
    ssb_period_ms: Literal[0, 5, 10, 20, 40, 80, 160] = 20  # TS 38.331 ssb-periodicityServingCell; 0 = no SSB
    off_units: NotNegative = 1.0  # no source has it: as deep sleep
    off_transition_ms: NotNegativeMs = (
        1000.0  # way in plus way out; no source has it: longer than deep sleep's 50 ms
    )


class SliceQuota(_Section):
    """RRMPolicyRatio of one slice, TS 28.541 4.3.36, in percent of a cell's downlink PRBs."""

    min_pct: Percent = 0.0  # guaranteed when needed, lent when idle
    max_pct: Percent = 100.0  # cap
    dedicated_pct: Percent = 0.0  # never lent

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.dedicated_pct <= self.min_pct <= self.max_pct:
            raise ValueError("dedicated_pct <= min_pct <= max_pct")
        return self


class LoadProfile(_Section):
    """How the number of sessions goes over the day: straight from corner to corner, round the clock."""

    points: tuple[tuple[Annotated[float, Field(ge=0, lt=24)], Annotated[float, Field(ge=0, le=100)]], ...] = (
        Field(min_length=1, max_length=1000)
    )  # [hour, factor on the mean number of sessions that `load` and the classes make]
    day_s: PositiveS = 86_400.0  # RAN time that a day takes

    @model_validator(mode="after")
    def _hours_ascend(self) -> Self:
        hours = [hour for hour, _ in self.points]
        if any(b <= a for a, b in pairwise(hours)):
            raise ValueError(f"points in the order of their hours, each hour once, not {hours}")
        return self

    @property
    def peak(self) -> float:
        return max(factor for _, factor in self.points)


class Reports(_Section):
    periods_ms: Annotated[
        tuple[Annotated[int, Field(ge=10, le=int(MOST_S * 1e3))], ...], Field(min_length=1)
    ] = (100, 1000)
    delay_ms: NotNegativeMs = 0.0  # from the end of the granularity period until the report leaves the node
    rounding: bool = True  # to the resolutions of TS 28.552; off shows exact values


class Control(_Section):
    delay_ms: PositiveMs = 10.0  # from the accepted action to its first slot


class Run(_Section):
    duration_s: PositiveS = 60.0
    warmup_s: NotNegativeS = 2.0  # simulated but not counted


class Scenario(_Section):
    """The whole world of a run, apart from its seed."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    load: float = Field(default=1.0, gt=0.0)  # scales the mean number of delay-bound sessions
    carrier: Carrier = Carrier()
    layout: Layout = Layout()
    radio: Radio = Radio()
    mobility: Mobility = Mobility()
    handover: Handover = Handover()
    scheduler: Scheduler = Scheduler()
    traffic: tuple[Traffic, ...] = Field(min_length=1)
    energy: Energy = Energy()
    slices: dict[
        SliceId, SliceQuota
    ] = {}  # at the start, in every cell; the whole carrier is shared where missing
    load_profile: LoadProfile | None = None
    reports: Reports = Reports()
    control: Control = Control()
    run: Run = Run()

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        names = [traffic.name for traffic in self.traffic]
        if len(set(names)) != len(names):
            raise ValueError(f"different names in [[traffic]], not {names}")
        unknown = sorted(set(self.slices) - set(self.slice_names))
        if unknown:
            raise ValueError(
                f"slices among those of the traffic, {', '.join(self.slice_names)}, not {unknown[0]}"
            )
        guaranteed_pct = sum(quota.min_pct for quota in self.slices.values())
        if guaranteed_pct > 100:
            raise ValueError(f"min_pct of all slices to add up to 100 at most, not {guaranteed_pct:g}")
        busiest = max((t.busy_share for t in self.traffic if t.delay_bound), default=0.0)
        if self.load * busiest > 1:
            raise ValueError(
                f"load at most {1 / busiest:.3g}, where every UE slot is busy; for more load raise rate_mbps or idle_s and ues"
            )
        if self.load_profile is not None:
            loads = [self.busy_share(t) for t in self.traffic if t.idle_s > 0]
            if self.load_profile.peak * max(loads, default=0.0) >= 1:
                raise ValueError(
                    f"load_profile.points below {1 / max(loads):.3g}, where every UE slot is busy at this load"
                )
        if len({t.plugin for t in self.traffic if t.plugin is not None}) > 1:
            raise ValueError("one traffic plug-in for all classes; it is told which class it is asked for")
        for field, time_ms in (
            ("tick_ms", self.radio.tick_ms),
            ("fading_grid_ms", self.radio.fading_grid_ms),
        ):
            if abs(time_ms * 1e6 / self.slot_ns - round(time_ms * 1e6 / self.slot_ns)) > 1e-9:
                raise ValueError(f"radio.{field} a multiple of the slot of {self.slot_ns / 1e6:g} ms")
        if self.slots(self.radio.tick_ms) % self.slots(self.radio.fading_grid_ms):
            raise ValueError("radio.tick_ms a multiple of radio.fading_grid_ms")
        if max(1, self.slots(self.radio.cqi_delay_ms)) > max(1, self.slots(self.radio.cqi_period_ms)):
            raise ValueError(
                f"radio.cqi_delay_ms at most radio.cqi_period_ms, {self.radio.cqi_period_ms:g}, "
                "for one report is on its way at a time"
            )
        if self.radio.k_interferers >= self.n_cell > 1:
            raise ValueError(f"radio.k_interferers below the number of cells, {self.n_cell}")
        return self

    @property
    def n_cell(self) -> int:
        return self.layout.n_site * self.layout.sectors

    @property
    def files(self) -> dict[str, Path]:
        """The files that the world is read from beside the scenario itself, by field."""
        named = {"layout.path_loss": self.layout.path_loss, "scheduler.metric": self.scheduler.metric}
        named |= {f"traffic.{t.name}.plugin": t.plugin for t in self.traffic}
        files = {field: Path(name.rpartition(":")[0]) for field, name in named.items() if name is not None}
        traces = {f"traffic.{t.name}.trace": t.trace for t in self.traffic}
        tables = {"mobility.routes_file": self.mobility.routes_file, **traces}
        return files | {field: Path(name) for field, name in tables.items() if name is not None}

    @property
    def n_ue(self) -> int:
        """UE slots; how many hold a session varies over time."""
        return sum(traffic.ues for traffic in self.traffic)

    @property
    def slice_names(self) -> tuple[str, ...]:
        """S-NSSAI of every slice; the position is its dense id."""
        return tuple(sorted({traffic.slice for traffic in self.traffic}))

    @property
    def rbg_prb(self) -> int:
        """PRBs of a resource block group, TS 38.214 Table 5.1.2.2.1-1, configuration 1; the last may have fewer."""
        return next(
            size
            for limit, size in ((36, 2), (72, 4), (144, 8), (275, 16))
            if self.carrier.bandwidth_prb <= limit
        )

    @property
    def n_rbg(self) -> int:
        return -(-self.carrier.bandwidth_prb // self.rbg_prb)

    @property
    def slot_ns(self) -> int:
        return 15_000_000 // self.carrier.scs_khz

    def slots(self, time_ms: float) -> int:
        """The number of whole slots nearest to a time."""
        return round(time_ms * 1e6 / self.slot_ns)

    @property
    def traffic_of_ue(self) -> tuple[int, ...]:
        """Index into `traffic` of every UE slot; a class fills consecutive slots."""
        return tuple(chain.from_iterable(repeat(i, traffic.ues) for i, traffic in enumerate(self.traffic)))

    def busy_share(self, traffic: Traffic) -> float:
        """Long-run share of the time in which a UE slot of the class holds a session, at this scenario's load."""
        return traffic.busy_share * (self.load if traffic.delay_bound else 1.0)

    def mean_idle_s(self, traffic: Traffic) -> float:
        """Mean pause between two sessions at this scenario's load: the busy share at load 1 times the load."""
        if not traffic.delay_bound:
            return traffic.idle_s
        busy_share = traffic.busy_share * self.load
        return (traffic.session_s[0] + traffic.session_s[1]) / 2 * (1 - busy_share) / busy_share

    def with_overrides(self, overrides: Mapping[str, object]) -> Scenario:
        """A changed copy, checked like a file: `{"load": 1.5, "run.duration_s": 20, "traffic.gaming.rate_mbps": 4}`.

        A traffic class is addressed by its name; the fields of `[run]` and `name` of the scheduler, the most used,
        also by their last part alone (`duration_s`, `warmup_s`, `scheduler`).

        Raises:
            ScenarioError: a path leads nowhere or a value does not fit.
        """
        data: dict[str, Any] = self.model_dump(mode="python")
        # Another environment brings its own layout, where that was not given.
        data["layout"] = self.layout.model_dump(mode="python", exclude_unset=True)
        for path, value in overrides.items():
            _set(data, _SHORT.get(path, path), value)
        return _checked(data, source=f"{self.name} with overrides")


_SHORT: Final = {"duration_s": "run.duration_s", "warmup_s": "run.warmup_s", "scheduler": "scheduler.name"}


def load_scenario(name_or_path: str | Path) -> Scenario:
    """The scenario of a TOML file, or the one that ships under this name (`one-cell`, `seven-sites`).

    Raises:
        ScenarioError: no such file, not TOML, or a field that does not fit.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        shipped = sorted(file.stem for file in SCENARIO_FOLDER.glob("*.toml"))
        if str(name_or_path) not in shipped:
            raise ScenarioError(
                f"{name_or_path}: got no scenario, want a .toml file or one of {', '.join(shipped)}"
            )
        path = SCENARIO_FOLDER / f"{name_or_path}.toml"
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ScenarioError(
            f"{path}: got no readable file ({error.strerror}), want a scenario in TOML"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path}: got no TOML ({error}), want a scenario in TOML") from error
    return _checked(_beside(data, path.parent), source=str(path))


def _beside(data: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """Files that a scenario's file refers to are looked for beside it; an absolute path stays as it is."""

    def placed(section: Any, *names: str) -> Any:
        if not isinstance(section, Mapping):
            return section
        files = {name: str(folder / section[name]) for name in names if isinstance(section.get(name), str)}
        return {**section, **files}

    changed: dict[str, Any] = dict(data)
    for section, name in (("layout", "path_loss"), ("scheduler", "metric"), ("mobility", "routes_file")):
        if section in data:
            changed[section] = placed(data[section], name)
    if isinstance(classes := data.get("traffic"), list):
        changed["traffic"] = [placed(entry, "trace", "plugin") for entry in classes]
    return changed


def _checked(data: Mapping[str, Any], *, source: str) -> Scenario:
    try:
        scenario = Scenario.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(_step(data, first["loc"], i) for i in range(len(first["loc"]))) or "scenario"
        want = re.sub(r"^(Value error, |Input should be )", "", first["msg"])
        got = "nothing" if first["type"] == "missing" else repr(first["input"])
        if first["type"] == "value_error" and isinstance(first["input"], Mapping):
            # about several fields together: the whole section as "got" would help nobody
            got = "fields that do not fit together"
        if first["type"] == "extra_forbidden":
            want = "no such field"
        raise ScenarioError(f"{source}: {where}: got {got}, want {want}") from error
    if scenario.mobility.routes_file is not None:
        try:
            load_routes(scenario.mobility.routes_file, scenario.n_ue)
        except ValueError as error:
            raise ScenarioError(f"{source}: mobility.routes_file: {error}") from error
    return scenario


def _step(data: Any, location: tuple[int | str, ...], i: int) -> str:
    """One step of an error's path; a traffic class by its name rather than its index."""
    if i == 1 and location[0] == "traffic" and isinstance(location[1], int):
        entry = data["traffic"][location[1]]
        return str(entry.get("name", location[1])) if isinstance(entry, Mapping) else str(location[1])
    return str(location[i])


def _set(data: dict[str, Any], path: str, value: object) -> None:
    *parents, leaf = path.split(".")
    node: Any = data
    for i, key in enumerate(parents):
        if isinstance(node, (list, tuple)):
            node = next((entry for entry in node if entry["name"] == key), None)
        else:
            node = node.get(key)
        if not isinstance(node, (dict, list, tuple)):
            raise ScenarioError(
                f"override {path}: got no section {'.'.join(parents[: i + 1])}, want one of a scenario"
            )
    if not isinstance(node, dict):
        raise ScenarioError(f"override {path}: got a list of traffic classes, want traffic.<name>.<field>")
    node[leaf] = value
