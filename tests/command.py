"""A command line, run in this process as a user would type it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import structlog


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the user sees."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line of wrong input; anything beside it on standard error is a failure of the test."""
        assert self.code == 2, self
        assert self.err.startswith("error: ")
        assert self.err.count("\n") == 1, self.err
        return self.err.removeprefix("error: ").rstrip()


@dataclass(frozen=True, slots=True)
class Command:
    """`Command("ran_sim", main, …)("run", "one-cell")`."""

    name: str
    main: Callable[[], object]
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: object) -> Outcome:
        self.monkeypatch.setattr("sys.argv", [self.name, *map(str, arguments)])
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            self.main()
        structlog.reset_defaults()  # the log goes to this test's standard error, which ends with it
        seen = self.capsys.readouterr()
        return Outcome(int(exit_.value.code or 0), seen.out, seen.err)
