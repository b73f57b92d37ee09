"""What many tests build: small xApp folders, and reports of a host's run."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from pathlib import Path

from ranloop.wire.messages import Report

MANIFEST = """\
name = "{name}"
version = "0.1.0"
summary = "test"

[[streams]]
level = "ue"
every_ms = 100
measurements = ["CQI"]

[[actions]]
name = "SetUeWeight"
ranges = {{ weight = [0.5, 4.0] }}
rate_per_s = 1000

[settings.gain]
type = "float"
default = 1.0
low = 0.0
high = 10.0
description = "how much"
"""
APP = """
from ranloop import Report, SetUeWeight, XApp
from .policy import weight
app = XApp()

@app.on_report("CQI")
def act(report: Report) -> SetUeWeight:
    return SetUeWeight(ue=report.ue, weight=weight(report["CQI"]) * app.settings["gain"])
"""


def write_xapp(
    folder: Path, *, app: str = APP, policy: str = "def weight(cqi): return cqi * 0 + 2.0", **manifest: str
) -> Path:
    folder.mkdir(parents=True)
    (folder / "manifest.toml").write_text(manifest.get("text") or MANIFEST.format(name=folder.name))
    (folder / "app.py").write_text(textwrap.dedent(app))
    (folder / "policy.py").write_text(policy + "\n")
    return folder


def in_run(run: str, report: Report) -> Report:
    """The report as a host of this run sends it."""
    return replace(report, run=run)
