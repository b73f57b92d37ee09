"""One class of a scenario's traffic: its model, the fields that this takes, and what follows from its 5QI."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from ran_sim.scenario.five_qi import (
    CORE_DELAY_MS,
    DEFAULT_CORE_DELAY_MS,
    DELAY_BOUND_5QI,
    GBR_5QI,
    PACKET_DELAY_BUDGET_MS,
)
from ran_sim.scenario.routes import MOST_S
from ran_sim.scenario.sections import (
    LEAST_S,
    FiveQi,
    NotNegativeMs,
    NotNegativeS,
    PacketBytes,
    Positive,
    PositiveMs,
    PositiveS,
    Range,
    Section,
    SliceId,
)

VOICE_FRAME_S: Final = 0.02  # of the speech codec
VOICE_BYTES: Final = 40  # of a frame of speech
MOST_PACKET_BYTES: Final = 1 << 30  # on average; sizes that are drawn reach 1.5 times that

Mbps = Annotated[float, Field(gt=0, le=1e6)]
FileKb = Annotated[float, Field(gt=0, le=1e6)]

# Names of `model`, and the fields of each beside those of every class: required ones, then optional ones.
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


class Traffic(Section):
    """One class of traffic and the UE rows that carry it; every session in such a row is of this class."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    five_qi: FiveQi
    model: Model
    ues: int = Field(ge=1, le=10_000)  # UE rows
    slice: SliceId = "1-000001"
    gbr_mbps: Mbps | None = None  # guaranteed flow bit rate of each UE; GBR resource types only
    # `_MODEL_FIELDS` lists the models that take the following fields; `traffic.arrivals` describes the models.
    rate_mbps: Mbps | None = None  # mean offered rate while a session lasts
    file_kb: FileKb | None = None  # poisson-file: size of one file, 10^3 bytes
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
    buffer_mb: float = Field(
        default=100.0, ge=0.001, le=1e6
    )  # unsent data of a UE, 10^6 bytes; a packet that finds so much is dropped. Our choice: more than minutes of overload
    session_s: Range = (10.0, 60.0)  # uniform
    home_cells: (
        Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1, max_length=1000)] | None
    ) = None  # in whose home areas sessions start, one UE row after the other; all cells if missing
    idle_s: NotNegativeS = (
        35.0  # mean of the exponential pause between sessions at load 1; 0 = always in session
    )
    radio_budget_ms: PositiveMs | None = None  # packet delay budget of the radio; from the 5QI if missing
    promised_mbps: Mbps | None = (
        None  # of a UE while data waits for it, dLThptPerUE of TS 28.541; no delay budget beside it. The score alone looks at it
    )

    @model_validator(mode="after")
    def _fields_match_model(self) -> Self:
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
        if self.promised_mbps is not None and self.delay_bound:
            raise ValueError("no promised_mbps with a delay budget, by which the class is judged")
        if self.arrivals == "poisson" and self.jitter_ms is not None:
            raise ValueError("no jitter_ms with Poisson arrivals, which have no rhythm to miss")
        if self.model == "voip" and self.silence_s < VOICE_FRAME_S and self.activity < 1:
            raise ValueError(
                f"silences of {VOICE_FRAME_S:g} s or more: a longer talk_spurt_s, a lower voice_activity"
            )
        if not LEAST_S <= self.session_s[0] <= self.session_s[1]:
            raise ValueError(f"session_s = [shortest, longest], {LEAST_S:g} s and up")
        if 0 < self.idle_s < LEAST_S:
            raise ValueError(f"idle_s of 0, or {LEAST_S:g} s and up")
        if self.interval_s < math.inf and not 1 <= self.mean_bytes <= MOST_PACKET_BYTES:
            raise ValueError(f"packets of 1 to 2^30 bytes on average, not {self.mean_bytes:.3g}")
        return self

    @property
    def _bytes_per_s(self) -> float:
        return (self.rate_mbps or 0.0) * 1e6 / 8

    @property
    def interval_s(self) -> float:
        """Interval between two packets, or its mean; infinite for a recording and a plug-in, whose packets bring their times."""
        if self.model == "voip":
            return VOICE_FRAME_S
        if self.interval_ms is not None:
            return self.interval_ms / 1e3
        if self.fps is not None:
            return 1.0 / self.fps
        if self.segment_s is not None:
            return self.segment_s
        return self.mean_bytes / self._bytes_per_s if self.mean_bytes else math.inf

    @property
    def mean_bytes(self) -> float:
        """Mean size of a packet in bytes; 0 for a recording and a plug-in, whose packets bring their sizes."""
        if self.model == "voip":
            return self.packet_bytes or VOICE_BYTES
        if self.interval_ms is not None and self.packet_bytes is not None:
            return self.packet_bytes
        if self.fps is not None:
            return self._bytes_per_s * (1.0 / self.fps)
        if self.segment_s is not None:
            return self._bytes_per_s * self.segment_s
        return self.packet_bytes or (self.file_kb or 0.0) * 1e3

    @property
    def delay_bound(self) -> bool:
        """Whether packets of the class are worthless after their delay budget; `load` scales the sessions of such classes.

        A full buffer has no packets, so it has no budget whatever its 5QI. A stream that is played from a buffer has none
        either: a late segment is still shown.
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
        """Long-run share of the time in which a UE row of this class holds a session, at load 1."""
        session_s = (self.session_s[0] + self.session_s[1]) / 2
        return session_s / (session_s + self.idle_s)
