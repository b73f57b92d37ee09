"""Propagation of a user's own, which stands in for the tables of TR 38.901: a path loss alone, or a whole `PropagationModel`.

All functions take and return plain numbers, in metres, GHz and dB:

- `path_loss(d_2d_m, d_3d_m, h_bs_m, h_ut_m, frequency_ghz, line_of_sight)` from 0 to 1000 dB, with 1.0 for line of sight and 0.0
  for none;
- `los_probability(d_2d_m, h_bs_m, h_ut_m, frequency_ghz)` from 0 to 1, where `d_2d_m` is the outdoor part of the distance;
- `shadow_sd_db(d_2d_m, h_bs_m, h_ut_m, frequency_ghz, line_of_sight, indoor)`, the standard deviation of shadowing in dB, with
  1.0 for a UE in a building.

A scenario names either by file and name, as `layout.path_loss = "rma.py:RMA"`. Penetration and antennas come on top, and
angular spreads stay those of `layout.environment`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final

from ran_sim.core.plugins import Plugin, PluginError, as_plugin, compiled, load_object

_NUMBERS: Final = ", ".join(["float64"] * 6)
PATH_LOSS_SIGNATURE: Final = f"float64({_NUMBERS})"
LOS_PROBABILITY_SIGNATURE: Final = "float64(float64, float64, float64, float64)"
SHADOW_SD_SIGNATURE: Final = f"float64({_NUMBERS})"
_LEAST_M, _MOST_M = 5.0, 1000.0


@dataclass(frozen=True, kw_only=True)
class PropagationModel:
    """Functions and distances in place of those of `layout.environment`, which fills in for what is None.

    Raises:
        PluginError: A distance is no number from 5 to 1000.
    """

    path_loss: Callable[..., float]
    los_probability: Callable[..., float] | None = None
    shadow_sd_db: Callable[..., float] | None = None
    decorrelation_los_m: float | None = None  # of shadowing over the way, TR 38.901 7.4.4
    decorrelation_nlos_m: float | None = None
    decorrelation_o2i_m: float | None = None  # None: every UE in a building has shadows of its own

    def __post_init__(self) -> None:
        for name in ("decorrelation_los_m", "decorrelation_nlos_m", "decorrelation_o2i_m"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float) and _LEAST_M <= value <= _MOST_M):
                raise PluginError(
                    f"PropagationModel: {name}: got {value!r}, want {_LEAST_M:g} to {_MOST_M:g} m, or None"
                )


def own_decorrelations_m(model: PropagationModel | None) -> tuple[float | None, float | None, float | None]:
    """Decorrelation distances of `model` with line of sight, without, and in buildings; all None without a model."""
    if model is None:
        return None, None, None
    return model.decorrelation_los_m, model.decorrelation_nlos_m, model.decorrelation_o2i_m


OwnPropagation = str | Callable[..., float] | Plugin | PropagationModel | None


def own_model(given: OwnPropagation) -> PropagationModel | None:
    """The model that a scenario or a program names; a function is the path loss of one.

    Raises:
        PluginError: It cannot be loaded or compiled.
    """
    wanted = f"a PropagationModel or a function of {PATH_LOSS_SIGNATURE}"
    found = load_object(given, wanted) if isinstance(given, str) else given
    if found is None or isinstance(found, PropagationModel):
        return found
    source = given if isinstance(given, str) else None
    return PropagationModel(path_loss=as_plugin(found, PATH_LOSS_SIGNATURE, source=source))


def function_or_none(function: Callable[..., float] | None, signature: str) -> Plugin:
    """A function compiled for kernels; a substitute for a missing one, so that kernels are the same with and without."""
    return _nothing(signature) if function is None else as_plugin(function, signature)


@cache
def _nothing(signature: str) -> Plugin:
    return compiled(signature, cache=True)(_of_four if signature == LOS_PROBABILITY_SIGNATURE else _of_six)


def _of_four(_a: float, _b: float, _c: float, _d: float) -> float:
    return math.nan


def _of_six(_a: float, _b: float, _c: float, _d: float, _e: float, _f: float) -> float:
    return math.nan
