"""What to do about each cause for which targets were not applied, or settings ended: one table for summaries, doctor and docs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ranloop.guard.results import AT_END
from ranloop.wire.messages import Cause

__all__ = ("REMEDIES", "remedy")

REMEDIES: Mapping[str, str] = MappingProxyType(
    {
        Cause.IDENTITY: "admit the xApp under the name that it sends: ranloop admit FOLDER --host HOST",
        Cause.AUTONOMY: "let the xApp act: ranloop order all --xapp NAME --autonomy act, or --autonomy act where the node runs",
        Cause.KILLED: "take the kill switch back: ranloop order all --revive",
        Cause.NOT_SUPPORTED: "take an action that the node takes; ranloop check FOLDER --profile STACK lists what a stack lacks",
        Cause.NOT_PERMITTED: "add the action or the cell to [[actions]] of manifest.toml, then: ranloop admit FOLDER --host HOST",
        Cause.RANGE: "stay inside the range of manifest.toml and of the catalogue: ranloop vocabulary ACTION",
        Cause.LIMIT: "stay inside the operator's limit that the text names, or have it changed in the file of --limits",
        Cause.RATE: "act less often or on fewer targets, or raise rate_per_s or max_targets of the action in manifest.toml",
        Cause.INVARIANT: "make the values agree as the text says, together with what others hold and the node's configuration",
        Cause.CONFLICT: "give this xApp a higher --priority than the holder that the text names, or let only one of them run",
        Cause.STALE: "decide sooner: a quicker handler or a longer period; or give Request a longer valid_ms",
        Cause.NO_TARGET: "act on targets of the newest report alone; app.per_ue and app.per_cell forget those that left",
        Cause.NODE: "the text is the node's own word; what it says stands in the way must be changed at the node",
        Cause.ATOMIC: "repair the target that was refused, or send the batch without atomic=True",
        Cause.LEASE_LAPSED: "return the action again within its lease (three periods), or give Request a longer lease_ms",
        Cause.UE_LEFT: "nothing: a setting ends with the UE that it is on",
        Cause.SUPERSEDED: "nothing, if the other xApp is meant to come first; else raise this one's --priority",
        Cause.MALFORMED: "repair the message as the text says; docs/wire.md has its form",
        Cause.HARM: "look at the effect that the text names before the xApp acts there again",
        Cause.LOST: "look whether the node and its host run: ranloop top; the values in force are unknown until the next renewal",
        AT_END: "nothing: it was under way or held when the run ended",
    }
)


def remedy(cause: str) -> str:
    """What to do about `cause`, a `Cause` or `AT_END`."""
    return REMEDIES.get(cause, "see the text")
