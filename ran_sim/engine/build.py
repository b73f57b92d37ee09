"""The network of a scenario and a seed: every array of a run, as it is before the first slot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from ran_sim.core.plugins import Plugin
from ran_sim.energy.power import build_energy
from ran_sim.engine.kernels import Network, Settings
from ran_sim.engine.radio_state import init_radio
from ran_sim.engine.sessions import init_counts
from ran_sim.link.adaptation import link_tables
from ran_sim.link.channel_model import read_channel_model
from ran_sim.link.csi import Reports, init_csi
from ran_sim.link.harq import init_harq, init_sent
from ran_sim.link.prediction import Prediction, init_prediction, no_prediction
from ran_sim.mac.metrics import PF, POLICIES, Rule, built_in_rule, own_rule, with_networks
from ran_sim.mac.slices import init_slices
from ran_sim.mac.slot_model import read_slot_model
from ran_sim.mac.state import guaranteed_bits, init_mac
from ran_sim.radio.own_propagation import OwnPropagation
from ran_sim.scenario import Scenario
from ran_sim.scenario.sections import LEARNED_NAME
from ran_sim.traffic.arrivals import init_traffic
from ran_sim.traffic.queues import init_queues

PREDICTION_MS: Final = 1.0  # a tenth of the usual report period


def scheduling_rule(
    scenario: Scenario, scheduler: str | None, metric: str | Callable[..., float] | Plugin | None
) -> tuple[str, Rule]:
    """Name of the scheduler and its rule, learned metrics included; an argument replaces the scenario's scheduler.

    Raises:
        ValueError: Unknown scheduler, or both a scheduler and a metric.
        PluginError: A metric that cannot be loaded or compiled.
        SlotModelError: A learned metric that cannot be read.
    """
    if scheduler is not None and metric is not None:
        raise ValueError(f"got scheduler {scheduler!r} and a metric; want one of the two")
    if metric is None and scheduler is None:
        metric = scenario.scheduler.metric
    if metric is not None:
        name = metric if isinstance(metric, str) else getattr(metric, "__name__", "metric")
        return name, _with_models(own_rule(metric, scenario.n_cell), scenario)
    name = scheduler or scenario.scheduler.name
    known = (*POLICIES, LEARNED_NAME) if scenario.scheduler.models else tuple(POLICIES)
    if name not in known:
        raise ValueError(f"no scheduler {name!r}; take one of {', '.join(known)}")
    rule = _with_models(built_in_rule(POLICIES.get(name, PF), scenario.n_cell), scenario)
    if name == LEARNED_NAME:
        rule.model_of[:] = 0
    return name, rule


def _with_models(rule: Rule, scenario: Scenario) -> Rule:
    if not scenario.scheduler.models:
        return rule
    networks = np.array([read_slot_model(Path(folder)) for folder in scenario.scheduler.models])
    return with_networks(rule, networks, scenario.slot_ns * 1e-6)


def build_network(
    scenario: Scenario,
    seed: int,
    rule: Rule,
    path_loss: OwnPropagation = None,
    traffic: str | Callable[..., tuple[float, float]] | Plugin | None = None,
) -> Network:
    """All arrays of a run at slot 0, before its first radio tick: no UE is connected.

    Raises:
        PluginError: A path loss or a traffic model that cannot be loaded or compiled.
        SlotModelError: A channel model that cannot be read.
    """
    settings = _settings(scenario, seed, rule)
    cells, ues, links, radio_state = init_radio(scenario, seed, path_loss)
    n_ue, n_cell, n_class = scenario.n_ue, scenario.n_cell, len(scenario.traffic)
    rbg_prb = np.full(scenario.n_rbg, scenario.rbg_prb, np.int64)
    rbg_prb[-1] = scenario.carrier.bandwidth_prb - scenario.rbg_prb * (scenario.n_rbg - 1)
    return Network(
        settings=settings,
        cells=cells,
        ues=ues,
        links=links,
        radio=radio_state,
        traffic=init_traffic(scenario, traffic),
        queues=init_queues(n_ue),
        harq=init_harq(n_ue),
        sent=init_sent(n_cell * settings.max_dci),
        csi=init_csi(n_ue, scenario.n_rbg, _reports(scenario, seed), _predicted_by(scenario)),
        mac=init_mac(n_ue, cells.site, rbg_prb, *guaranteed_bits(scenario)),
        slices=init_slices(scenario),
        tables=link_tables(scenario.carrier.bandwidth_prb, scenario.carrier.mcs_table),
        counts=init_counts(n_ue, n_cell, n_class),
        energy=build_energy(scenario),
        sinr=np.zeros(scenario.n_rbg, np.float32),
    )


def _settings(scenario: Scenario, seed: int, rule: Rule) -> Settings:
    return Settings(
        seed=seed,
        rule=rule,
        max_dci=scenario.scheduler.max_dci,
        pf_window_slots=max(1.0, scenario.scheduler.pf_window_ms * 1e6 / scenario.slot_ns),
    )


def _reports(scenario: Scenario, seed: int) -> Reports:
    radio = scenario.radio
    return Reports(
        seed=seed,
        period_slots=max(1, scenario.slots(radio.cqi_period_ms)),
        delay_slots=max(1, scenario.slots(radio.cqi_delay_ms)),
        error_db=radio.cqi_error_db,
        subbands=scenario.subband_reports,
    )


def _predicted_by(scenario: Scenario) -> Prediction:
    if scenario.scheduler.channel_model is None:
        return no_prediction()
    weights = read_channel_model(Path(scenario.scheduler.channel_model))
    every_slots = max(1, scenario.slots(PREDICTION_MS))
    return init_prediction(weights, scenario.n_cell, scenario.n_ue, scenario.n_rbg, every_slots)
