"""The command line, run in this process as a user would type it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import structlog

from ranloop.cli import main


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the user sees."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line of a failure; anything beside it on standard error is a failure of the test."""
        assert self.code == 2, self
        assert self.err.startswith("error: ")
        assert self.err.count("\n") == 1, self.err
        return self.err.removeprefix("error: ").rstrip()


@pytest.fixture
def ranloop(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Outcome]]:
    """`ranloop("run", folder, "--node", "sim:one-cell")`."""

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr("sys.argv", ["ranloop", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main()
        seen = capsys.readouterr()
        return Outcome(int(exit_.value.code or 0), seen.out, seen.err)

    yield run
    structlog.reset_defaults()
