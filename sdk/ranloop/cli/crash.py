"""The part of a traceback that helps an xApp's author: from the first frame of the xApp's own code on."""

from __future__ import annotations

import traceback

from ranloop.xapp.loader import MODULE_PREFIX

__all__ = ("authors_frames",)


def authors_frames(error: Exception) -> str:
    """The traceback from the first frame of an xApp's module on; "" if no xApp's module had a part in it."""
    frame = error.__traceback__
    while frame is not None:
        if str(frame.tb_frame.f_globals.get("__name__", "")).startswith(MODULE_PREFIX):
            return "".join(traceback.format_exception(type(error), error, frame, chain=False)).rstrip()
        frame = frame.tb_next
    if isinstance(error, SyntaxError):  # raised by the import, before the module has a frame
        return "".join(traceback.format_exception_only(error)).rstrip()
    return ""
