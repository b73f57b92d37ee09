"""A RAN node without ranloop: JSON lines over standard input and output. `ranloop host "pipe:python node.py" --allow XAPP`

One cell of 60 Mbit/s, shared by four UEs in proportion to their weights. A report every 100 ms of this program's own clock.
It ends when its standard input does.
"""

import json
import sys
import threading
import time

CELL_KBPS, UES, PERIOD_S = 60_000.0, (1, 2, 3, 4), 0.1
weights = dict.fromkeys(UES, 1.0)
lock = threading.Lock()


def say(**message):
    """One JSON object on one line, at once: a line that waits in a buffer is a report that comes late."""
    with lock:
        print(json.dumps({"v": 1, **message}), flush=True)


def obey():
    """Put each change in force, and answer with what is in force then."""
    for line in sys.stdin:
        change = json.loads(line)
        if change["kind"] != "change":
            continue  # of a later version of the wire
        applied = []
        for ue, weight in zip(change["targets"]["ue"], change["parameters"]["weight"], strict=True):
            if ue in weights:
                weights[ue] = 1.0 if weight is None else weight  # null: the node's own configuration
            applied.append(weights.get(ue))  # null: no such UE here
        say(kind="applied", number=change["number"], values={"weight": applied})


def report(seq):
    total = sum(weights.values())
    say(
        kind="report",
        node="foreign-1",
        level="ue",
        period_ms=100,
        seq=seq,
        ran_time_ns=(seq + 1) * 100_000_000,
        ids={"ue": list(UES), "cell": [0] * len(UES)},
        labels={"ue": {str(ue): f"imsi-{ue}" for ue in UES}, "cell": {"0": "north"}},
        values={
            "DRB.UEThpDl": [CELL_KBPS * weights[ue] / total for ue in UES],
            "X.UE.Weight": [weights[ue] for ue in UES],
        },
    )


say(
    kind="catalogue",
    node="foreign-1",
    measurements={"ue": ["DRB.UEThpDl", "X.UE.Weight"]},
    actions=["SetUeWeight"],
    periods_ms=[100],
    cells={"0": "north"},
    control_delay_ms=10.0,
)
hears = threading.Thread(target=obey, name="changes")
hears.start()
began_s, seq = time.monotonic(), 0
while hears.is_alive():
    hears.join(max(0.0, began_s + (seq + 1) * PERIOD_S - time.monotonic()))
    if hears.is_alive():
        report(seq)
        seq += 1
