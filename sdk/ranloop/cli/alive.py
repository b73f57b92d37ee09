"""`ranloop alive`: whether a participant of a bus answers, for the health check of its own container."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path

from ranloop.bus import health_question, new_run, open_bus, without_password
from ranloop.cli.values import check_name, check_positive
from ranloop.errors import BusError, RanloopError, WireError
from ranloop.wire import topics
from ranloop.wire.codec import decode_presence, encode
from ranloop.xapp.manifest import MANIFEST_FILE, load_manifest

__all__ = ("tell_alive",)


def tell_alive(
    participant: str, url: str, *, timeout_s: float, or_no_broker: bool, json_output: bool = False
) -> int:
    """Ask a participant under its own name, which the broker lets its own credentials do; 0 if it answers, else 1.

    The question goes to the loop that handles reports or runs the node, so a process that hangs does not answer.

    Args:
        participant: Name of a host or xApp, or the xApp's folder.
        timeout_s: Patience with the broker, and again with the participant.
        or_no_broker: Whether a broker that cannot be reached counts as well: a restart of the participant would not help.

    Raises:
        RanloopError: The name or the address cannot be used.
    """
    check_positive("--timeout-s", timeout_s)
    is_folder = (Path(participant) / MANIFEST_FILE).is_file()
    name = load_manifest(Path(participant)).name if is_folder else participant
    check_name("host or xApp", name)
    try:
        why = "" if _answers(name, url, timeout_s) else f"{name} does not answer on {without_password(url)}"
        alive = not why
    except BusError as error:
        alive, why = or_no_broker, str(error)
    if json_output:
        print(json.dumps({"name": name, "alive": alive, "why": why}, indent=2))
    else:
        print(why or f"{name} is alive")
    return 0 if alive else 1


def _answers(name: str, url: str, timeout_s: float) -> bool:
    if url.startswith("memory:"):
        raise RanloopError(f"--bus {url} is a bus inside one process; give the address of a broker")
    question = health_question(name, new_run())
    heard: list[bool] = []

    def hear(_topic: str, payload: bytes) -> None:
        with contextlib.suppress(WireError):
            if decode_presence(payload).facts.get("answers") == question.facts["run"]:
                heard.append(True)

    with contextlib.closing(open_bus(url, name=f"{name}-health", connect_timeout_s=timeout_s)) as bus:
        bus.subscribe(topics.presence(name), hear, qos=1)
        bus.publish(topics.presence(name), encode(question), qos=1)
        give_up_s = time.monotonic() + timeout_s
        while not heard and (left_s := give_up_s - time.monotonic()) > 0:
            bus.poll(left_s)
    return bool(heard)
