"""The checks of a batch that need no settings of other xApps: rights, ranges, rows, targets.

Every function takes the open targets of `Verdicts` and closes those that fail. The cause text has the wanted value, the allowed
range and the source of the limit.
"""

from __future__ import annotations

import numpy as np

from ranloop.guard.grants import Grant, Permit
from ranloop.guard.leases import I64, Mask, unpack
from ranloop.guard.results import Verdicts
from ranloop.guard.rights import ActionRight
from ranloop.vocabulary import Kind, action_type, in_range, row_invariant
from ranloop.wire.messages import F32, Catalogue, Cause, Status


def check_envelope(verdicts: Verdicts, catalogue: Catalogue) -> None:
    """The batch is for this node, the node takes such actions, no target stands in it twice."""
    batch, name = verdicts.batch, verdicts.batch.action.spec.name
    if batch.node != catalogue.node:
        text = f"addressed to {batch.node}, but this is {catalogue.node}"
        verdicts.decide_all(Status.REFUSED, Cause.MALFORMED, text)
    elif name not in catalogue.actions:
        takes = ", ".join(sorted(catalogue.actions)) or "no actions"
        text = f"{catalogue.node} does not take {name}; it takes {takes}"
        verdicts.decide_all(Status.REFUSED, Cause.NOT_SUPPORTED, text)
    elif batch.action.spec.kind is Kind.SETTING and batch.lease_ms is not None and batch.lease_ms <= 0:
        text = f"a lease of {batch.lease_ms} ms holds nothing"
        verdicts.decide_all(Status.REFUSED, Cause.MALFORMED, text)
    elif not verdicts.distinct:
        in_order = np.sort(verdicts.keys)
        twice = in_order[1:][in_order[1:] == in_order[:-1]]
        text = f"the target stands in this batch more than once: {_some(unpack(twice, verdicts.targets.shape[1]))}"
        verdicts.decide(np.isin(verdicts.keys, twice), Status.REFUSED, Cause.MALFORMED, text)


def check_rights(verdicts: Verdicts, grant: Grant, now_ns: int) -> Permit | None:
    """The manifest allows this action, this often, on so many targets, in these cells; None if not at all."""
    name, node = verdicts.batch.action.spec.name, verdicts.batch.node
    if not grant.rights.reach(node):
        text = (
            f"{grant.xapp} decides at the nodes of shard {grant.rights.shard}, and {node} is not one of them"
        )
        verdicts.decide_all(Status.REFUSED, Cause.NOT_PERMITTED, text)
        return None
    permit = grant.permits.get(name)
    if permit is None:
        granted = ", ".join(sorted(grant.permits)) or "no action"
        text = f"the manifest of {grant.xapp} does not ask for {name}; it has {granted}"
        verdicts.decide_all(Status.REFUSED, Cause.NOT_PERMITTED, text)
        return None
    right = permit.right
    if not permit.bucket.take(now_ns):
        text = f"more than {right.rate_per_s:g} {name} batches a second"
        verdicts.decide_all(Status.REFUSED, Cause.RATE, text)
    elif len(verdicts) > right.max_targets:
        text = f"{len(verdicts)} targets in one batch; the manifest allows {right.max_targets}"
        verdicts.decide_all(Status.REFUSED, Cause.RATE, text)
    if permit.cells is not None:
        _check_cells(verdicts, permit.cells, right, grant)
    return permit


def _check_cells(verdicts: Verdicts, permitted: I64, right: ActionRight, grant: Grant) -> None:
    spec = verdicts.batch.action.spec
    cells = (
        verdicts.targets[:, spec.targets.index("cell")]
        if "cell" in spec.targets
        else verdicts.parameters[:, spec.parameter_names.index("target_cell")]
    )
    text = f"the manifest of {grant.xapp} names the cells {', '.join(right.cells)}; not this one"
    verdicts.decide(~np.isin(cells, permitted), Status.REFUSED, Cause.NOT_PERMITTED, text)


