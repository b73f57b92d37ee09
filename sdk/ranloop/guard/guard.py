"""The guard of one RAN node: the only way to its parameters.

It judges batches, keeps accepted ones until their slot, tells the changes that the node has to apply, and keeps leases. It is
pure: the clock comes in as `now_ns` (RAN time), and nothing goes out but return values and the audit log.

    result = guard.submit(batch, sender=..., now_ns=...)    # a Result at once, or None: it waits for its slot
    for change in guard.due(now_ns):                        # settings whose slot has come, leases that lapsed
        results = guard.settle(change, values_in_force, now_ns)     # now or later; `lose` if the node never answers

One change is under way at a time: `due` gives the next one after the node has answered for the last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from ranloop.errors import VocabularyError
from ranloop.guard import checks, conflicts
from ranloop.guard.accepted import Accepted, Loss, not_here, unasked
from ranloop.guard.agenda import Agenda, Change
from ranloop.guard.audit_record import AuditRecord, AuditSink
from ranloop.guard.autonomy import Autonomy
from ranloop.guard.footprint import answer_bytes
from ranloop.guard.grants import Grant, Permit, permit
from ranloop.guard.held import DEMOTED, DISMISSED, ENDINGS, KILLED, STOPPED, Ended, HeldSettings
from ranloop.guard.results import Verdicts, ended
from ranloop.guard.rights import Rights
from ranloop.guard.rules import Question, Rule
from ranloop.guard.unconfirmed import Return
from ranloop.vocabulary import Kind
from ranloop.vocabulary.near import near_matches
from ranloop.wire.messages import F32, I32, ActionBatch, Catalogue, Cause, Result, Status

RETRY_GRACE_NS = 10_000_000_000  # an id is remembered this long after its batch could last take effect
MAX_IDS = 16_384  # ids of one xApp that are remembered at a time,
MAX_ID_BYTES = 1 << 26  # and what their answers take
_NS_PER_MS = 1_000_000
_NO_REASONS: Mapping[int, str] = MappingProxyType({})


class Guard:
    """Rights, ranges, rules, freshness and leases of one node.

    The order in which a batch is judged: sender, orders of the operator, freshness, envelope, rights, ranges, targets,
    then the rules: `rules`, conflicts, invariants of the state (see `guard.rules`).

    Args:
        catalogue: The node's catalogue: its actions, cells and slices.
        control_delay_ns: From the verdict to the slot where the action takes effect; more than 0.
        slot_ns: Actions take effect at multiples of this.
        rules: The operator's own rules, such as `Limits.at(catalogue)`.
        max_lease_ms: The longest lease; by default it follows from an xApp's periods (`Rights.longest_lease_ms`).
        run: Run of the host; a batch of another run is stale. With "" the run is not compared.
        audit: Gets every verdict and result.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        control_delay_ns: int,
        slot_ns: int,
        audit: AuditSink,
        rules: Sequence[Rule] = (),
        max_lease_ms: int | None = None,
        run: str = "",
    ) -> None:
        if control_delay_ns <= 0 or slot_ns <= 0:
            raise ValueError(
                f"control delay {control_delay_ns} ns, slot {slot_ns} ns: both must be more than 0"
            )
        self.catalogue = catalogue
        self.audit = audit
        self.run = run
        self._max_lease_ms = max_lease_ms
        self._rules: tuple[Rule, ...] = (*rules, conflicts.check_conflicts, conflicts.check_state)
        self.killed = False
        self._stopped = False
        self._control_delay_ns = control_delay_ns
        self._slot_ns = slot_ns
        self._now_ns = 0
        self._grants: dict[str, Grant] = {}
        self._by_number: dict[int, Grant] = {}
        self._held = HeldSettings()
        self._agenda = Agenda(self._held, self._by_number)

    # Rights

    def register(
        self, xapp: str, rights: Rights, *, autonomy: Autonomy = Autonomy.ACT, priority: int = 0
    ) -> None:
        """Admit `xapp`, or change what an admitted one may do from now on.

        A higher `priority` displaces the settings of a lower one. Settings that the xApp holds by its former rights stay until
        their lease ends.
        """
        permits = {
            right.name: permit(right, rights, self.catalogue, self._max_lease_ms) for right in rights.actions
        }
        known = self._grants.get(xapp)
        if known is not None:
            known.rights, known.autonomy, known.priority, known.permits = rights, autonomy, priority, permits
            known.admitted = True
            return
        grant = Grant(
            xapp=xapp,
            number=len(self._grants),
            rights=rights,
            autonomy=autonomy,
            priority=priority,
            permits=permits,
        )
        self._grants[xapp] = self._by_number[grant.number] = grant

    def dismiss(self, xapp: str, now_ns: int) -> list[Result]:
        """Send `xapp` away; its settings go back to their defaults at the next `due`.

        Its batch ids are remembered, because it may be admitted again.

        Returns:
            Results of its batches that were still waiting for their slot.
        """
        grant = self._admitted(xapp)
        grant.admitted = False
        return self._end_all(now_ns, DISMISSED, grant)

    def _admitted(self, xapp: str) -> Grant:
        grant = self._grants.get(xapp)
        if grant is None or not grant.admitted:
            raise VocabularyError("xApp", xapp, near_matches(xapp, self.autonomy))
        return grant

    def set_autonomy(self, xapp: str, autonomy: Autonomy, now_ns: int, *, by: str = "") -> list[Result]:
        """Set the autonomy of an xApp, by order of the operator. Without ACT its settings end at the next `due`.

        `by` names the person or the order for the audit log, here and in the orders below.

        Returns:
            Results of its batches that were still waiting for their slot.

        Raises:
            VocabularyError: no such xApp is registered.
        """
        grant = self._admitted(xapp)
        grant.autonomy = autonomy
        self._record("order", now_ns, xapp, autonomy=str(autonomy), by=by)
        return self._end_all(now_ns, DEMOTED, grant) if autonomy is not Autonomy.ACT else []

    @property
    def autonomy(self) -> dict[str, str]:
        """Level of every admitted xApp."""
        return {xapp: str(grant.autonomy) for xapp, grant in self._grants.items() if grant.admitted}

    def kill(self, now_ns: int, *, by: str = "") -> list[Result]:
        """Refuse everything from now on, and return every setting to its default at this slot boundary or the next."""
        self.killed = True
        self._record("order", now_ns, "", kill=True, by=by)
        return self._end_all(now_ns, KILLED)

    def revive(self, now_ns: int, *, by: str = "") -> None:
        """Take actions again; settings that the kill switch ended do not come back by themselves."""
        self.killed = False
        self._record("order", now_ns, "", kill=False, by=by)

    def stop(self, now_ns: int) -> list[Result]:
        """The host goes down: as `kill`, under another cause. A change that is open stays so until its answer or its loss."""
        self._stopped = True
        return self._end_all(now_ns, STOPPED)

    # Judging

    def submit(self, batch: ActionBatch, *, sender: str, now_ns: int) -> Result | None:
        """Judge one batch.

        Args:
            batch: The batch.
            sender: Name of the sender, from the topic of the batch.
            now_ns: RAN time.

        Returns:
            The terminal result if every target is decided already (the remembered one for an id seen before), or
            None: the accepted targets wait for their slot, and the refused ones come in the same, one result.
        """
        self._tick(now_ns)
        grant = self._grants.get(sender)
        if grant is None or not grant.admitted or batch.xapp != sender:
            return self._refuse_identity(batch, sender, now_ns)
        grant.ids.prune(now_ns)
        if batch.id in grant.ids:
            return grant.ids[batch.id]
        permit = grant.permits.get(batch.action.spec.name)
        verdicts = Verdicts(batch, None if permit is None else permit.renewed)
        effect_ns = self._slot_at_or_after(now_ns + self._control_delay_ns)
        size = answer_bytes(batch)
        if len(grant.ids) >= MAX_IDS or grant.ids.n_bytes + size > MAX_ID_BYTES:
            text = (
                f"{len(grant.ids)} batches of {sender} are remembered, {grant.ids.n_bytes / 2**20:.0f} MiB; "
                "wait until some have run out"
            )
            verdicts.decide_all(Status.REFUSED, Cause.RATE, text)
            return self._answer(sender, verdicts, now_ns)
        longest_ms = 0 if permit is None else permit.longest_ms
        last_ns = min(batch.valid_until_ns, now_ns + longest_ms * _NS_PER_MS)
        grant.ids.remember(batch.id, size, until_ns=max(last_ns, effect_ns) + RETRY_GRACE_NS)
        accepted = self._judge(verdicts, grant, now_ns, effect_ns)
        if accepted is None:
            return self._answer(sender, verdicts, now_ns)
        self._agenda.add(accepted)
        return None

    def answered(self, xapp: str, batch_id: str) -> Result | None:
        """The answer of `submit` to a retry of this id; None if nothing was answered yet."""
        grant = self._grants.get(xapp)
        return grant.ids[batch_id] if grant is not None and batch_id in grant.ids else None

    def _refuse_identity(self, batch: ActionBatch, sender: str, now_ns: int) -> Result:
        """Answered to the sender, and not remembered: an id belongs to the xApp that the broker let use it."""
        verdicts = Verdicts(batch)
        if sender in self.autonomy:
            text = f"sent by {sender} in the name of {batch.xapp}"
        else:
            text = f"{sender} is not registered at {self.catalogue.node}"
        verdicts.decide_all(Status.REFUSED, Cause.IDENTITY, text)
        return self._answer(sender, verdicts, now_ns)

    def _judge(self, verdicts: Verdicts, grant: Grant, now_ns: int, effect_ns: int) -> Accepted | None:
        """Run the checks in their order; None if no target is left to apply."""
        if self.killed or self._stopped:
            verdicts.decide_all(Status.REFUSED, *ENDINGS[KILLED if self.killed else STOPPED])
        elif grant.autonomy is Autonomy.OBSERVE:
            verdicts.decide_all(Status.REFUSED, Cause.AUTONOMY, f"{grant.xapp} may only observe")
        if verdicts.n_open:
            checks.check_freshness(verdicts, effect_ns=effect_ns, run=self.run)
        if verdicts.n_open:
            checks.check_envelope(verdicts, self.catalogue)
        allowed = checks.check_rights(verdicts, grant, now_ns) if verdicts.n_open else None
        if allowed is None or not verdicts.n_open:
            return None
        checks.check_values(verdicts, allowed, grant)
        checks.check_targets(verdicts, self.catalogue)
        table = self._held.table(type(verdicts.batch.action))
        question = Question(verdicts, self.catalogue, grant, self._by_number, table)
        for rule in self._rules:
            rule(question)
        checks.check_promises(verdicts, allowed, now_ns=now_ns)
        verdicts.seal()
        if grant.autonomy is Autonomy.RECOMMEND:
            verdicts.decide_all(Status.RECOMMENDED, Cause.AUTONOMY, f"{grant.xapp} may only recommend")
        return self._claim(verdicts, grant, allowed, effect_ns) if verdicts.n_open else None

    def _claim(self, verdicts: Verdicts, grant: Grant, permit: Permit, effect_ns: int) -> Accepted:
        batch = verdicts.batch
        if batch.action.spec.kind is Kind.SETTING:
            lease_ms = batch.lease_ms or permit.lease_ms
            expires_ns = self._slot_at_or_after(effect_ns + lease_ms * _NS_PER_MS)
        else:
            expires_ns = effect_ns + self._slot_ns  # a one-shot holds its target until it is done
        return Accepted.claim(
            verdicts, grant, self._held, self.catalogue, effect_ns=effect_ns, expires_ns=expires_ns
        )

    # Taking effect

    def next_event_ns(self) -> int:
        """RAN time at which `due` will have something; `FOR_EVER_NS` if nothing waits and nothing is held.

        And while a change is open: the node's answer is the next event then.
        """
        return self._agenda.next_event_ns()

    def due(self, now_ns: int) -> Iterator[Change]:
        """The changes that the node has to make by now, one at a time, in the order of RAN time.

        There is nothing to do while a change is open: the iterator ends, and the next call goes on after the answer.
        """
        self._tick(now_ns)
        return self._agenda.due(now_ns)

    def settle(
        self, change: Change, applied: F32, now_ns: int, reasons: Mapping[int, str] = _NO_REASONS
    ) -> list[Result]:
        """Note what the node made of `change`.

        Args:
            change: The open one.
            applied: Values in force afterwards, shape of `change.action.parameters()`; rows of NaN where the target
                is not at the node.
            now_ns: RAN time.
            reasons: Row -> why the node did nothing there, for rows of NaN whose target is at the node: the target
                stays as it was, and the node's own text goes to the xApp.

        Returns:
            The terminal result of the batch, and one result per batch of which settings ended.

        Raises:
            ValueError: `change` is not open, or `applied` has another shape.
        """
        wanted = len(change.action), len(change.action.spec.parameters)
        if applied.shape != wanted:
            raise ValueError(
                f"applied has shape {list(applied.shape)}; want {list(wanted)}, one row per target of the change"
            )
        work = self._agenda.close(change)
        if isinstance(work, Return):
            return []
        if isinstance(work, Ended):
            return self._tell(Loss(work, applied), now_ns)
        return self._finish(work, work.settle(applied, reasons, now_ns), now_ns)

    def lose(self, change: Change, now_ns: int) -> list[Result]:
        """Give up waiting for the node's answer to `change`: its targets end UNKNOWN.

        The next renewal asks the node again, even with the same values, and a lease that lapses hands it the default.
        A change that returned settings to their default is handed out again, later and later, `TRIES` times in all.

        Returns:
            As `settle`.

        Raises:
            ValueError: `change` is not open.
        """
        work = self._agenda.close(change)
        if isinstance(work, Accepted):
            return self._finish(work, work.lose(now_ns), now_ns)
        event = "lost" if self._agenda.again(change, work, now_ns) else "given_up"
        self._record(event, now_ns, "", action=change.action.spec.name, n_targets=len(change.action))
        return self._tell(unasked(work, None), now_ns) if isinstance(work, Ended) else []

    def _finish(self, work: Accepted, losses: list[Loss], now_ns: int) -> list[Result]:
        results = [result for loss in losses for result in self._tell(loss, now_ns)]
        self._held.sweep(self._agenda.tickets())
        is_setting = work.verdicts.batch.action.spec.kind is Kind.SETTING
        held: dict[str, object] = {"held_until_ns": work.expires_ns} if is_setting else {}
        return [self._answer(work.grant.xapp, work.verdicts, now_ns, **held), *results]

    # Endings

    def held_targets(self, column: str) -> I32:
        """Ids of this column that any setting names, sorted, each once: the host asks the world which still live."""
        return self._held.targets(column)

    def forget_targets(self, column: str, ids: I32, now_ns: int) -> list[Result]:
        """End the settings of targets that have left the node; nothing is there to be changed any more."""
        self._tick(now_ns)
        reason = Cause.UE_LEFT if column == "ue" else Cause.NO_TARGET, not_here(self.catalogue.node)
        results: list[Result] = []
        for left in self._held.forget(column, ids):
            results += self._tell(unasked(left, reason), now_ns)
        return results

    def _end_all(self, now_ns: int, ending: int, grant: Grant | None = None) -> list[Result]:
        """Refuse waiting batches and let held settings (of one xApp, or of all) go back to their defaults now."""
        self._tick(now_ns)
        results: list[Result] = []
        for work in self._agenda.withdraw(grant):
            status = Status.EXPIRED if ending == STOPPED else Status.REFUSED
            work.verdicts.decide_all(status, *ENDINGS[ending])
            results.append(self._answer(work.grant.xapp, work.verdicts, now_ns))
        at_ns = self._slot_at_or_after(now_ns)
        self._held.end(ending, at_ns, owner=None if grant is None else grant.number)
        return results

    def _tell(self, loss: Loss, now_ns: int) -> list[Result]:
        """One result per batch that lost settings, and per reason."""
        results = []
        for ticket, ending, part in loss.over.by_batch():
            cause, text = loss.reason or ENDINGS[ending]
            result = ended(
                self._held.origin(ticket),
                node=self.catalogue.node,
                action=loss.over.action,
                targets=loss.over.targets[part],
                applied=loss.applied[part],
                cause=cause,
                text=text,
                ran_time_ns=now_ns,
            )
            self._record("ended", now_ns, result.xapp, None, result)
            results.append(result)
        return results

    # Small parts

    def _answer(self, xapp: str, verdicts: Verdicts, now_ns: int, **facts: object) -> Result:
        """Make the one terminal result, remember it for retries, note it with `facts`."""
        batch = verdicts.batch
        result = verdicts.result(xapp=xapp, node=self.catalogue.node, ran_time_ns=now_ns)
        if batch.xapp == xapp and xapp in self._grants:
            self._grants[xapp].ids.answer(batch.id, result)
        self._record("result", now_ns, xapp, batch, result, **facts)
        return result

    def _record(
        self,
        event: str,
        now_ns: int,
        xapp: str,
        batch: ActionBatch | None = None,
        result: Result | None = None,
        **facts: object,
    ) -> None:
        node = self.catalogue.node
        self.audit.add(
            AuditRecord(
                event=event,
                ran_time_ns=now_ns,
                node=node,
                xapp=xapp,
                run=self.run,
                batch=batch,
                result=result,
                facts=facts,
            )
        )

    def _slot_at_or_after(self, time_ns: int) -> int:
        return -(-time_ns // self._slot_ns) * self._slot_ns

    def _tick(self, now_ns: int) -> None:
        if now_ns < self._now_ns:
            raise ValueError(f"RAN time went back from {self._now_ns} to {now_ns} ns")
        self._now_ns = now_ns
