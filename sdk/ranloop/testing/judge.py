"""What a guard would say of an xApp's actions, as far as it needs no node: rights, rates, ranges, promises."""

from __future__ import annotations

from ranloop.guard.autonomy import Autonomy
from ranloop.guard.checks import check_envelope, check_promises, check_rights, check_values
from ranloop.guard.grants import Grant, permit
from ranloop.guard.results import Verdicts
from ranloop.guard.rights import Rights
from ranloop.wire.messages import ActionBatch, Catalogue, Cause

__all__ = ("Judge",)


class Judge:
    """The rights of one xApp at nodes that take every action and have every cell.

    Rates are kept, in RAN time, for each node, and begin anew where RAN time goes back. Names of cells in a manifest mean
    nothing here.
    """

    def __init__(self, xapp: str, rights: Rights) -> None:
        self._xapp = xapp
        actions = tuple(right.model_copy(update={"cells": "*"}) for right in rights.actions)
        self._rights = Rights(streams=rights.streams, actions=actions)
        self._grants: dict[str, tuple[Grant, int]] = {}  # node -> its grant, and the RAN time of its use

    def objections(self, batch: ActionBatch, now_ns: int) -> list[tuple[Cause, str]]:
        """Why a guard would refuse the batch or some of it, decided at the RAN time `now_ns`; empty if it would not."""
        name = batch.action.spec.name
        known = self._grants.get(batch.node)
        grant = self._grant(batch.node) if known is None or now_ns < known[1] else known[0]
        self._grants[batch.node] = grant, now_ns
        verdicts = Verdicts(batch)
        check_envelope(verdicts, _nowhere(batch.node, name))
        allowed = check_rights(verdicts, grant, now_ns) if verdicts.n_open else None
        if allowed is not None:
            check_promises(verdicts, allowed, now_ns=now_ns)
            check_values(verdicts, allowed, grant)
        return [
            (cause, f"wants {name}: {text}") for cause, text in verdicts.causes if cause is not Cause.NONE
        ]

    def _grant(self, node: str) -> Grant:
        rights = self._rights
        permits = {
            right.name: permit(right, rights, _nowhere(node, right.name), None) for right in rights.actions
        }
        return Grant(
            xapp=self._xapp, number=0, rights=rights, autonomy=Autonomy.ACT, priority=0, permits=permits
        )


def _nowhere(node: str, action: str) -> Catalogue:
    return Catalogue(node=node, measurements={}, actions=(action,), periods_ms=(), cells={})