def check_values(verdicts: Verdicts, permit: Permit, grant: Grant) -> None:
    """Every value is in the manifest's range and the catalogue's, and a row agrees with itself."""
    action, values = type(verdicts.batch.action), verdicts.parameters
    inside = (values >= permit.low) & (values <= permit.high)  # [n, p]; False for NaN
    if np.count_nonzero(inside) < inside.size:
        finite: Mask = np.asarray(np.isfinite(values).all(axis=1))
        verdicts.decide(~finite, Status.REFUSED, Cause.RANGE, "a parameter is not a number")
        for column in np.flatnonzero(~inside.all(axis=0)):
            outside = finite & ~inside[:, column]
            if outside.any():
                text = _range_text(values[outside, column], int(column), permit, grant)
                verdicts.decide(outside, Status.REFUSED, Cause.RANGE, text)
    if permit.is_wider:
        ok, text = in_range(action, values)
        verdicts.decide(~ok, Status.REFUSED, Cause.RANGE, text)
    if len(permit.low) > 1:  # a single parameter always agrees with itself
        ok, text = row_invariant(action, values)
        verdicts.decide(~ok, Status.REFUSED, Cause.INVARIANT, text)


def _range_text(outside: F32, column: int, permit: Permit, grant: Grant) -> str:
    """The value that is furthest out, the limits, and their source, in words."""
    spec = action_type(permit.right.name).spec
    parameter, low, high = spec.parameters[column], permit.low[column], permit.high[column]
    below, above = float(outside.min()), float(outside.max())
    worst = below if low - below > above - high else above
    whose = (
        f"the manifest of {grant.xapp} allows"
        if parameter.name in permit.right.ranges
        else f"{spec.name} takes"
    )
    return f"{parameter.name} {parameter.quantity(worst)}; {whose} {low:g} to {high:g}"


def check_targets(verdicts: Verdicts, catalogue: Catalogue) -> None:
    """Cells and slices are the node's. Whether a UE is there shows at the slot where the action takes effect."""
    spec = verdicts.batch.action.spec
    for column, known in (("cell", catalogue.cells), ("slice", catalogue.slices)):
        if column in spec.targets:
            ids = verdicts.targets[:, spec.targets.index(column)]
            unknown = ~np.isin(ids, np.fromiter(known, np.int64, len(known)))
            if unknown.any():
                text = f"{catalogue.node} has no {column} {_some(ids[unknown])}"
                verdicts.decide(unknown, Status.REFUSED, Cause.NO_TARGET, text)


def check_freshness(verdicts: Verdicts, *, effect_ns: int, run: str) -> None:
    """The batch was decided for this run of the host, and can take effect in time.

    Asked before rights and rates: a backlog that comes after a stall costs its xApp nothing but the batches.
    """
    batch = verdicts.batch
    if run and batch.run != run:
        # No name of a run: results of one seed must not differ between two starts.
        text = "decided for another run of the host; RAN time has begun again since"
        verdicts.decide_all(Status.EXPIRED, Cause.STALE, text)
    elif batch.valid_until_ns < effect_ns:
        text = f"valid until {batch.valid_until_ns / 1e9:g} s, would take effect at {effect_ns / 1e9:g} s"
        verdicts.decide_all(Status.EXPIRED, Cause.STALE, text)


def check_promises(verdicts: Verdicts, permit: Permit, *, now_ns: int) -> None:
    """The batch looks no further ahead than its xApp's periods call for, whether it states its lease or not."""
    batch, longest_ms = verdicts.batch, permit.longest_ms
    lease_ms = permit.lease_ms if batch.lease_ms is None else batch.lease_ms
    ahead_ms = (batch.valid_until_ns - now_ns) / 1e6
    if ahead_ms > longest_ms:
        said, hint = f"valid_until lies {ahead_ms:g} ms ahead", ""
    elif lease_ms > longest_ms and batch.action.spec.kind is Kind.SETTING:
        said = f"a lease of {lease_ms} ms"
        hint = ". The manifest states the period of a timer as `every_ms`"
    else:
        return
    at_most = f"at most {longest_ms} ms, a minute or three of its periods unless the operator says otherwise"
    verdicts.decide_all(Status.REFUSED, Cause.RANGE, f"{said}; {at_most}{hint}")


def _some(targets: np.ndarray[tuple[int, ...], np.dtype[np.integer]], most: int = 5) -> str:
    """The first few targets, for a text: 4, 7 or, with several ids each, 0/1, 0/2."""
    rows = targets.reshape(len(targets), -1)[:most].tolist()
    return ", ".join("/".join(map(str, row)) for row in rows) + (", …" if len(targets) > most else "")
