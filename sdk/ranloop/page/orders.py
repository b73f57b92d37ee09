"""An operator's orders from a page: only with the token of a file, only confirmed, one at a time."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ranloop.errors import RanloopError
from ranloop.foreign import one_line

__all__ = ("LEAST_TOKEN", "MOST_BODY_BYTES", "OrderDesk", "Wanted", "read_token")

log = structlog.get_logger(__name__)

LEAST_TOKEN = 16  # characters
MOST_BODY_BYTES = 1024
_WRONG_TOKEN_S = 1.0  # so long a wrong token is waited out, all askers together

Name = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,64}$")]


class Wanted(BaseModel):
    """What a page orders; `confirm` repeats the node's name, typed by a person."""

    model_config = ConfigDict(extra="forbid", strict=True)

    what: Literal["kill", "revive", "observe", "recommend", "act"]
    node: Name
    xapp: Annotated[str, Field(pattern=r"^[a-z0-9_-]{0,64}$")] = ""
    confirm: str


def read_token(path: Path) -> str:
    """The token of an operator's file.

    Raises:
        RanloopError: It cannot be read, or its token is too short.
    """
    try:
        token = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise RanloopError(f"--operator-token {path}: cannot be read ({error})") from error
    if len(token) < LEAST_TOKEN:
        raise RanloopError(
            f"--operator-token {path}: {len(token)} characters, want {LEAST_TOKEN} or more: openssl rand -hex 16 > {path}"
        )
    return token


class OrderDesk:
    """Takes a page's orders.

    Args:
        token: That an operator must know.
        give: Carries an order out and returns what the guards answered; called on another thread.
    """

    def __init__(self, token: str, give: Callable[[Wanted], str]) -> None:
        self._token, self._give = token.encode(), give
        self._turn = asyncio.Lock()

    async def take(self, authorization: str, body: bytes) -> tuple[int, str]:
        """HTTP status and text of the answer."""
        async with self._turn:
            given = authorization.removeprefix("Bearer ").encode()
            if not hmac.compare_digest(given, self._token):
                await asyncio.sleep(_WRONG_TOKEN_S)
                log.warning("page_order_refused", reason="wrong token")
                return 403, "that is not the operator's token"
            try:
                wanted = Wanted.model_validate_json(body)
            except ValidationError as error:
                first = error.errors(include_url=False)[0]
                return 400, f"no order: {'/'.join(map(str, first['loc']))}: {first['msg']}"
            if wanted.confirm != wanted.node:
                return 400, f"not confirmed: type {wanted.node}"
            if (wanted.what in ("kill", "revive")) == bool(wanted.xapp):
                return 400, "the kill switch is about a node; observe, recommend and act are about an xApp"
            log.warning("page_order", what=wanted.what, node=wanted.node, xapp=wanted.xapp)
            try:
                return 200, await asyncio.to_thread(self._give, wanted)
            except RanloopError as error:
                return 409, one_line(str(error), 1000)
