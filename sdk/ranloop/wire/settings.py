"""An operator's settings of an xApp, in a message of their own and in a step."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from ranloop.wire.headers import SettingsForm
from ranloop.wire.messages import Settings, Step

__all__ = ("settings_form", "settings_key", "settings_of")


def settings_form(settings: Settings) -> dict[str, Any]:
    """The keys of settings, without the version."""
    return {"id": settings.id, "values": dict(settings.values), "by": settings.by}


def settings_key(step: Step) -> dict[str, Any]:
    """The key of a step that has settings; nothing otherwise."""
    return {} if step.settings is None else {"settings": settings_form(step.settings)}


def settings_of(form: SettingsForm | None) -> Settings | None:
    """What `settings_form` made."""
    if form is None:
        return None
    return Settings(id=form["id"], values=MappingProxyType(form["values"]), by=form.get("by", ""))
