"""A bus whose broker keeps retained messages to itself at first, as nats-server does now and then."""

from __future__ import annotations

import time

import paho.mqtt.client as paho

from ranloop.bus import Bus
from ranloop.bus.interest import FIRST_ASK_S
from ranloop.bus.mqtt import MqttBus


def loses_first_copies(bus: Bus) -> Bus:
    """`bus`, to which nothing that is retained comes until it has had time to ask again.

    However many of its subscriptions fetch it: each has a copy sent.
    """
    assert isinstance(bus, MqttBus)
    deliver, loses_until_s = bus._client.on_message, time.monotonic() + 0.8 * FIRST_ASK_S
    assert deliver is not None

    def on_message(client: paho.Client, data: object, message: paho.MQTTMessage) -> None:
        if message.retain and time.monotonic() < loses_until_s:
            client.ack(message.mid, message.qos)
        else:
            deliver(client, data, message)

    bus._client.on_message = on_message
    return bus
