"""Where the models' answers behind a batch came from, in the audit log: of one batch, or summed up over renewals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ranloop.wire.inference import Inference
from ranloop.wire.messages import ActionBatch, Result

__all__ = ("Told", "added", "facts", "is_fact", "way_of", "ways")

Told = list[dict[str, Any]]
_MOST = 16  # of one line
_MOST_COUNTED = 1 << 53  # as far as any reader of JSON counts (RFC 8259, section 6)


def _facts(one: Inference, took_effect_ns: int) -> dict[str, Any]:
    return {
        "model": one.model,
        "tier": one.tier,
        "reason": one.reason,
        "instead": one.instead,
        "waited_ms": one.waited_ns / 1e6,
        "age_ms": (took_effect_ns - one.asked_ns) / 1e6,
        "rows": one.rows,
        "rows_above": one.rows_above,
        "sent_bytes": dict(one.sent_bytes),
        "modelled_joules": one.joules,
        "confidence": one.confidence,
    }


_TEXTS = ("model", "tier", "reason", "instead")
_NUMBERS = ("waited_ms", "age_ms", "rows", "rows_above")


def is_fact(one: object) -> bool:
    """Whether an entry of a log is what `facts` writes."""
    if not isinstance(one, dict) or not isinstance(sent := one.get("sent_bytes"), dict):
        return False
    may_miss = [one.get(key, "") for key in ("modelled_joules", "confidence")]
    numbers = [*(one.get(key) for key in _NUMBERS), *sent.values(), *(v for v in may_miss if v is not None)]
    return all(isinstance(one.get(key), str) for key in _TEXTS) and all(
        isinstance(number, int | float) for number in numbers
    )


def way_of(inference: Inference | Mapping[str, Any]) -> tuple[object, ...]:
    """What has to be the same for two answers to count as one renewed."""
    if isinstance(inference, Inference):
        return inference.model, inference.tier, inference.reason, inference.instead
    return tuple(inference.get(key, "") for key in _TEXTS)


def ways(batch: ActionBatch) -> tuple[tuple[object, ...], ...]:
    """The ways of all answers behind a batch."""
    return tuple(map(way_of, batch.inferences[:_MOST]))


def facts(batch: ActionBatch, result: Result) -> Told:
    """The answers behind a batch, with the age of the report when its actions took effect."""
    return [_facts(one, result.ran_time_ns) for one in batch.inferences[:_MOST]]


def added(before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> Told:
    """Two batches with the same ways as one: the longest wait, the oldest report, the least confidence, and the sums of the rest."""
    if not before:
        return [dict(one) for one in now]
    return [_together(first, second) for first, second in zip(before, now, strict=False)]


def _together(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    kinds = first["sent_bytes"].keys() | second["sent_bytes"].keys()
    joules = [one["modelled_joules"] for one in (first, second)]
    return {
        **second,
        "waited_ms": max(first["waited_ms"], second["waited_ms"]),
        "age_ms": max(first["age_ms"], second["age_ms"]),
        "rows": _sum(first["rows"], second["rows"]),
        "rows_above": _sum(first["rows_above"], second["rows_above"]),
        "sent_bytes": {
            kind: _sum(first["sent_bytes"].get(kind, 0), second["sent_bytes"].get(kind, 0))
            for kind in sorted(kinds)
        },
        "modelled_joules": None if None in joules else sum(joules),
        "confidence": _least(one["confidence"] for one in (first, second)),
    }


def _sum(first: int, second: int) -> int:
    return min(first + second, _MOST_COUNTED)


def _least(values: Iterable[float | None]) -> float | None:
    return min((value for value in values if value is not None), default=None)
