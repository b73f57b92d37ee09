"""An `Engine` behind `ranloop.node.port.NodePort`, one node per site.

Reports come from `bridge.reports`, actions become settings in `bridge.actuators`. These nodes report late if the scenario
says so. A UE is in the report of the node that serves it at the end of the period, with its counts since it arrived there.
"""

from __future__ import annotations

import copy
import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import structlog

from ran_sim.bridge.actuators import Actuators
from ran_sim.bridge.catalogue import catalogue
from ran_sim.bridge.compiling import COMPILING, tell_compiling
from ran_sim.bridge.places import Places
from ran_sim.bridge.reports import ReportBuilder
from ran_sim.core.plugins import PluginError
from ran_sim.core.state import NEVER
from ran_sim.engine import Engine
from ran_sim.engine.faults import fault_slots
from ran_sim.engine.first_use import compile_notice
from ran_sim.measure.counter_faults import CounterFaults
from ran_sim.measure.periods import Period, PeriodMeter
from ran_sim.measure.score import Tally, figures, score
from ran_sim.measure.tables import Tables
from ran_sim.scenario import Scenario, ScenarioError, load_scenario
from ranloop.bundled import model_folder
from ranloop.errors import NodeError, VocabularyError
from ranloop.inference import Trust, read_package
from ranloop.kpi import Kpi
from ranloop.node.doing import doing
from ranloop.node.port import AnswersAtOnce
from ranloop.vocabulary import LEVELS, Action
from ranloop.wire.messages import F32, FOR_EVER_NS, Catalogue, Report

log = structlog.get_logger(__name__)


def open_world(
    target: str,
    *,
    seed: int = 1,
    overrides: Mapping[str, object] | None = None,
    trust: Trust | None = None,
) -> SimWorld:
    """The simulated network of a scenario; the entry point `sim` of `ranloop.nodes`.

    Args:
        target: Name of a scenario that ships, or path of a TOML file.
        seed: Which of the worlds that the scenario describes.
        overrides: Dotted paths into the scenario and values, see `Scenario.with_overrides`.
        trust: Whose scheduling models may be loaded; None for everybody's.

    Raises:
        NodeError: No such scenario, or one with a field that does not fit.
        ModelError: `trust` does not admit a scheduling model.
    """
    try:
        scenario = load_scenario(target).with_overrides(overrides or {})
        scenario = _with_models_found(scenario, trust)
        tell_compiling()
        if not (notice := compile_notice()):
            return SimWorld(scenario, seed)
        log.warning("first_use", doing=notice)
        with doing(COMPILING):  # also while another process does it for us
            return SimWorld(scenario, seed)
    except ScenarioError as error:
        raise NodeError(str(error)) from error
    except ValueError as error:  # a seed or a combination of fields that the engine refuses
        raise NodeError(f"{target}: {error}") from error


def _with_models_found(scenario: Scenario, trust: Trust | None) -> Scenario:
    """`scenario` with the folders of its models as they are on this machine, once `trust` has admitted them."""
    scheduler = scenario.scheduler
    found = [str(model_folder(name)) for name in scheduler.models]
    overrides: dict[str, object] = {"scheduler.models": found} if found else {}
    if scheduler.channel_model is not None:
        overrides["scheduler.channel_model"] = str(model_folder(scheduler.channel_model))
        found.append(str(overrides["scheduler.channel_model"]))
    for folder in found if trust is not None else ():
        read_package(Path(folder), trust=trust)
    return scenario.with_overrides(overrides) if overrides else scenario


class _Due(NamedTuple):
    """A period that ended and leaves the nodes in `slot`; ordered by that, then by length."""

    slot: int
    period_ms: int
    period: Period


