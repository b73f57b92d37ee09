"""The worlds that speed is measured in: S1 to S4, full buffers or QoS flows, all of the radio on."""

from __future__ import annotations

from typing import Any, Final, Literal

from ran_sim.scenario import Scenario, load_scenario

UES_PER_CELL: Final = 10
Sites = Literal[1, 7, 19]


def full_buffer(sites: Sites, ues_per_cell: int = UES_PER_CELL) -> Scenario:
    """Everyone always wants everything: tri-sectored sites, 100 MHz at 30 kHz (273 PRB, 18 RBGs), PF.

    EESM over sub-bands, HARQ, outer loop, 4 DCIs a cell and slot, fading that never repeats, 4 explicit interferers
    (2 where there are but three cells).
    """
    data = _wide(sites)
    always = {
        "name": "full",
        "five_qi": 9,
        "model": "full-buffer",
        "idle_s": 0.0,
        "session_s": (600.0, 600.0),
    }
    data["traffic"] = [{**always, "ues": 3 * sites * ues_per_cell}]
    return Scenario.model_validate(data)


def mixed(sites: Sites, load: float) -> Scenario:
    """`seven-sites`' five traffic classes in two slices, 10 UE rows a cell, at the rates that it was made for.

    Five times its bandwidth carries five times its rates. Delay-bound sessions follow `load`; so does best effort, by
    its rate.
    """
    data = _wide(sites)
    for traffic in data["traffic"]:
        traffic["ues"] = traffic["ues"] * sites // 7
        traffic["rate_mbps"] *= 5.0 * (load if traffic["name"] == "best-effort" else 1.0)
    data["load"] = load
    return Scenario.model_validate(data)


def _wide(sites: Sites) -> dict[str, Any]:
    data = load_scenario("seven-sites").model_dump()
    data["carrier"]["bandwidth_prb"] = 273
    data["layout"]["sites"] = sites
    data["radio"]["k_interferers"] = min(4, 3 * sites - 1)
    return data
