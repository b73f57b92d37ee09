"""Says for how many flows a model expects less than a rate, and how often it answered late."""

from collections import Counter

from ranloop import Report, XApp
from ranloop.inference import Late

app = XApp()
rate = app.model("rate")  # the manifest says which package that is
seen: Counter[str] = Counter()


@app.on_report("CQI", "X.UE.SpectralEffDl", "X.UE.MeanMcsDl", "RSRP", level="qos_flow", every_ms=100)
def watch(report: Report) -> None:
    answer = rate.ask(report, within_ms=50)  # one row per flow, in the units of the card
    if isinstance(answer, Late):
        seen["late"] += 1
    else:
        seen["slow"] += int((answer < app.settings["low_bits_per_prb"]).sum())  # NaN is not slow


@app.summary
def findings() -> dict[str, int]:
    return dict(seen)
