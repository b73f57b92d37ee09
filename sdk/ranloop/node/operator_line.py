"""What a host hears of its operator: orders, and which xApps come, change rights and go.

All of it is retained, so that a host that starts again obeys what still stands. The broker's access list says who may
publish here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog
from pydantic import ValidationError

from ranloop.bus import AsideBus, Bus
from ranloop.errors import RanloopError, WireError
from ranloop.foreign import one_line
from ranloop.guard import Autonomy, Rights
from ranloop.node.orders import StandingOrders
from ranloop.node.runtime import NodeRuntime, Registration
from ranloop.wire import topics
from ranloop.wire.codec import decode_admission, decode_order, decode_settings, decode_standing, encode
from ranloop.wire.messages import Admission, Order, Result

__all__ = ("OPERATOR", "OperatorLine")

log = structlog.get_logger(__name__)

OPERATOR = "operator"
_KEEP = 4096  # that may wait of one kind: what is retained comes together


class OperatorLine:
    """Obeys the operator.

    Args:
        runtime: Of the host.
        name: Of the host; one level of a topic.
        deliver: Takes the results that an order brings.
        now_ns: RAN time.
        on_change: Called when an xApp came, went, or may be heard again.
    """

    def __init__(
        self,
        runtime: NodeRuntime,
        name: str,
        *,
        deliver: Callable[[Sequence[Result]], None],
        now_ns: Callable[[], int],
        on_change: Callable[[], None],
    ) -> None:
        self._runtime, self._name = runtime, name
        self._deliver, self._now_ns, self._on_change = deliver, now_ns, on_change
        self._orders = {node: StandingOrders(node) for node in runtime.guards}
        self._said: dict[str, bytes] = {}  # node -> what was published last of what stands there
        self.publish: Callable[[str, bytes], None] = lambda topic, payload: None
        self.on_settings: Callable[[str], None] = lambda xapp: (
            None
        )  # told of each xApp that has settings to get

    def listen(self, bus: Bus | AsideBus) -> None:
        """Subscribe to all that an operator says to this host.

        Orders to the nodes of other hosts are heard, too, and ignored: they are few, and nats-server lets a client have few filters.
        """
        for topic, handler in (
            (topics.order("+"), self._on_order),
            (topics.order("+", "+"), self._on_order),
            (topics.standing("+"), self._on_own_standing),
            (topics.admission(self._name, "+"), self._on_admission),
            (topics.settings(self._name, "+"), self._on_settings),
        ):
            bus.subscribe(topic, handler, qos=1, urgent=True, keep=_KEEP)

    def say_what_stands(self) -> None:
        """Publish what stands at each node again; a broker that was restarted has forgotten it."""
        for node, said in self._said.items():
            self.publish(topics.standing(node), said)

    # Orders

    def _on_order(self, topic: str, payload: bytes) -> None:
        _, about, *xapp = topics.levels(topic)
        if about != topics.ALL and about not in self._orders:
            return
        place = topics.place(topic)
        try:
            order = decode_order(payload) if payload else None
            if order and [order.xapp] != (xapp or [""]):
                raise WireError(f"an order about xApp {order.xapp!r} belongs on its own topic")
        except WireError as error:
            self._runtime.drop(OPERATOR, f"order to {about}: {error}")
            return
        for node in self._runtime.guards if about == topics.ALL else [about]:
            self._orders[node].hear(place, order)
            self._obey(node, [order] if order else [])

    def _on_own_standing(self, topic: str, payload: bytes) -> None:
        """What this host obeyed before it was restarted; its own word while it runs says nothing new."""
        node = topics.levels(topic)[1]
        if node not in self._orders or payload == self._said.get(node):
            return
        try:
            standing = decode_standing(payload) if payload else None
        except WireError as error:
            log.warning("standing_ignored", topic=topic, reason=str(error))
            return
        if standing is not None:
            self._runtime.remember_shut_out(standing.shut_out)
            remembered = self._orders[node].remember(standing.orders)
            if remembered or standing.shut_out:
                self._obey(node, remembered)

    def _obey(self, node: str, orders: Sequence[Order]) -> None:
        """Obey orders and say what stands; a withdrawn one (none given) changes nothing that is in force."""
        obeyed, refused = "", ""
        for order in orders:
            try:
                kill = self._orders[node].kill if order.kill is not None else None
                self._deliver(self._runtime.obey(node, order, self._now_ns(), kill=kill))
            except RanloopError as error:
                self._runtime.drop(OPERATOR, f"order to {node}: {error}")
                refused = str(error)
                continue
            obeyed = order.id
        self._on_change()
        if not (orders and refused and not obeyed):
            self._say(node, obeyed)

    def _say(self, node: str, obeyed: str, refused: str = "") -> None:
        standing = self._runtime.standing(node, obeyed, self._orders[node].by_place, refused)
        self._said[node] = encode(standing)
        self.publish(topics.standing(node), self._said[node])

    def say_all(self) -> None:
        """Publish anew what stands at each node: an xApp was shut out."""
        for node in self._orders:
            self._say(node, "")

    # Settings

    def _on_settings(self, topic: str, payload: bytes) -> None:
        xapp = topics.levels(topic)[2]
        try:
            self._runtime.settings.hear(xapp, decode_settings(payload) if payload else None)
        except WireError as error:
            self._runtime.drop(OPERATOR, f"settings of {xapp}: {error}")
            return
        self.on_settings(xapp)

    # Admission

    def _on_admission(self, topic: str, payload: bytes) -> None:
        if not payload:  # withdrawn: what is admitted stays so until the host ends
            return
        xapp = topics.levels(topic)[2]
        try:
            admission = decode_admission(payload)
            if admission.xapp != xapp:
                raise WireError(f"an admission of {admission.xapp!r} came on the topic of {xapp!r}")
        except WireError as error:
            self._runtime.drop(OPERATOR, f"admission of {xapp}: {error}")
            return
        refused = ""
        try:
            self._deliver(self._carry_out(admission))
        except RanloopError as error:
            refused = one_line(str(error), 1000)
            log.error("not_admitted", xapp=xapp, reason=refused)
        self._on_change()  # first: who reads in a standing that it is admitted is listened to
        for node in self._orders:
            self._say(node, admission.id, refused)

    def _carry_out(self, admission: Admission) -> Sequence[Result]:
        name, by = admission.xapp, admission.by or admission.id
        if not admission.admitted:
            results = self._runtime.dismiss(name, by=by) if name in self._runtime.xapps else []
            log.info("xapp_dismissed", xapp=name)
            return results
        try:
            rights = Rights.model_validate(admission.rights)
            autonomy = Autonomy(admission.autonomy)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = "/".join(map(str, first["loc"]))
            raise WireError(f"the rights of {name}: {where}: {first['msg']}") from error
        except ValueError as error:
            raise WireError(f"the autonomy of {name}: {error}") from error
        registration = Registration(
            rights=rights, autonomy=autonomy, priority=admission.priority, encoding=admission.encoding
        )
        results = self._runtime.admit(name, registration, by=by)
        for node, orders in self._orders.items():
            order = orders.by_place.get(f"{node}/{name}")
            if order is not None and autonomy.rank > Autonomy(order.autonomy).rank:
                # An order that stands is not lifted by an admission.
                results += self._runtime.obey(node, order, self._now_ns(), kill=None)
        log.info("xapp_admitted", xapp=name, autonomy=str(autonomy), priority=admission.priority)
        return results
