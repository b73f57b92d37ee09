"""`ranloop model cuts`: every cut of a model at every tier, and whether a split pays."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_args

from ranloop.errors import PlacementError, RanloopError
from ranloop.foreign import one_line
from ranloop.placement import load_tiers
from ranloop.placement.graph import MOST_CUTS
from ranloop.placement.packing import Wire
from ranloop.placement.split import CutModel, open_cut_model
from ranloop.placement.split_plan import Plan, Way, plan_split
from ranloop.vocabulary import Level

__all__ = ("show_cuts",)

_MOST_NAME = 48  # of a cut's name


def show_cuts(
    folder: Path, tiers_path: Path, ask: Sequence[str], *, wire: str, level: str, json_output: bool
) -> int:
    """Print the table; 0 whether a split pays or not.

    Raises:
        RanloopError: An argument is none, or the package or the tiers file cannot be used.
    """
    if wire not in get_args(Wire):
        raise RanloopError(f"--wire {wire!r}: want one of {', '.join(get_args(Wire))}")
    if level not in get_args(Level):
        raise RanloopError(f"--level {level!r}: want one of {', '.join(get_args(Level))}")
    tiers = load_tiers(tiers_path)
    ask = ask or tiers.above(tiers.here)
    if not ask or tiers.here in ask:
        raise PlacementError(
            f"{tiers_path}: --ask names tiers other than {tiers.here}, where the head is computed"
        )
    model, form = open_cut_model(folder), cast(Wire, wire)
    plan = plan_split(model, tiers, ask, wire=form, level=cast(Level, level))
    facts = _facts(model, plan, form)
    print(json.dumps(facts, indent=2) if json_output else "\n".join(_shown(facts, ask)))
    return 0


def _facts(model: CutModel, plan: Plan, wire: Wire) -> dict[str, Any]:
    cuts: list[dict[str, Any]] = [
        {
            "cut": cut.name,
            "bytes": next(way.n_bytes for way in plan.ways if way.cut is cut),
            "mmac_head": cut.mmac_head,
            "mmac_tail": cut.mmac_tail,
            "same_bits": model.same_bits(cut),
            "sends_input": cut.sends_input,
            "loss": model.loss(model.split(cut, wire)) if wire == "u8" else 0.0,
            "tiers": _times(way for way in plan.ways if way.cut is cut),
        }
        for cut in model.cuts
    ]
    return {
        "model": model.card.name,
        "mmac": model.graph.mmac,
        "wire": wire,
        "all_cuts": not model.graph.is_partial,
        "whole": _times(way for way in plan.ways if way.cut is None),
        "cuts": cuts,
        "wins": plan.wins,
        "verdict": str(plan),
    }


def _times(ways: Iterable[Way]) -> dict[str, dict[str, Any]]:
    return {way.tier: {"ms": way.took_ns / 1e6, "may_leave": way.may_leave} for way in ways}


def _shown(facts: Mapping[str, Any], ask: Sequence[str]) -> Iterator[str]:
    whole = ", ".join(f"{_cell(told)} ms at {tier}" for tier, told in facts["whole"].items())
    yield f"{facts['model']}: {facts['mmac']:.4g} MMAC a row; cuts: {len(facts['cuts'])}. The whole model takes {whole}."
    if not facts["all_cuts"]:
        yield f"It has more than {MOST_CUTS} cuts; those after each node of the file are listed."
    if not facts["mmac"]:
        yield "It has no convolution, matrix product or recurrent layer; all else counts nothing, so its times are those of the way."
    heads = ["cut", "bytes", "MMAC here", "MMAC there", *(f"{tier} ms" for tier in ask), "loss", ""]
    rows = [heads, *(_row(cut, ask) for cut in facts["cuts"])]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        aligned = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        yield "  ".join((name.ljust(widths[0]), *aligned)).rstrip()
    yield f"{facts['verdict']}."


def _row(cut: Mapping[str, Any], ask: Sequence[str]) -> list[str]:
    remarks = [("OTHER BITS", not cut["same_bits"]), ("sends the input", cut["sends_input"])]
    return [
        one_line(cut["cut"], _MOST_NAME),
        f"{cut['bytes']:,}",
        f"{cut['mmac_head']:.4g}",
        f"{cut['mmac_tail']:.4g}",
        *(_cell(cut["tiers"][tier]) for tier in ask),
        "not known" if cut["loss"] is None else f"{cut['loss']:.2g}",
        ", ".join(text for text, holds in remarks if holds),
    ]


def _cell(told: Mapping[str, Any]) -> str:
    return f"{told['ms']:.4g}" if told["may_leave"] else f"{told['ms']:.4g} (private)"
