"""`ranloop admit` and `ranloop dismiss`: which xApps a host hears, changed while it runs."""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from pathlib import Path

from ranloop.bus import open_bus, without_password
from ranloop.cli.values import check_name, operator_name, parse_autonomy, parse_shard
from ranloop.errors import RanloopError, WireError
from ranloop.foreign import one_line
from ranloop.wire import topics
from ranloop.wire.codec import decode_standing, encode
from ranloop.wire.messages import Admission, Standing
from ranloop.xapp.manifest import load_manifest, shard_of

__all__ = ("admit", "dismiss")

MOST_PRIORITY = 1_000_000
FORMER_S = 0.2  # a broker sends what it retained at once
CONFIRMED_S = 5.0  # a running host answers within milliseconds


def admit(
    folder: Path,
    host: str,
    bus_url: str,
    *,
    autonomy: str,
    priority: int,
    shard: str = "",
    json_output: bool = False,
) -> int:
    """Admit an xApp to a host, or change its rights, autonomy and priority; 0 when the host confirms it.

    Raises:
        RanloopError: The folder has no good manifest, the host refuses it, or no host confirms it.
    """
    part = parse_shard(shard)
    manifest = load_manifest(folder) if part is None else shard_of(load_manifest(folder), part)
    if abs(priority) > MOST_PRIORITY:
        raise RanloopError(
            f"--priority {priority}: want a whole number from -{MOST_PRIORITY} to {MOST_PRIORITY}"
        )
    admission = Admission(
        id=uuid.uuid4().hex,
        xapp=manifest.name,
        rights=manifest.rights.as_facts(),
        autonomy=str(parse_autonomy(autonomy)),
        priority=priority,
        encoding=manifest.encoding,
        by=operator_name(bus_url),
    )
    return _order(admission, host, bus_url, json_output=json_output)


def dismiss(xapp: str, host: str, bus_url: str, *, json_output: bool = False) -> int:
    """Send an xApp away from a host; its settings go back to their defaults. 0 when the host confirms it.

    Raises:
        RanloopError: No host confirms it.
    """
    check_name("xApp", xapp)
    word = Admission(id=uuid.uuid4().hex, xapp=xapp, admitted=False, by=operator_name(bus_url))
    return _order(word, host, bus_url, json_output=json_output)


def _order(admission: Admission, host: str, bus_url: str, *, json_output: bool) -> int:
    check_name("host", host)
    confirmed: dict[str, Standing] = {}

    def on_standing(topic: str, payload: bytes) -> None:
        with contextlib.suppress(WireError):  # of another node, or malformed: it confirms nothing
            standing = decode_standing(payload)
            if standing.order == admission.id and topic == topics.standing(standing.node):
                confirmed[standing.node] = standing

    topic, place = topics.admission(host, admission.xapp), without_password(bus_url)
    with contextlib.closing(open_bus(bus_url, name="operator")) as bus:
        former: list[bytes] = []
        own = bus.subscribe(topic, lambda _, payload: former.append(payload), qos=1)
        while bus.poll(FORMER_S):
            pass
        own.cancel()
        bus.subscribe(topics.standing("+"), on_standing, qos=1, latest=True)
        # An admission stands; a dismissal ends the one that stands and is told to the host that runs.
        bus.publish(topic, encode(admission) if admission.admitted else b"", qos=1, retain=True)
        if not admission.admitted:
            bus.publish(topic, encode(admission), qos=1)
        give_up_s = time.monotonic() + CONFIRMED_S
        while not confirmed and (left_s := give_up_s - time.monotonic()) > 0:
            bus.poll(left_s)
        bus.poll(0.05)  # the other nodes of the host
        refused = next((standing.refused for standing in confirmed.values() if standing.refused), "")
        if refused:
            bus.publish(topic, former[-1] if former else b"", qos=1, retain=True)  # as it was before
            bus.poll(0.0)
    if refused:
        raise RanloopError(f"host {host!r} does not admit {admission.xapp}: {one_line(refused, 1000)}")
    if not confirmed:
        stands = "if the broker let this user write there, it stands, and the host obeys it when it starts"
        raise RanloopError(
            f"no host {host!r} on {place} confirmed it within {CONFIRMED_S:g} s"
            + (f"; {stands}" if admission.admitted else "; no admission stands there any more")
        )
    done = "admitted" if admission.admitted else "dismissed"
    facts = {"xapp": admission.xapp, "host": host, done: sorted(confirmed)}
    print(
        json.dumps(facts, indent=2)
        if json_output
        else f"{admission.xapp} is {done} at {host}: {', '.join(sorted(confirmed))}"
    )
    return 0
