"""Packages and an xApp for a split whose times can be worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ranloop.inference import Output
from tests.ranloop.placement.graphs import MEASURED, write_graph
from tests.ranloop.placement.places import write_placed

RAW = MEASURED.model_copy(update={"sensitivity": "raw"})
# The first layer of `chain` has 2 multiply-accumulates, all three 26: at 2e-7 GMAC/s 10 ms and 130 ms a row.
SLOW: dict[str, Any] = {"gmac_per_s": 2e-7}


def write_chain(folder: Path, **more: Any) -> Path:
    fields = {"features": (RAW,), "sensitivity_inside": "per-ue", **more}
    return write_graph(folder, "chain", outputs=(Output(name="sum", unit="1"),), **fields)


def write_split(folder: Path, models: Path, more: str = "") -> Path:
    xapp = write_placed(folder, models, more)
    text = (xapp / "manifest.toml").read_text().replace('"edge-first"', '"split"')
    (xapp / "manifest.toml").write_text(text)
    return xapp
