"""Scenarios: the network that a run takes place in, read from TOML and checked once.

A scenario is frozen; `with_overrides` gives a changed copy that is checked again. Random draws need the scenario and
a seed, nothing else. Its parts are in `sections` and `traffic_class`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from itertools import chain, repeat
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from ran_sim.core.errors import one_line
from ran_sim.scenario.faults import MOST_FAULTS, Fault, Interference, TiltShift, check_faults
from ran_sim.scenario.routes import load_routes
from ran_sim.scenario.sections import (
    LEAST_FACTOR,
    Carrier,
    Control,
    Energy,
    HandoverSection,
    Layout,
    LoadProfile,
    Mobility,
    Radio,
    Reports,
    Run,
    Scheduler,
    Section,
    SliceId,
    SliceQuota,
)
from ran_sim.scenario.toml_file import read_table
from ran_sim.scenario.traffic_class import Traffic

SCENARIO_FOLDER: Final = Path(__file__).parent / "scenarios"
MOST_PACKETS_PER_SLOT: Final = 256  # that a queue takes in
MOST_UES: Final = 100_000
MOST_WINDOW_TICKS: Final = 1000  # each UE row keeps one SINR for each tick of a window


class ScenarioError(ValueError):
    """A scenario cannot be used: one line with the file, the field, its value and the wanted value."""


class Scenario(Section):
    """The whole network of a run, apart from its seed."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    load: float = Field(default=1.0, ge=LEAST_FACTOR)  # scales the mean number of delay-bound sessions
    carrier: Carrier = Carrier()
    layout: Layout = Layout()
    radio: Radio = Radio()
    mobility: Mobility = Mobility()
    handover: HandoverSection = HandoverSection()
    scheduler: Scheduler = Scheduler()
    traffic: tuple[Traffic, ...] = Field(min_length=1)
    energy: Energy = Energy()
    slices: dict[SliceId, SliceQuota] = Field(
        default={}
    )  # at the start, in every cell; the whole carrier is shared where missing
    load_profile: LoadProfile | None = None
    faults: Annotated[tuple[Fault, ...], Field(max_length=MOST_FAULTS)] = ()
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
                f"load at most {1 / busiest:.3g}, where every UE row is busy; for more load raise rate_mbps or idle_s and ues"
            )
        if self.load_profile is not None:
            loads = [self.busy_share(t) for t in self.traffic if t.idle_s > 0]
            if self.load_profile.peak * max(loads, default=0.0) >= 1:
                raise ValueError(
                    f"load_profile.points below {1 / max(loads):.3g}, where every UE row is busy at this load"
                )
        for traffic in self.traffic:
            per_slot = self.slot_ns * 1e-9 / traffic.interval_s
            if per_slot > MOST_PACKETS_PER_SLOT:
                raise ValueError(
                    f"at most {MOST_PACKETS_PER_SLOT} packets of a UE in a slot of {self.slot_ns / 1e6:g} ms, "
                    f"not the {per_slot:.3g} of traffic class {traffic.name}"
                )
        if self.n_ue > MOST_UES:
            raise ValueError(f"at most {MOST_UES} UE rows in all, not {self.n_ue}")
        for traffic in self.traffic:
            if beyond := [cell for cell in traffic.home_cells or () if cell >= self.n_cell]:
                raise ValueError(
                    f"home_cells of traffic class {traffic.name} among the cells 0 to {self.n_cell - 1}, not {beyond[0]}"
                )
        if len({t.plugin for t in self.traffic if t.plugin is not None}) > 1:
            raise ValueError("one traffic plug-in for all classes; it is told which class it is asked for")
        for field, time_ms in (
            ("tick_ms", self.radio.tick_ms),
            ("fading_grid_ms", self.radio.fading_grid_ms),
        ):
            slots = time_ms * 1e6 / self.slot_ns
            if round(slots) < 1 or abs(slots - round(slots)) > 1e-9:
                raise ValueError(f"radio.{field} a multiple of the slot of {self.slot_ns / 1e6:g} ms")
        if self.slots(self.radio.tick_ms) % self.slots(self.radio.fading_grid_ms):
            raise ValueError("radio.tick_ms a multiple of radio.fading_grid_ms")
        if max(1, self.slots(self.radio.cqi_delay_ms)) > max(1, self.slots(self.radio.cqi_period_ms)):
            raise ValueError(
                f"radio.cqi_delay_ms at most radio.cqi_period_ms, {self.radio.cqi_period_ms:g}, "
                "for one report is on its way at a time"
            )
        longest_ms = MOST_WINDOW_TICKS * self.radio.tick_ms
        if max(self.handover.qout_window_ms, self.handover.qin_window_ms) > longest_ms:
            raise ValueError(
                f"handover.qout_window_ms and qin_window_ms at most {longest_ms:g}, {MOST_WINDOW_TICKS} times radio.tick_ms"
            )
        if self.radio.k_interferers >= self.n_cell > 1:
            raise ValueError(f"radio.k_interferers below the number of cells, {self.n_cell}")
        check_faults(self.faults, self.n_cell, self.slots)
        return self

    @property
    def n_cell(self) -> int:
        return self.layout.n_site * self.layout.sectors

    @property
    def sources(self) -> tuple[Interference, ...]:
        """The transmitters among the faults; a position is the dense id of one."""
        return tuple(fault for fault in self.faults if isinstance(fault, Interference))

    @property
    def tilt_shifts_deg(self) -> tuple[float, ...]:
        """No shift, and all tilts that faults shift cells by; the position is that of `Ailments.pointing`."""
        shifts = {fault.shift_deg for fault in self.faults if isinstance(fault, TiltShift)}
        return (0.0, *sorted(shifts - {0.0}))

    @property
    def files(self) -> dict[str, Path]:
        """The files that the network is read from beside the scenario itself, by field."""
        named = {"layout.path_loss": self.layout.path_loss, "scheduler.metric": self.scheduler.metric}
        named |= {f"traffic.{t.name}.plugin": t.plugin for t in self.traffic}
        files = {field: Path(name.rpartition(":")[0]) for field, name in named.items() if name is not None}
        traces = {f"traffic.{t.name}.trace": t.trace for t in self.traffic}
        models = {
            f"scheduler.models.{i}": f"{folder}/card.toml" for i, folder in enumerate(self.scheduler.models)
        }
        if self.scheduler.channel_model is not None:
            models["scheduler.channel_model"] = f"{self.scheduler.channel_model}/card.toml"
        tables = {"mobility.routes_file": self.mobility.routes_file, **traces, **models}
        return files | {field: Path(name) for field, name in tables.items() if name is not None}

    @property
    def n_ue(self) -> int:
        """UE rows; how many hold a session varies over time."""
        return sum(traffic.ues for traffic in self.traffic)

    @property
    def slice_names(self) -> tuple[str, ...]:
        """S-NSSAI of every slice; the position is its dense id."""
        return tuple(sorted({traffic.slice for traffic in self.traffic}))

    @property
    def rbg_prb(self) -> int:
        """PRBs of a resource block group, TS 38.214 Table 5.1.2.2.1-1; the last may have fewer.

        Configuration 1, but 2 for 24 to 36 PRBs: so RBGs have a size that channel reports allow to sub-bands.
        """
        return next(
            size
            for limit, size in ((23, 2), (72, 4), (144, 8), (275, 16))
            if self.carrier.bandwidth_prb <= limit
        )

    @property
    def subband_reports(self) -> bool:
        """Whether UEs report sub-bands; a carrier below 24 PRBs has none, TS 38.214 Table 5.2.1.4-2."""
        return self.carrier.bandwidth_prb >= 24

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
        """Index into `traffic` of every UE row; a class fills consecutive rows."""
        return tuple(chain.from_iterable(repeat(i, traffic.ues) for i, traffic in enumerate(self.traffic)))

    @property
    def home_cell_of_ue(self) -> tuple[int, ...]:
        """The cell in whose home area the sessions of each UE row start: of all cells, or those of its class, one after the other."""
        homes = (self.traffic[i].home_cells or range(self.n_cell) for i in self.traffic_of_ue)
        return tuple(cells[u % len(cells)] for u, cells in enumerate(homes))

    def busy_share(self, traffic: Traffic) -> float:
        """Long-run share of the time in which a UE row of the class holds a session, at this scenario's load."""
        return traffic.busy_share * (self.load if traffic.delay_bound else 1.0)

    def mean_idle_s(self, traffic: Traffic) -> float:
        """Mean pause between two sessions at this scenario's load: the busy share at load 1 times the load."""
        if not traffic.delay_bound:
            return traffic.idle_s
        busy_share = traffic.busy_share * self.load
        return (traffic.session_s[0] + traffic.session_s[1]) / 2 * (1 - busy_share) / busy_share

    def with_overrides(self, overrides: Mapping[str, object]) -> Scenario:
        """A changed copy, checked like a file: `{"load": 1.5, "run.duration_s": 20, "traffic.gaming.rate_mbps": 4}`.

        A traffic class is addressed by its name, a fault by its name or its place; the fields of `[run]` and `name` of the scheduler, the most used,
        also by their last part alone (`duration_s`, `warmup_s`, `scheduler`). Another environment brings its own geometry,
        unless the scenario was given one; one that was read back from `ran_sim scenario` or a saved state was given all.

        Raises:
            ScenarioError: a path leads nowhere or a value does not fit.
        """
        data: dict[str, Any] = self.model_dump(mode="python")
        data["layout"] = self.layout.model_dump(mode="python", exclude_unset=True)
        for path, value in overrides.items():
            _set(data, _SHORT.get(path, path), value)
        return _checked(data, source=f"{self.name} with overrides")


