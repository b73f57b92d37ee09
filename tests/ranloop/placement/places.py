"""A small xApp with a placed model, and tiers whose times can be worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ranloop.inference import Feature
from ranloop.placement import Tiers, VirtualTiers
from ranloop.testing import make_report
from ranloop.wire.messages import Answer, Step
from ranloop.xapp.instance import Instance
from ranloop.xapp.loader import load_package
from tests.builders import write_xapp
from tests.model_packages import write_model

MS = 1_000_000
THROUGHPUT = (Feature(measurement="DRB.UEThpDl", unit="kbit/s"),)
# The weight is 1 where the model here answered, 2 where the better one did; a UE without an answer is left out.
APP = """
import numpy as np
from ranloop import SetUeWeight, XApp
app = XApp()
load = app.model("load")

@app.on_report("DRB.UEThpDl")
def act(report):
    more = np.round(load(report) - report["DRB.UEThpDl"])
    known = ~np.isnan(more)
    return SetUeWeight(ue=report.ue[known], weight=1.0 + more[known])
"""
MANIFEST = """\
name = "placed"
version = "1"
summary = "test"

[[streams]]
level = "ue"
every_ms = 100
measurements = ["DRB.UEThpDl"]

[[actions]]
name = "SetUeWeight"
ranges = {{ weight = [0.5, 4.0] }}
rate_per_s = 1000

[models]
load = "{models}/small"

[placement.load]
pattern = "edge-first"
better = "{models}/large"
ask = ["regional", "central"]
wait_ms = 50
{more}
"""
# One row is 4 bytes of 256 + 4: 260 B take 0.02 ms at 100 Mb/s.
TIERS: dict[str, Any] = {
    "here": "edge",
    "zones": {"site": "raw", "operator": "per-ue", "cloud": "per-cell"},
    "tiers": {
        "edge": {"zone": "site", "above": "regional", "gmac_per_s": 30},
        "regional": {
            "zone": "operator",
            "above": "central",
            "round_trip_ms": 20,
            "bandwidth_mbps": 1e9,
            "gmac_per_s": 3000,
        },
        "central": {"zone": "operator", "round_trip_ms": 40, "bandwidth_mbps": 1e9, "gmac_per_s": 10000},
    },
}


def tiers(**of: dict[str, Any]) -> Tiers:
    """`TIERS`, with other fields of single tiers."""
    changed = {name: {**tier, **of.get(name, {})} for name, tier in TIERS["tiers"].items()}
    return Tiers.model_validate({**TIERS, "tiers": changed})


def down(from_s: float, to_s: float) -> dict[str, Any]:
    """A tier that is down for a while."""
    return {"events": [{"what": "down", "from_s": from_s, "to_s": to_s}]}


def write_models(folder: Path) -> Path:
    """`small` gives the throughput, `large` the throughput and one."""
    write_model(folder / "small", features=THROUGHPUT)
    write_model(folder / "large", features=THROUGHPUT, more=1.0)
    return folder


def write_placed(folder: Path, models: Path, more: str = "") -> Path:
    """The xApp, with `more` in its placement."""
    return write_xapp(folder, app=APP, text=MANIFEST.format(models=models, more=more))


class Loop:
    """The xApp, handed one report every 100 ms as a lockstep host does."""

    def __init__(self, xapp: Path, reach: VirtualTiers | None) -> None:
        self.instance = Instance(load_package(xapp), reach=reach)

    def step(self, seq: int, *, level: str = "ue", ues: tuple[int, ...] = (4, 5), run: str = "r") -> Answer:
        """The answer to the report of period `seq`, whose RAN time is 100 ms * (seq + 1)."""
        report = make_report(
            {"DRB.UEThpDl": [3.0] * len(ues)}, seq=seq, ids={"ue": ues, "cell": [0] * len(ues)}
        )
        answer = self.instance.handle(
            Step(host="host", step=seq, ran_time_ns=report.ran_time_ns, reports=(report,))
        )
        assert not answer.error, answer.error
        return answer


def seen(answer: Answer) -> tuple[float, str, str, str, list[float]]:
    """Wait in ms, reason, tier, what stands in, and the weights of an answer."""
    (batch,) = answer.batches
    (how,) = batch.inferences
    weights = batch.action.parameters()[:, 0].tolist()
    return answer.waited_ns / MS, how.reason, how.tier, how.instead, weights
