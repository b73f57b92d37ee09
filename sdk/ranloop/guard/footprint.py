"""Bytes of a message that is kept: its arrays, and the texts of free length."""

from __future__ import annotations

from ranloop.wire.messages import ActionBatch, Result

_OBJECT = 512  # a message with its arrays' heads
_INFERENCE = 1024  # where one answer of a model came from
_TEXT = 64  # a text or a number in a container
_NUMBER = 32  # in a tuple


def n_bytes(message: ActionBatch | Result | None) -> int:
    """Bytes of memory, to a factor of two; its columns are its own (`decode_action_batch` copies them)."""
    if message is None:
        return 0
    texts = sum(_TEXT + len(name) for name in message.stamps) + len(message.id)
    if isinstance(message, ActionBatch):
        spec = message.action.spec
        columns = 4 * len(message.action) * (len(spec.targets) + len(spec.parameters))
        asked = sum(_OBJECT + _NUMBER * one.n_values for one in message.asked)
        models = sum(_TEXT + len(model) for model in message.models) + _INFERENCE * len(message.inferences)
        return _OBJECT + columns + texts + asked + models
    arrays = (message.targets, message.status, message.cause, message.applied)
    return (
        _OBJECT
        + sum(array.nbytes for array in arrays)
        + texts
        + sum(_TEXT + len(text) for _, text in message.causes)
    )


def answer_bytes(batch: ActionBatch) -> int:
    """Bytes that the result of `batch` will take: its columns again, status and cause of each target, some texts."""
    return n_bytes(batch) + 2 * len(batch.action) + 2 * _OBJECT