_SHORT: Final = {"duration_s": "run.duration_s", "warmup_s": "run.warmup_s", "scheduler": "scheduler.name"}


_NAMED: Final = {"traffic": "traffic classes", "faults": "faults"}  # lists whose entries have names


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
        data = read_table(path)
    except OSError as error:
        raise ScenarioError(
            f"{path}: got no readable file ({error.strerror}), want a scenario in TOML"
        ) from error
    except ValueError as error:
        raise ScenarioError(
            f"{path}: got no TOML ({one_line(str(error))}), want a scenario in TOML"
        ) from error
    return _checked(_beside(data, path.parent), source=str(path))


def _beside(data: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """Files that a scenario's file refers to are looked for beside it; an absolute path stays as it is."""

    def placed(section: Any, *names: str) -> Any:
        if not isinstance(section, Mapping):
            return section
        files = {name: str(folder / section[name]) for name in names if isinstance(section.get(name), str)}
        return {**section, **files}

    changed: dict[str, Any] = dict(data)
    for section, name in (
        ("layout", "path_loss"),
        ("scheduler", "metric"),
        ("scheduler", "channel_model"),
        ("mobility", "routes_file"),
    ):
        if section in data:
            changed[section] = placed(changed[section], name)
    scheduler = changed.get("scheduler")
    if isinstance(scheduler, Mapping) and isinstance(models := scheduler.get("models"), list):
        beside = [str(folder / name) if isinstance(name, str) else name for name in models]
        changed["scheduler"] = {**scheduler, "models": beside}
    if isinstance(classes := data.get("traffic"), list):
        changed["traffic"] = [placed(entry, "trace", "plugin") for entry in classes]
    return changed


def _checked(data: Mapping[str, Any], *, source: str) -> Scenario:
    try:
        scenario = Scenario.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(_steps(data, first)) or "scenario"
        got = "nothing" if first["type"] == "missing" else _shown(first["input"])
        if first["type"] == "union_tag_invalid" and isinstance(first["input"], Mapping):
            where, got = f"{where}.kind", repr(first["ctx"]["tag"]) if first["ctx"]["tag"] else "nothing"
        if first["type"] == "value_error" and isinstance(first["input"], Mapping):
            # an error of several fields together: the whole section as "got" would not help
            got = "fields that do not fit together"
        wanted = one_line(_wanted(first, where), most=400)
        raise ScenarioError(f"{source}: {one_line(where)}: got {one_line(got)}, want {wanted}") from error
    if scenario.mobility.routes_file is not None:
        try:
            load_routes(scenario.mobility.routes_file, scenario.n_ue)
        except ValueError as error:
            raise ScenarioError(f"{source}: mobility.routes_file: {error}") from error
    return scenario


def _shown(value: object) -> str:
    try:
        return repr(value)
    except ValueError:  # Python converts no whole number of more than 4300 digits
        return "a number of thousands of digits"


def _wanted(error: ErrorDetails, where: str) -> str:
    """The value that pydantic wanted, in the words of a scenario's author."""
    match error["type"]:
        case "extra_forbidden":
            near = _near_fields(where)
            return "no such field" + (f"; there is {' and '.join(near)}" if near else "")
        case "union_tag_invalid" if isinstance(error["input"], Mapping):
            return f"one of {error['ctx']['expected_tags']}"
        case "union_tag_invalid":
            return "a table of fields"
        case "missing":
            return "a value"
        case "too_short":
            least = error["ctx"]["min_length"]
            return f"at least {least} item{'s' if least > 1 else ''}"
        case "model_type" | "dict_type":
            return "a table of fields"
        case "tuple_type" | "list_type":
            return "a list"
        case "float_parsing" | "float_type":
            return "a number"
        case "int_parsing" | "int_type" | "int_from_float":
            return "a whole number"
        case "string_pattern_mismatch" if ".py:" in error["msg"].replace("\\", ""):
            return "path/to/file.py:function"
        case _:
            return re.sub(r"^(Value error, |Input should be )", "", error["msg"])


def _near_fields(where: str) -> list[str]:
    """The fields that `where` may have meant: the same name in another section, else a similar path."""
    paths = list(_field_paths(Scenario))
    namesakes = [path for path in paths if path.rpartition(".")[2] == where.rpartition(".")[2]]
    return namesakes or get_close_matches(where, paths, n=2, cutoff=0.75)


def _field_paths(section: type[BaseModel], path: str = "") -> Iterator[str]:
    """Every field of a scenario but those of traffic classes, as overrides name it."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _field_paths(field.annotation, f"{path}{name}.")
        else:
            yield f"{path}{name}"


def _steps(data: Any, error: ErrorDetails) -> Iterator[str]:
    """An error's path, step by step; a traffic class or a fault by its name, if it has one, rather than its index."""
    location = error["loc"]
    for i, step in enumerate(location):
        if i == 1 and location[0] in _NAMED and isinstance(step, int):
            entry = data[location[0]][step]
            yield str((entry.get("name") if isinstance(entry, Mapping) else None) or step)
        elif not (i == 2 and location[0] == "faults"):  # its kind, which pydantic goes by
            yield str(step)


def _set(data: dict[str, Any], path: str, value: object) -> None:
    *parents, leaf = path.split(".")
    node: Any = data
    for i, key in enumerate(parents):
        if isinstance(node, (list, tuple)):
            place = int(key) if key.isdecimal() and int(key) < len(node) else None
            names = [entry.get("name") if isinstance(entry, Mapping) else None for entry in node]
            place = names.index(key) if key in names else place
            node = None if place is None else node[place]
        else:
            node = node.get(key)
        if not isinstance(node, (dict, list, tuple)):
            raise ScenarioError(
                f"override {path}: got no section {'.'.join(parents[: i + 1])}, want one of a scenario"
            )
    if not isinstance(node, dict):
        raise ScenarioError(
            f"override {path}: got a list of {_NAMED[parents[0]]}, want {parents[0]}.<name>.<field>"
        )
    node[leaf] = value
