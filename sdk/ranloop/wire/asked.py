"""What a model was asked and said, for some targets of an action: part of an action batch, for the audit log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

__all__ = (
    "MOST_LABELS",
    "MOST_MODELS",
    "MOST_ROWS",
    "MOST_TEXT",
    "MOST_VALUES",
    "Asked",
    "AskedForm",
    "AskedForms",
    "asked_key",
    "asked_of",
)

# Together they keep a batch within the header that a reader takes, whatever a card says.
MOST_MODELS = 3  # of one batch
MOST_ROWS = 8  # of one model
MOST_VALUES = 128  # inputs and outputs of one model together
MOST_LABELS = 16  # features; where there are more, only the numbers go along
MOST_TEXT = 48  # characters of a label or a version

Numbers = tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One model's part in an action.

    Attributes:
        model: "name@hash", with ":rung" where a rung of its ladder answered.
        version: On its card.
        rows: How many it was asked about.
        ids: Id column -> dense ids of the rows that are listed here; {} where the model was not asked about a report.
        features: Label of each input; () where there are more than `MOST_LABELS`.
        inputs: Of the listed rows, as the model got them, the steps of a sequence one after the other; None is no value, or one that
            the card calls raw. () where a row
            has too many.
        outputs: Of the listed rows, as the xApp got them.
        outside: Features with a value outside the range of training, in the listed rows.
    """

    model: str
    version: str = ""
    rows: int = 0
    ids: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    features: tuple[str, ...] = ()
    inputs: Numbers = ()
    outputs: Numbers = ()
    outside: tuple[str, ...] = ()

    def form(self) -> dict[str, Any]:
        """As it travels, and as it stands in the audit log."""
        return {**asdict(self), "ids": dict(self.ids)}

    @property
    def n_values(self) -> int:
        """Numbers that are listed."""
        return sum(map(len, (*self.inputs, *self.outputs)))


_Tag = Annotated[str, Field(max_length=256)]
_Text = Annotated[str, Field(max_length=MOST_TEXT)]
_Row = Annotated[list[float | None], Field(max_length=MOST_VALUES)]
_Rows = Annotated[list[_Row], Field(max_length=MOST_ROWS)]
_Labels = Annotated[list[_Text], Field(max_length=MOST_LABELS)]
_Ids = Annotated[list[Annotated[int, Field(ge=0, lt=1 << 24)]], Field(max_length=MOST_ROWS)]


@with_config(ConfigDict(strict=True, allow_inf_nan=False))
class AskedForm(TypedDict):
    """What a model was asked and said, for some targets; null is no value."""

    model: _Tag
    version: NotRequired[_Text]
    rows: NotRequired[Annotated[int, Field(ge=0, lt=1 << 63)]]
    ids: NotRequired[Annotated[dict[_Text, _Ids], Field(max_length=4)]]
    features: NotRequired[_Labels]
    inputs: NotRequired[_Rows]
    outputs: NotRequired[_Rows]
    outside: NotRequired[_Labels]


AskedForms = Annotated[list[AskedForm], Field(max_length=MOST_MODELS)]


def asked_key(asked: Iterable[Asked]) -> dict[str, Any]:
    """The key of an action batch; none if no model had a part in it."""
    forms = [one.form() for one in asked]
    return {"asked": forms[:MOST_MODELS]} if forms else {}


def asked_of(forms: Iterable[AskedForm]) -> tuple[Asked, ...]:
    """Checked forms as data."""
    return tuple(
        Asked(
            model=form["model"],
            version=form.get("version", ""),
            rows=form.get("rows", 0),
            ids={name: tuple(ids) for name, ids in form.get("ids", {}).items()},
            features=tuple(form.get("features", ())),
            inputs=tuple(map(tuple, form.get("inputs", ()))),
            outputs=tuple(map(tuple, form.get("outputs", ()))),
            outside=tuple(form.get("outside", ())),
        )
        for form in forms
    )
