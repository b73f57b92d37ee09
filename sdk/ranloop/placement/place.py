"""Puts the models of an xApp where its manifest declares them."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from pathlib import Path

import structlog

from ranloop.errors import PlacementError
from ranloop.foreign import one_line
from ranloop.inference import Card, Model, Provider, Trust
from ranloop.placement.declaration import Placement
from ranloop.placement.gate import read_calibration
from ranloop.placement.model import PlacedModel
from ranloop.placement.policies import POLICIES, Goal
from ranloop.placement.port import HEADER_BYTES, Policy, Reach
from ranloop.placement.predictor import PlacedPredictor, mmac_per_row
from ranloop.placement.privacy import of_inputs
from ranloop.placement.sieve import HardRows, Sieve
from ranloop.placement.split import Split, open_cut_model
from ranloop.placement.split_plan import plan_split
from ranloop.placement.tiers import SENSITIVITIES, Tiers
from ranloop.vocabulary import Level

__all__ = ("place",)

log = structlog.get_logger(__name__)


def place(
    models: Mapping[str, Model],
    placements: Mapping[str, Placement],
    own_folders: Mapping[str, Path],
    folders: Mapping[str, Path],
    reach: Reach | None,
    *,
    levels: Collection[Level] = (),
    trust: Trust | None = None,
    provider: Provider = "cpu",
) -> dict[str, Model]:
    """The models of an xApp, those with a placement behind it; all as they are where no tiers can be reached.

    Args:
        models: Name -> the model of this place.
        placements: Name -> declaration of the manifest.
        own_folders: Name -> its folder.
        folders: Name -> folder of the better model; the model's own if it is left out.
        reach: The way to the tiers.
        levels: Of the reports that the xApp reads; "ue" if there are none.
        trust: Whose better models may be used; those of everybody, if None.
        provider: What computes them, where that is this process.

    Raises:
        PlacementError: A declaration does not fit the tiers, or the better model answers other outputs than the one here.
        ModelError: A model package cannot be used.
    """
    placed = dict(models)
    if reach is None:
        return placed
    for name, placement in placements.items():
        here = models[name]
        split = None
        if placement.pattern == "split":
            split = _split(f"placement.{name}", placement, folders[name], reach, levels, trust, provider)
        better = reach.serve(here, folders.get(name), trust, provider) if split is None else split.card
        _refuse_misfits(f"placement.{name}", placement, reach.tiers, here.card, better, split)
        sieve = _hard_rows(f"placement.{name}", placement, here.card, own_folders[name], reach.tiers.seed)
        policy = _policy(placement, reach.tiers)
        predictor = PlacedPredictor(here, better, placement, reach, policy, sieve, split)
        placed[name] = PlacedModel(here, predictor)
    return placed


def _split(
    where: str,
    placement: Placement,
    folder: Path,
    reach: Reach,
    levels: Collection[Level],
    trust: Trust | None,
    provider: Provider,
) -> Split:
    """The better model in two parts; its head runs here, and tiers of this process get the tail."""
    _refuse_unknown_tiers(where, placement, reach.tiers)
    model = open_cut_model(folder, trust=trust, provider=provider)
    usual: Level = "ue"
    level = max(levels or (usual,), key=lambda level: SENSITIVITIES.index(of_inputs(model.card, level)))
    only = model.cut(placement.cut) if placement.cut else None
    plan = plan_split(model, reach.tiers, placement.ask, wire=placement.wire, level=level, only=only)
    if not plan.wins or plan.split is None or plan.split.cut is None:
        is_here = plan.whole.tier == reach.tiers.here
        advice = "name it under [models], to be computed here" if is_here else 'choose pattern = "edge-first"'
        raise PlacementError(f"{where}: {plan}; {advice}")
    split = model.split(plan.split.cut, placement.wire)
    loss = 0.0 if placement.wire == "f32" else model.loss(split)
    if loss is None:
        raise PlacementError(
            f"{where}: the card of {model.card.name} has no golden inputs, so that nobody knows what u8 loses; "
            'export it with them, or choose wire = "f32"'
        )
    reach.offer(split.tag, split.tail)
    log.info(
        "model_is_split",
        model=split.tag,
        cut=one_line(split.cut.name, 500),
        bytes_per_row=split.head.row_bytes,
        loss=loss,
    )
    return split


def _policy(placement: Placement, tiers: Tiers) -> Policy:
    goal = Goal(worth=placement.worth, per_joule=placement.per_joule, per_wait_s=placement.per_wait_s)
    return POLICIES[placement.chosen_by](tiers, goal)


def _hard_rows(where: str, placement: Placement, card: Card, folder: Path, seed: int) -> Sieve | None:
    """The sieve of a cascade; None for other patterns."""
    if placement.pattern != "cascade":
        return None
    if card.output != "probabilities":
        raise PlacementError(
            f"{where}: a cascade wants a classifier, whose outputs are probabilities; {card.name} is none"
        )
    calibration = read_calibration(folder)
    if placement.offload is not None:
        threshold = calibration.threshold_of_offload(placement.offload)
    else:
        threshold = calibration.threshold_of_wrong_here(placement.wrong_here or 0.0)
    return HardRows(calibration, threshold, audit=placement.audit, seed=seed)


def _refuse_unknown_tiers(where: str, placement: Placement, tiers: Tiers) -> None:
    if unknown := [tier for tier in placement.ask if tier not in tiers.tiers]:
        raise PlacementError(
            f"{where}.ask: there is no tier {unknown[0]!r}; the tiers file has {', '.join(tiers.tiers)}"
        )
    if tiers.here in placement.ask:
        raise PlacementError(f"{where}.ask: {tiers.here} is where the xApp runs; name tiers above it")


def _refuse_misfits(
    where: str, placement: Placement, tiers: Tiers, here: Card, better: Card, split: Split | None
) -> None:
    _refuse_unknown_tiers(where, placement, tiers)
    if (here.period_ms, here.outputs) != (better.period_ms, better.outputs):
        raise PlacementError(
            f"{where}: {better.name} answers {_shown(better)}, the model here {here.name} {_shown(here)}; "
            "want the same outputs and period"
        )
    head_ns, row_bytes, mmac = 0, 4 * math.prod(better.row_shape), mmac_per_row(better)
    if split is not None:
        head_ns, row_bytes = tiers[tiers.here].cost(0, split.cut.mmac_head).time_ns, split.head.row_bytes
        mmac = split.cut.mmac_tail
    took_ms = {
        tier: (head_ns + tiers[tier].cost(HEADER_BYTES + row_bytes, mmac).time_ns) / 1e6
        for tier in placement.ask
    }
    if placement.wait_ms < min(took_ms.values()):
        told = ", ".join(f"{tier} {ms:.3g} ms" for tier, ms in took_ms.items())
        raise PlacementError(
            f"{where}: wait_ms = {placement.wait_ms:g} is shorter than every tier that it asks takes for one row: {told}"
        )


def _shown(card: Card) -> str:
    outputs = ", ".join(
        f"{output.name} in {output.unit} ({output.low:g} to {output.high:g})" for output in card.outputs
    )
    return f"{outputs} every {card.period_ms} ms"
