"""What the `train.py` of a folder gives: contenders, what their scores are worth, and what becomes of the winners."""

from __future__ import annotations

import importlib
import importlib.machinery
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

from ranloop.errors import RanloopError, TrainingError
from ranloop.training.contender import Contender, Score
from ranloop.xapp.instance import user_traceback
from ranloop_work import WorkError

if TYPE_CHECKING:
    from ranloop.training.outcome import Outcome

__all__ = ("TRAIN_FILE", "Trainee", "load_trainee", "of_the_author")

TRAIN_FILE: Final = "train.py"
_PREFIX: Final = "_ranloop_training_"
_counter = itertools.count()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainee:
    """The names that `train.py` defines, in lower case here.

    Attributes:
        contenders: `CONTENDERS`, rules and models that are tuned with the same budget.
        kept: `KEPT`, the KPIs that the results list.
        worth: What a point is worth, the more the better: of its scores and the reference's on the same drops of one world at
            one load.
        keep: Called when all contenders are tuned: it makes a package or new defaults of a winner.
    """

    folder: Path
    contenders: Sequence[Contender]
    kept: Sequence[str]
    worth: Callable[[Sequence[Score], Sequence[Score]], float]
    keep: Callable[[Outcome], None]

    def contender(self, name: str) -> Contender:
        """The contender of this name.

        Raises:
            TrainingError: There is none.
        """
        for each in self.contenders:
            if each.name == name:
                return each
        raise TrainingError(
            f"no contender {name!r}; there is {', '.join(each.name for each in self.contenders)}"
        )


@contextmanager
def of_the_author(folder: Path, what: str) -> Iterator[None]:
    """Tell an error of the code in `folder` with the place in its files.

    Raises:
        TrainingError: Of every error that is none of ranloop's own.
    """
    try:
        yield
    except (RanloopError, WorkError):
        raise
    except Exception as error:
        raise TrainingError(
            f"{what} raised {type(error).__name__}\n{user_traceback(error, folder)}"
        ) from error


def load_trainee(folder: Path) -> Trainee:
    """Load `folder/train.py` as a module of a package of its own, so that it may import its neighbours: `from . import shape`.

    Raises:
        TrainingError: No such file, one that lacks a name, or one that raises an error, with its traceback.
    """
    folder = folder.resolve()
    if not (folder / TRAIN_FILE).is_file():
        raise TrainingError(
            f"{folder} has no {TRAIN_FILE}; want one that defines CONTENDERS, KEPT, worth and keep"
        )
    name = f"{_PREFIX}{next(_counter)}_{folder.name.replace('-', '_')}"
    package = ModuleType(name)
    package.__path__ = [str(folder)]
    package.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
    sys.modules[name] = package
    with of_the_author(folder, str(folder / TRAIN_FILE)):
        module = importlib.import_module(f"{name}.train")
    if lacking := [each for each in ("CONTENDERS", "KEPT", "worth", "keep") if not hasattr(module, each)]:
        raise TrainingError(f"{folder / TRAIN_FILE} does not define {lacking[0]}")
    names = [each.name for each in module.CONTENDERS]
    if twice := sorted({each for each in names if names.count(each) > 1}):
        raise TrainingError(
            f"{folder / TRAIN_FILE}: two contenders are called {twice[0]!r}; want names of their own"
        )
    return Trainee(
        folder=folder,
        contenders=tuple(module.CONTENDERS),
        kept=tuple(module.KEPT),
        worth=module.worth,
        keep=module.keep,
    )
