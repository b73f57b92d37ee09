"""`ranloop settings`: an xApp's settings, read and changed while it runs."""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from ranloop.bus import Bus, is_question, open_bus, without_password
from ranloop.cli.values import check_name, operator_name, parse_pairs
from ranloop.errors import RanloopError, WireError
from ranloop.foreign import one_line
from ranloop.vocabulary.near import near_matches
from ranloop.wire import topics
from ranloop.wire.codec import decode_presence, decode_settings, encode
from ranloop.wire.messages import Presence, Settings

__all__ = ("change_settings",)

QUIET_S = 0.3  # a broker sends what it retained at once
CONFIRMED_S = 5.0  # a running xApp answers within milliseconds


def change_settings(
    where: str, xapp: str, pairs: Sequence[str], bus_url: str, *, forget: bool, json_output: bool
) -> int:
    """Change settings of a running xApp, withdraw what was changed, or show what is in force.

    Args:
        where: Name of a host, or of one of its nodes.
        xapp: Name of the xApp.
        pairs: NAME=VALUE; none shows the settings.
        forget: Withdraw all changes for the xApp's next start; now nothing changes.

    Raises:
        RanloopError: There is no such host or xApp, the xApp refuses a value, or it does not answer.
    """
    check_name("host or node", where)
    check_name("xApp", xapp)
    given = parse_pairs("setting", pairs)
    if forget and given:
        raise RanloopError("--forget withdraws what was changed, and changes nothing: leave out NAME=VALUE")
    place = without_password(bus_url)
    with contextlib.closing(open_bus(bus_url, name="operator")) as bus:
        line = _Line(bus, xapp)
        host = line.host_of(where, place)
        former = line.standing.get(host)
        if forget:
            bus.publish(topics.settings(host, xapp), b"", qos=1, retain=True)
            facts: dict[str, Any] = {
                "xapp": xapp,
                "host": host,
                "forgotten": dict(former.values) if former else {},
            }
        else:
            if given:
                merged = dict(former.values if former else {}) | given
                line.order(host, _settings(merged, operator_name(bus_url)), former)
            facts = {"xapp": xapp, "host": host, "settings": line.in_force(place)}
    print(json.dumps(facts, indent=2) if json_output else _lines(facts))
    return 0


def _settings(values: Mapping[str, Any], by: str) -> Settings:
    for name, value in values.items():
        if not isinstance(value, bool | int | float | str):
            raise RanloopError(f"setting {name}={json.dumps(value)}: want a number, true, false or text")
    return Settings(id=uuid.uuid4().hex, values=values, by=by)


def _lines(facts: Mapping[str, Any]) -> str:
    if "forgotten" in facts:
        names = ", ".join(facts["forgotten"]) or "nothing"
        return f"forgotten of {facts['xapp']} at {facts['host']}: {names}; it stays in force until the xApp starts again"
    return (
        "\n".join(f"{name} = {json.dumps(value)}" for name, value in facts["settings"].items())
        or "no settings"
    )


class _Line:
    """What the bus says about one xApp and its hosts."""

    def __init__(self, bus: Bus, xapp: str) -> None:
        self._bus, self._xapp = bus, xapp
        self._signs: dict[str, Presence] = {}
        self.standing: dict[str, Settings] = {}  # host -> what was ordered there
        bus.subscribe(topics.presence("+"), self._on_presence, qos=1, latest=True)
        bus.subscribe(topics.settings("+", xapp), self._on_settings, qos=1)
        while bus.poll(QUIET_S):
            pass

    def _on_presence(self, topic: str, payload: bytes) -> None:
        with contextlib.suppress(WireError):
            presence = decode_presence(payload)
            if topic == topics.presence(presence.name) and not is_question(presence):
                self._signs[presence.name] = presence

    def _on_settings(self, topic: str, payload: bytes) -> None:
        host = topics.levels(topic)[1]
        self.standing.pop(host, None)
        with contextlib.suppress(WireError):
            if payload:
                self.standing[host] = decode_settings(payload)

    def host_of(self, where: str, place: str) -> str:
        """The host of this name or with this node, which admits the xApp; by life signs, which grant no right.

        Raises:
            RanloopError: There is none.
        """
        hosts = {
            name: (_names(sign, "nodes"), _names(sign, "xapps"))
            for name, sign in self._signs.items()
            if sign.alive and sign.facts.get("kind") == "node-host"
        }
        host = next((name for name, (nodes, _) in hosts.items() if where == name or where in nodes), None)
        if host is None:
            known = sorted({*hosts, *(node for nodes, _ in hosts.values() for node in nodes)})
            near = ", ".join(near_matches(where, known) or known) or "none at all"
            raise RanloopError(f"no host or node {where!r} on {place}; there is {one_line(near)}")
        admitted = hosts[host][1]
        if self._xapp not in admitted:
            near = ", ".join(near_matches(self._xapp, admitted) or admitted) or "no xApp at all"
            raise RanloopError(f"{host} does not admit {self._xapp!r}; there is {one_line(near)}")
        return host

    def order(self, host: str, settings: Settings, former: Settings | None) -> None:
        """Publish an order, and wait for the xApp's answer.

        Raises:
            RanloopError: The xApp refuses it, and what was ordered before stands again; or it does not answer.
        """
        topic = topics.settings(host, self._xapp)
        self._bus.publish(topic, encode(settings), qos=1, retain=True)
        give_up_s = time.monotonic() + CONFIRMED_S
        while (answer := self._answer()).get("id") != settings.id and (
            left_s := give_up_s - time.monotonic()
        ) > 0:
            self._bus.poll(left_s)
        if answer.get("id") != settings.id:
            raise RanloopError(
                f"{self._xapp} did not answer within {CONFIRMED_S:g} s: it does not run, or takes no settings while it runs; "
                "the order stands until --forget, and it gets it when it starts"
            )
        if refused := answer.get("refused"):
            self._bus.publish(topic, encode(former) if former else b"", qos=1, retain=True)
            self._bus.poll(0.0)
            raise RanloopError(f"{one_line(str(refused), 1000)}; nothing has changed")

    def _answer(self) -> Mapping[str, Any]:
        sign = self._signs.get(self._xapp)
        answer = sign.facts.get("settings_order") if sign is not None and sign.alive else None
        return answer if isinstance(answer, Mapping) else {}

    def in_force(self, place: str) -> dict[str, Any]:
        """The settings in the xApp's life sign.

        Raises:
            RanloopError: It has none.
        """
        sign = self._signs.get(self._xapp)
        found = sign.facts.get("settings") if sign is not None and sign.alive else None
        if not isinstance(found, Mapping):
            raise RanloopError(f"{self._xapp} does not say on {place} which settings it has; does it run?")
        return dict(found)


def _names(sign: Presence, fact: str) -> list[str]:
    found = sign.facts.get(fact)
    return [str(name) for name in found] if isinstance(found, list) else []