class SimWorld(AnswersAtOnce):
    """A simulated network as a `NodePort`.

    RAN time begins at 0 and ends after the scenario's `run.duration_s`, warm-up included, unless `last_until` says later.

    Args:
        scenario: The world.
        seed: Number of the drop, 0 and up.
        scheduler: A name of `metrics.POLICIES` in place of the scenario's scheduler.
        uniform_class_weights: Start with weight 1 for every class instead of the scenario's weights.

    Attributes:
        engine: The simulated network, for experiments to read; only this world may run it.
    """

    def __init__(
        self,
        scenario: Scenario,
        seed: int = 1,
        *,
        scheduler: str | None = None,
        uniform_class_weights: bool = False,
    ) -> None:
        self._counter_faults = CounterFaults(scenario)
        engine = Engine(scenario, seed, scheduler=scheduler, uniform_class_weights=uniform_class_weights)
        self._scenario = scenario
        self._end_slot = scenario.slots(scenario.run.duration_s * 1e3)
        self._meter = PeriodMeter(engine, scenario.reports.periods_ms, scenario.slots(scenario.radio.tick_ms))
        self._period_slots = {ms: scenario.slots(ms) for ms in scenario.reports.periods_ms}
        # A report leaves in the first slot that begins after its delay.
        self._delay_slots = math.ceil(scenario.reports.delay_ms * 1e6 / scenario.slot_ns - 1e-9)
        self._due: list[_Due] = []
        self._drive(engine)

    def _drive(self, engine: Engine) -> None:
        """Read and act on `engine` from now on, periods by the meter."""
        scenario, tables = self._scenario, Tables(engine)
        self.engine, self._tables = engine, tables
        self._places = places = Places(engine, tables.site)
        self._actuators = Actuators(engine, self._meter, places, scenario)
        self._catalogues = tuple(
            catalogue(scenario, engine, places, site, self._actuators) for site in range(len(places.nodes))
        )
        self._builder = ReportBuilder(
            engine,
            tables,
            places,
            self._catalogues,
            self._counter_faults,
            rounding=scenario.reports.rounding,
        )

    def fork(self) -> SimWorld:
        """A second world in the same state, reports that are on their way included; the two go on independently."""
        twin, engine = copy.copy(self), self.engine.fork()
        twin._meter = self._meter.fork(engine)
        twin._due = list(self._due)
        twin._counter_faults = self._counter_faults.fork()
        twin._drive(engine)
        twin._actuators.unset[:] = self._actuators.unset
        return twin

    # -- what it is -----------------------------------------------------------------------------------------------

    @property
    def catalogues(self) -> Sequence[Catalogue]:
        return self._catalogues

    @property
    def now_ns(self) -> int:
        return self.engine.now_ns

    @property
    def end_ns(self) -> int:
        return self._end_slot * self.slot_ns

    def last_until(self, end_ns: int) -> int:
        """Go on past the scenario's `run.duration_s`, up to the slot of `end_ns`: nothing in the engine is made to a length.

        A world without an end forgets sessions that have ended; its score is about those that go on.
        """
        if end_ns >= FOR_EVER_NS:
            self.engine.forget_ended()
        self._end_slot = max(self._end_slot, end_ns // self.slot_ns)
        return min(end_ns, self.end_ns)

    @property
    def slot_ns(self) -> int:
        return self.engine.slot_ns

    def hosts(self, node: str, column: str, ids: F32) -> F32:
        """1 where the dense id lives at `node` now, else 0, shape [n]; UEs live where they are served."""
        site, asked = self._places.of(node), np.nan_to_num(np.asarray(ids, np.float64), nan=-1.0)
        if column == "ue":
            here = self._places.ue_rows(site, asked.astype(np.int64)) >= 0
        elif column == "cell":
            here = self._places.cells(site, asked.astype(np.int64)) >= 0
        elif column == "slice":
            here = np.isin(asked, np.arange(len(self._tables.slices)))
        elif column == "five_qi":
            here = np.isin(asked, self._tables.five_qi)
        else:
            raise VocabularyError("id column", column, ("cell", "five_qi", "slice", "ue"))
        return here.astype(np.float32)

    @property
    def truth(self) -> Sequence[Mapping[str, object]]:
        """The faults of the scenario in its order, as `TruthfulPort` has it; `cells` lists dense ids."""
        return tuple(
            {
                "start_ns": start * self.slot_ns,
                "end_ns": None if end == NEVER else end * self.slot_ns,
                **fault.model_dump(mode="json", exclude={"start_s", "end_s"}, exclude_none=True),
            }
            for fault, start, end in fault_slots(self._scenario)
        )

    def kpis(self) -> Sequence[Kpi]:
        """The meaning of each entry of `score`.

        Raises:
            NodeError: The world will end within its warm-up: there will be nothing to judge.
        """
        self._check_that_something_counts()
        return tuple(Kpi(**figure._asdict()) for figure in figures(self.engine))

    def provenance(self) -> Mapping[str, str | int]:
        """Everything that the bits of a run depend on beside the xApps: versions, processor, scenario, seed, plug-ins."""
        return self.engine.provenance()

    def mark(self) -> Tally:
        """The present moment, for a later `score`."""
        return Tally.of(self.engine)

    def score(self, since: object = None) -> Mapping[str, float]:
        """Key figures of the run so far, warm-up removed, or since a `mark`; see `ran_sim.measure.score`.

        Raises:
            NodeError: The run is still within its warm-up: there is nothing to judge.
        """
        if self.engine.slot >= self._end_slot:
            self._check_that_something_counts()
        if since is None and self.engine.slot <= self.engine.warmup_slot:
            raise NodeError(
                f"{self._scenario.name}: nothing counts yet, {self.now_ns / 1e9:g} s are within the warm-up of "
                f"{self._scenario.run.warmup_s:g} s; run longer, or --override warmup_s=0"
            )
        return score(self.engine, since if isinstance(since, Tally) else None)

    def _check_that_something_counts(self) -> None:
        if self._end_slot <= self.engine.warmup_slot:
            run = self._scenario.run
            raise NodeError(
                f"{self._scenario.name}: ends at {run.duration_s:g} s, within its warm-up of {run.warmup_s:g} s, before "
                "anything counts; want run.duration_s above run.warmup_s"
            )

    def close(self) -> None:
        """Nothing to release."""

    # -- time and reports -----------------------------------------------------------------------------------------

    def next_report_ns(self) -> int:
        return self._next_report_slot() * self.slot_ns

    def _next_report_slot(self) -> int:
        left = max(self.engine.slot - self._delay_slots, 0)  # periods that ended by then have left
        return self._delay_slots + min((left // every + 1) * every for every in self._period_slots.values())

    def advance(self, until_ns: int) -> None:
        """Move to the first slot boundary at or after `until_ns`, at most to the next report and the end.

        Raises:
            NodeError: A plug-in of the scenario gave an impossible answer.
        """
        until = min(-(-until_ns // self.slot_ns), self._next_report_slot(), self.end_ns // self.slot_ns)
        for period in self._periods_until(until):
            self._counter_faults.see(period, self._tables)
            due = _Due(period.end.slot + self._delay_slots, period.period_ms, period)
            heapq.heappush(self._due, due)

    def _periods_until(self, slot: int) -> list[Period]:
        try:
            return self._meter.run_until(slot)
        except PluginError as error:
            raise NodeError(f"{self._scenario.name}: {error}") from error

    def reports(self, wanted: Mapping[tuple[str, str, int], frozenset[str]]) -> list[Report]:
        """The reports that leave at `now_ns`, once, by length of period, level and node.

        Raises:
            NodeError: A measurement is wanted that the catalogue does not offer at this level.
        """
        out: list[Report] = []
        measures = any(level == "ue_cell" for _, level, _ in wanted)
        while self._due and self._due[0].slot <= self.engine.slot:
            due = heapq.heappop(self._due)
            if due.slot < self.engine.slot:
                continue  # nobody asked when it left
            # Between reports nothing begins, so that calls in between change no bit.
            self._meter.watch_cells(wanted=measures)
            period = (
                replace(due.period, ue_cells=self._meter.cells_of(due.period)) if measures else due.period
            )
            for level in LEVELS:
                streams = {
                    site: wanted[key]
                    for site, node in enumerate(self._places.nodes)
                    if (key := (node, level, due.period_ms)) in wanted
                }
                if streams:
                    out += self._builder.reports(level, period, streams)
        return out

    # -- actions --------------------------------------------------------------------------------------------------

    def apply(self, node: str, action: Action) -> F32:
        """Put `action` in force from the current slot on.

        A parameter of NaN asks for the value of the node's own configuration. A handover is in force once
        its command has reached the UE; whether the UE arrives at the target shows in the counters.

        Returns:
            The values in force afterwards, a row of NaN where the target is not at `node` or `why_not` tells a reason.

        Raises:
            NodeError: The catalogue does not offer this action.
        """
        in_force = self._actuators.put_in_force(self._places.of(node), action)
        if in_force is None:
            raise NodeError(f"{node} takes no {action.spec.name}")
        return in_force

    def why_not(self, node: str, action: Action) -> Mapping[int, str]:
        """Row -> why `apply` would do nothing there now, where more is to be said than that the target is not at `node`."""
        return self._actuators.why_not(self._places.of(node), action)
