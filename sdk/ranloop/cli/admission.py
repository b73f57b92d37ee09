"""`ranloop admit` and `ranloop dismiss`: which xApps a host hears, changed while it runs."""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from pathlib import Path

from ranloop.bus import open_bus, without_password
from ranloop.cli.values import check_name, parse_autonomy
from ranloop.errors import RanloopError, WireError
from ranloop.foreign import one_line
from ranloop.wire import topics
from ranloop.wire.codec import decode_standing, encode
from ranloop.wire.messages import Admission, Standing
from ranloop.xapp.manifest import load_manifest

__all__ = ("admit", "dismiss")

CONFIRMED_S = 5.0  # a running host answers within milliseconds


def admit(
    folder: Path, host: str, bus_url: str, *, autonomy: str, priority: int, json_output: bool = False
) -> int:
    """Admit an xApp to a host, or change its rights, autonomy and priority; 0 when the host confirms it.

    Raises:
        RanloopError: The folder has no good manifest, the host refuses it, or no host confirms it.
    """
    manifest = load_manifest(folder)
    admission = Admission(
        id=uuid.uuid4().hex,
        xapp=manifest.name,
        rights=manifest.rights.model_dump(mode="json", exclude_defaults=True),
        autonomy=str(parse_autonomy(autonomy)),
        priority=priority,
        encoding=manifest.encoding,
    )
    return _order(admission, host, bus_url, json_output=json_output)


def dismiss(xapp: str, host: str, bus_url: str, *, json_output: bool = False) -> int:
    """Send an xApp away from a host; its settings go back to their defaults. 0 when the host confirms it.

    Raises:
        RanloopError: No host confirms it.
    """
    check_name("xApp", xapp)
    return _order(
        Admission(id=uuid.uuid4().hex, xapp=xapp, admitted=False), host, bus_url, json_output=json_output
    )


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
        bus.subscribe(topics.standing("+"), on_standing, qos=1, latest=True)
        bus.publish(topic, encode(admission), qos=1, retain=True)
        give_up_s = time.monotonic() + CONFIRMED_S
        while not confirmed and (left_s := give_up_s - time.monotonic()) > 0:
            bus.poll(left_s)
        bus.poll(0.05)  # the other nodes of the host
        refused = next((standing.refused for standing in confirmed.values() if standing.refused), "")
        if refused:
            bus.publish(topic, b"", qos=1, retain=True)  # it must not be tried again at each start
            bus.poll(0.0)
    if refused:
        raise RanloopError(f"host {host!r} does not admit {admission.xapp}: {one_line(refused, 1000)}")
    if not confirmed:
        raise RanloopError(
            f"no host {host!r} on {place} confirmed it within {CONFIRMED_S:g} s; it stands on the broker, and the host "
            "obeys it when it starts"
        )
    done = "admitted" if admission.admitted else "dismissed"
    facts = {"xapp": admission.xapp, "host": host, done: sorted(confirmed)}
    print(
        json.dumps(facts, indent=2)
        if json_output
        else f"{admission.xapp} is {done} at {host}: {', '.join(sorted(confirmed))}"
    )
    return 0
