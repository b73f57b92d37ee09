"""Messages about the loop, not in it: what operators order, what stands at a host, settings and alarms of an xApp."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = (
    "MAX_ALARMS",
    "Admission",
    "Alarm",
    "Alarms",
    "Encoding",
    "Order",
    "SettingValue",
    "Settings",
    "Severity",
    "Standing",
)

MAX_ALARMS = 64  # active ones of one xApp
Encoding = Literal["binary", "json"]
SettingValue = float | int | bool | str
# Perceived severities of ITU-T X.733, as in the alarms of TS 28.532 clause 11.2.1; the most severe first.
Severity = Literal["critical", "major", "minor", "warning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An operator's order to a node's guard: the kill switch, or the autonomy of one xApp.

    Orders are retained: a node that is started again still obeys them. The guard confirms one by its `id`.
    """

    id: str = ""
    kill: bool | None = None
    xapp: str = ""
    autonomy: str = ""
    by: str = ""  # the operator's name, for the audit log; nothing proves it


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The orders that stand at a node, published whenever its host has heard one.

    This message is the host's memory of the operator's orders, for the case that the broker loses them.

    Attributes:
        node: Name of the RAN node.
        order: Id of the order obeyed last.
        killed: Whether the guard refuses every action.
        autonomy: Level of every registered xApp.
        orders: Place of an order (`topics.place`: `all`, the node, or `node/xapp`) -> the order that stands there.
        shut_out: xApp that flooded -> id of the order that let it act until then; another order lets it back.
        refused: The reason why the order was not carried out; "" if it was.
    """

    node: str
    order: str
    killed: bool
    autonomy: Mapping[str, str]
    orders: Mapping[str, Order] = field(default_factory=dict)
    shut_out: Mapping[str, str] = field(default_factory=dict)
    refused: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """An operator's word to one host about one xApp: it comes, its rights change, or it goes.

    The message is retained, so a restarted host admits the xApp again. The host confirms it by its `id` in `Standing`.

    Attributes:
        id: Id of this message.
        xapp: Name of the xApp.
        admitted: False sends the xApp away; the other fields mean nothing then.
        rights: `streams` and `actions` as in its manifest.
        autonomy: observe, recommend or act.
        priority: A higher one displaces the settings of a lower one.
        encoding: The form in which the host speaks to it.
        by: As in `Order`.
    """

    id: str
    xapp: str
    admitted: bool = True
    rights: Mapping[str, Any] = field(default_factory=dict)
    autonomy: str = "act"
    priority: int = 0
    encoding: Encoding = "binary"
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """An operator's values of the settings of one xApp at one host: all that were changed, in one message; retained.

    The host hands them to the xApp with its next step. The xApp checks them against its manifest and answers in its life
    sign: `settings` has the values in force, `settings_order` the `id` and the reason of a refusal.

    Attributes:
        id: Id of this message.
        values: Setting -> value.
        by: As in `Order`.
    """

    id: str
    values: Mapping[str, SettingValue]
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """An active alarm; its name, node and target tell it from others.

    Attributes:
        name: What is wrong, such as "sleeping-cell".
        severity: By ITU-T X.733: critical and major are service affecting, minor is not, a warning is about what may come.
        node: RAN node that it is about; "" for none.
        target: What at the node, in the node's own words, such as the name of a cell.
        text: For a person.
        since_ns: RAN time at which it was raised.
    """

    name: str
    severity: Severity
    node: str = ""
    target: str = ""
    text: str = ""
    since_ns: int = 0

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from others: name, node, target."""
        return self.name, self.node, self.target


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarms:
    """All active alarms of one xApp, whole, whenever they change; retained, and an empty message where there are none.

    Attributes:
        xapp: Sender.
        active: In the order of their keys.
        left_out: Alarms that the xApp raised and that found no room in the list.
    """

    xapp: str
    active: tuple[Alarm, ...] = ()
    left_out: int = 0
