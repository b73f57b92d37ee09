"""A bus whose broker keeps the first copy of each retained message to itself, as nats-server does now and then."""

from __future__ import annotations

import paho.mqtt.client as paho

from ranloop.bus import Bus
from ranloop.bus.mqtt import MqttBus


def loses_first_copies(bus: Bus) -> Bus:
    """`bus`, to which nothing that was retained before it subscribes comes at the first asking."""
    assert isinstance(bus, MqttBus)
    deliver, lost = bus._client.on_message, set[str]()
    assert deliver is not None

    def on_message(client: paho.Client, data: object, message: paho.MQTTMessage) -> None:
        if message.retain and message.topic not in lost:
            lost.add(message.topic)
            client.ack(message.mid, message.qos)
        else:
            deliver(client, data, message)

    bus._client.on_message = on_message
    return bus
