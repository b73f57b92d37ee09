"""The topics as a table: message, writers and readers of each, and whether the broker retains it.

`topics` makes the topics. This table serves people, access lists (`access`) and generators (`schema`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ranloop.wire import topics

Role = Literal["host", "xapp", "inference", "operator", "observer"]
MessageName = Literal[
    "report",
    "action_batch",
    "result",
    "catalogue",
    "presence",
    "order",
    "standing",
    "admission",
    "settings",
    "alarms",
    "step",
    "answer",
    "asked",
    "inferred",
]
Form = Literal["binary", "json"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One kind of topic.

    Attributes:
        name: Name of the channel.
        topic: Makes the topic from the `parameters`, in their order.
        parameters: Names of the topic's levels behind its kind.
        message: Kind of message.
        forms: Forms of the message on this topic.
        writers: Roles that publish. In an access list a client has its own name in the topic, if the topic has one.
        readers: Roles that subscribe. An observer reads everything and writes nothing.
        qos: MQTT quality of service of the publisher.
        retained: Whether the broker keeps the last message for later subscribers.
        purpose: One sentence.
    """

    name: str
    topic: Callable[..., str]
    parameters: tuple[str, ...]
    message: MessageName
    forms: tuple[Form, ...]
    writers: tuple[Role, ...]
    readers: tuple[Role, ...]
    qos: Literal[0, 1] = 1
    retained: bool = False
    purpose: str

    @property
    def address(self) -> str:
        """The topic with its parameters in braces, e.g. `ranloop/1/act/{xapp}/{node}`."""
        levels = self.topic(*self.parameters).split("/")
        first = topics.ROOT.count("/") + 2  # behind the root and the kind of topic
        levels[first : first + len(self.parameters)] = [f"{{{name}}}" for name in self.parameters]
        return "/".join(levels)


PARAMETERS = {
    "node": "Name of the RAN node.",
    "level": "Kind of target of a row: cell, ue, slice, qos_flow or ue_cell.",
    "period_ms": "Granularity period in milliseconds.",
    "xapp": "Name of the xApp; on topics that it writes, its identity.",
    "host": "Name of the node host.",
    "name": "Name of the living xApp, node host or inference host.",
    "inference": "Name of the inference host.",
}
_EITHER: tuple[Form, ...] = ("json", "binary")

CHANNELS: tuple[Channel, ...] = (
    Channel(
        name="report",
        topic=topics.report,
        parameters=("node", "level", "period_ms"),
        message="report",
        forms=("binary",),
        writers=("host",),
        readers=("xapp", "observer"),
        qos=0,
        purpose="All measurements of one level of a node, once per granularity period.",
    ),
    Channel(
        name="report_json",
        topic=topics.report_json,
        parameters=("node", "level", "period_ms"),
        message="report",
        forms=("json",),
        writers=("host",),
        readers=("xapp", "observer"),
        qos=0,
        purpose="The same, with the measurements that xApps with encoding = json read.",
    ),
    Channel(
        name="act",
        topic=topics.act,
        parameters=("xapp", "node"),
        message="action_batch",
        forms=_EITHER,
        writers=("xapp",),
        readers=("host", "observer"),
        purpose="The actions that one xApp asks of a node; the node's guard judges them.",
    ),
    Channel(
        name="result",
        topic=topics.result,
        parameters=("xapp", "node"),
        message="result",
        forms=_EITHER,
        writers=("host",),
        readers=("xapp", "observer"),
        purpose="The fate of each target of an action batch, in the xApp's form.",
    ),
    Channel(
        name="catalogue",
        topic=topics.catalogue,
        parameters=("node",),
        message="catalogue",
        forms=("json",),
        writers=("host",),
        readers=("xapp", "operator", "observer"),
        retained=True,
        purpose="The measurements and actions of a node.",
    ),
    Channel(
        name="presence",
        topic=topics.presence,
        parameters=("name",),
        message="presence",
        forms=("json",),
        writers=("host", "xapp", "inference"),
        readers=("host", "xapp", "inference", "operator", "observer"),
        retained=True,
        purpose="Life sign; also the last will, with alive = false.",
    ),
    Channel(
        name="step",
        topic=topics.step,
        parameters=("host", "xapp"),
        message="step",
        forms=_EITHER,
        writers=("host",),
        readers=("xapp", "observer"),
        purpose="Lockstep: everything that is due for one xApp at one instant.",
    ),
    Channel(
        name="answer",
        topic=topics.answer,
        parameters=("xapp", "host"),
        message="answer",
        forms=_EITHER,
        writers=("xapp",),
        readers=("host", "observer"),
        purpose="Lockstep: everything that the xApp wants after one step; one answer to each.",
    ),
    Channel(
        name="kill_all",
        topic=topics.order_all,
        parameters=(),
        message="order",
        forms=("json",),
        writers=("operator",),
        readers=("host", "operator", "observer"),
        retained=True,
        purpose="An operator's order to all nodes; a node is killed while this one or its own says so.",
    ),
    Channel(
        name="kill_switch",
        topic=topics.order,
        parameters=("node",),
        message="order",
        forms=("json",),
        writers=("operator",),
        readers=("host", "operator", "observer"),
        retained=True,
        purpose="An operator's order to a node: return everything to its default, or take actions again.",
    ),
    Channel(
        name="autonomy",
        topic=topics.order,
        parameters=("node", "xapp"),
        message="order",
        forms=("json",),
        writers=("operator",),
        readers=("host", "operator", "observer"),
        retained=True,
        purpose="An operator's order about one xApp: how far it may go.",
    ),
    Channel(
        name="admission",
        topic=topics.admission,
        parameters=("host", "xapp"),
        message="admission",
        forms=("json",),
        writers=("operator",),
        readers=("host", "operator", "observer"),
        retained=True,
        purpose="An operator's word to one host: an xApp comes, its rights change, or it goes.",
    ),
    Channel(
        name="settings",
        topic=topics.settings,
        parameters=("host", "xapp"),
        message="settings",
        forms=("json",),
        writers=("operator",),
        readers=("host", "operator", "observer"),
        retained=True,
        purpose="An operator's values of an xApp's settings; the host hands them over in a step.",
    ),
    Channel(
        name="alarms",
        topic=topics.alarms,
        parameters=("xapp",),
        message="alarms",
        forms=("json",),
        writers=("xapp",),
        readers=("host", "operator", "observer"),
        retained=True,
        purpose="The active alarms of an xApp, whole, whenever they change.",
    ),
    Channel(
        name="standing",
        topic=topics.standing,
        parameters=("node",),
        message="standing",
        forms=("json",),
        writers=("host",),
        readers=("host", "operator", "observer"),
        retained=True,
        purpose="Which orders stand at a node; its host reads them back when it starts.",
    ),
    Channel(
        name="ask",
        topic=topics.ask,
        parameters=("inference", "xapp"),
        message="asked",
        forms=("binary",),
        writers=("xapp",),
        readers=("inference", "observer"),
        qos=0,
        purpose="What an xApp asks of a model on another tier; of no use after its deadline, so it is sent once.",
    ),
    Channel(
        name="inferred",
        topic=topics.inferred,
        parameters=("xapp", "inference"),
        message="inferred",
        forms=("binary",),
        writers=("inference",),
        readers=("xapp", "observer"),
        qos=0,
        purpose="The outputs of that model, or why there are none.",
    ),
)
