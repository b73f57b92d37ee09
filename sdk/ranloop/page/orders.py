"""An operator's orders from a page: only with the token of a file, only confirmed, one at a time.

A wrong token is answered late, and a few of them wait at a time. A right one waits for none of them, and a kill for no
other order either.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Literal

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ranloop.bus.meter import is_round
from ranloop.errors import RanloopError
from ranloop.foreign import one_line

__all__ = ("LEAST_TOKEN", "MOST_BODY_BYTES", "OrderDesk", "Wanted", "read_token")

log = structlog.get_logger(__name__)

LEAST_TOKEN = 16  # characters
MOST_BODY_BYTES = 1024
_WRONG_TOKEN_S = 1.0  # so long the answer to a wrong token takes
_MOST_WRONG = 8  # wrong tokens that wait for their answer; one more is told at once to come later

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

    Attributes:
        n_wrong: Orders with a wrong token.
    """

    def __init__(self, token: str, give: Callable[[Wanted], str]) -> None:
        self._token, self._give = token.encode(), give
        self._turn = asyncio.Lock()
        self.n_wrong = self._n_waiting = 0

    async def take(self, authorization: str, body: bytes) -> tuple[int, str]:
        """HTTP status and text of the answer."""
        given = authorization.removeprefix("Bearer ").encode()
        if not hmac.compare_digest(given, self._token):
            return await self._refuse()
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
        async with nullcontext() if wanted.what == "kill" else self._turn:
            try:
                return 200, await asyncio.to_thread(self._give, wanted)
            except RanloopError as error:
                return 409, one_line(str(error), 1000)

    async def _refuse(self) -> tuple[int, str]:
        """The answer to a wrong token, after a while; of a flood ever fewer are logged, and few wait."""
        self.n_wrong += 1
        if is_round(self.n_wrong):
            log.warning("page_order_refused", reason="wrong token", so_far=self.n_wrong)
        if self._n_waiting >= _MOST_WRONG:
            return 429, "too many wrong tokens at a time; try again in a second"
        self._n_waiting += 1
        try:
            await asyncio.sleep(_WRONG_TOKEN_S)
        finally:
            self._n_waiting -= 1
        return 403, "that is not the operator's token"
