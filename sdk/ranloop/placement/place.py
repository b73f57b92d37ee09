"""Puts the models of an xApp where its manifest declares them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ranloop.errors import PlacementError
from ranloop.inference import Card, Model, Provider, Trust
from ranloop.placement.declaration import Placement
from ranloop.placement.gate import read_calibration
from ranloop.placement.model import PlacedModel
from ranloop.placement.policies import POLICIES, Goal
from ranloop.placement.port import HEADER_BYTES, Policy, Reach
from ranloop.placement.predictor import PlacedPredictor, mmac_per_row
from ranloop.placement.sieve import HardRows, Sieve
from ranloop.placement.tiers import Tiers

__all__ = ("place",)


def place(
    models: Mapping[str, Model],
    placements: Mapping[str, Placement],
    own_folders: Mapping[str, Path],
    folders: Mapping[str, Path],
    reach: Reach | None,
    *,
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
        better = reach.serve(here, folders.get(name), trust, provider)
        _refuse_misfits(f"placement.{name}", placement, reach.tiers, here.card, better)
        sieve = _hard_rows(f"placement.{name}", placement, here.card, own_folders[name], reach.tiers.seed)
        policy = _policy(placement, reach.tiers)
        predictor = PlacedPredictor(here, better, placement, reach, policy, sieve)
        placed[name] = PlacedModel(here, predictor)
    return placed


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


def _refuse_misfits(where: str, placement: Placement, tiers: Tiers, here: Card, better: Card) -> None:
    if unknown := [tier for tier in placement.ask if tier not in tiers.tiers]:
        raise PlacementError(
            f"{where}.ask: there is no tier {unknown[0]!r}; the tiers file has {', '.join(tiers.tiers)}"
        )
    if tiers.here in placement.ask:
        raise PlacementError(f"{where}.ask: {tiers.here} is where the xApp runs; name tiers above it")
    if (here.period_ms, here.outputs) != (better.period_ms, better.outputs):
        raise PlacementError(
            f"{where}: {better.name} answers {_shown(better)}, the model here {here.name} {_shown(here)}; "
            "want the same outputs and period"
        )
    n_bytes = HEADER_BYTES + 4 * len(better.features) * max(better.steps, 1)
    took_ms = {tier: tiers[tier].cost(n_bytes, mmac_per_row(better)).time_ns / 1e6 for tier in placement.ask}
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
