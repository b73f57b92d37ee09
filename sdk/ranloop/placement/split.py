"""A model in two parts: the head is computed where the xApp runs, the tail by a tier above.

Both sides have the same package and cut it at the same place, so its hash, signature and card hold for both parts. A host serves a
tail under a tag of its own, the model's with a digest of the cut and of the form on the wire: `name@hash~cut`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from ranloop.errors import ModelError, PlacementError
from ranloop.foreign import one_line
from ranloop.inference import Card, Late, Model, Provider, Trust, read_package
from ranloop.inference.golden import difference
from ranloop.inference.package import rows_at_a_time
from ranloop.inference.probe import reason
from ranloop.inference.session import SessionPredictor, open_session
from ranloop.placement.graph import Cut, Graph
from ranloop.placement.packing import Packing, Wire
from ranloop.wire.asking import MAX_COLUMNS
from ranloop.wire.messages import F32, FOR_EVER_NS

if TYPE_CHECKING:
    import onnxruntime as ort

__all__ = ("CutModel", "Head", "Split", "Tail", "open_cut_model")

_TRIED_ROWS = 4
_MOST_SHOWN = 8  # names of cuts


class Head:
    """The first part of a model, computed here.

    Args:
        session: Takes the model's input.
        cut: Where it ends.
        packing: The form of what it sends.
        name: Of the model, in errors.

    Attributes:
        mmac_per_row: Million multiply-accumulates of it.
        row_bytes: Of a row on the wire.
    """

    def __init__(self, session: ort.InferenceSession, cut: Cut, packing: Packing, name: str) -> None:
        self.mmac_per_row = cut.mmac_head
        self.row_bytes = 4 * packing.words
        self._session, self._packing, self._name = session, packing, name
        self._input: str = session.get_inputs()[0].name
        self._tensors = [tensor.name for tensor in cut.tensors]
        self._last: tuple[F32, F32] | None = None

    def rows(self, matrix: F32) -> F32:
        """Rows to send, [n, words], of a matrix as the model takes it; the same matrix is not computed twice in a row.

        Raises:
            ModelError: It cannot be computed, or not be sent.
        """
        if self._last is None or self._last[0] is not matrix:
            try:
                values = cast("list[F32]", self._session.run(self._tensors, {self._input: matrix}))
            except Exception as error:  # onnxruntime's errors share no public base class
                raise ModelError(f"the head of {self._name} cannot be run: {reason(error)}") from error
            self._last = matrix, self._packing.pack(values)
        return self._last[1]


class Tail:
    """The second part, a predictor of packed rows. Its session is opened when it is first used: an xApp does not use it live.

    Args:
        content: An ONNX file that takes the cut's tensors.
        cut: Where it begins.
        packing: The form of its rows.
        name: Of the model, in errors.
        provider: What computes it.
        output: Name of the output to read, "" for the first.

    Attributes:
        row_shape: Shape of one row of a question to it.
    """

    def __init__(
        self, content: bytes, cut: Cut, packing: Packing, name: str, provider: Provider, output: str = ""
    ) -> None:
        self.row_shape: tuple[int, ...] = (packing.words,)
        self._content, self._name, self._provider, self._output = content, name, provider, output
        self._packing = packing
        self._tensors = [tensor.name for tensor in cut.tensors]

    def open(self) -> None:
        """Open its session.

        Raises:
            ModelError: The provider cannot run it.
        """
        _ = self._session

    @cached_property
    def _session(self) -> ort.InferenceSession:
        return open_session(self._content, self._name, self._provider)

    def predict(self, matrix: F32, asked_ns: int, deadline_ns: int) -> F32 | Late:
        """Outputs for each row, see `Predictor`.

        Raises:
            ModelError: onnxruntime cannot run it on these rows.
        """
        values = dict(zip(self._tensors, self._packing.unpack(matrix), strict=True))
        try:
            wanted = [self._output or self._session.get_outputs()[0].name]
            return cast(F32, self._session.run(wanted, values)[0])
        except Exception as error:  # onnxruntime's errors share no public base class
            raise ModelError(f"the tail of {self._name} cannot be run: {reason(error)}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A model that is cut at one place; as a predictor, both parts one after the other.

    Attributes:
        tag: Under which hosts serve the tail.
        card: Of the whole model.
    """

    tag: str
    card: Card
    cut: Cut
    wire: Wire
    head: Head
    tail: Tail

    def predict(self, matrix: F32, asked_ns: int, deadline_ns: int) -> F32 | Late:
        """See `Predictor`."""
        return self.tail.predict(self.head.rows(matrix), asked_ns, deadline_ns)


class CutModel:
    """A model package, and all that is known of its cuts.

    Args:
        card: Of the package.
        content: Its ONNX file, which takes any number of rows.
        path: The file, in errors.
        provider: What computes it.
    """

    def __init__(self, card: Card, content: bytes, path: str, provider: Provider = "cpu") -> None:
        self.card = card
        self.graph = Graph(content, path, card.row_shape, card.output)
        self.cuts = tuple(cut for cut in self.graph.cuts if cut.size <= MAX_COLUMNS)
        self._path, self._provider = path, provider
        self._known_bits: dict[Cut, bool] = {}
        self._whole = SessionPredictor(open_session(content, path, provider), path, output=card.output)

    def cut(self, name: str) -> Cut:
        """The cut of this name.

        Raises:
            PlacementError: There is none.
        """
        named = {cut.name: cut for cut in self.cuts}
        if name not in named:
            near = get_close_matches(name, named, n=3) or list(named)[:_MOST_SHOWN]
            shown = ", ".join(one_line(each, 60) for each in near) or "none"
            raise PlacementError(
                f"{self._path} has no cut {one_line(name, 60)!r}; it has {len(named)}, such as {shown}; ranloop model cuts lists them"
            )
        return named[name]

    def split(self, cut: Cut, wire: Wire = "f32") -> Split:
        """The model, cut in two there."""
        packing = Packing(cut.tensors, wire)
        of_head, of_tail = self.graph.parts(cut)
        digest = hashlib.sha256(f"{wire} {cut.name}".encode()).hexdigest()[:12]
        session = open_session(of_head, self._path, self._provider)
        return Split(
            tag=f"{Model.tag_of(self.card)}~{digest}",
            card=self.card,
            cut=cut,
            wire=wire,
            head=Head(session, cut, packing, self._path),
            tail=Tail(of_tail, cut, packing, self._path, self._provider, self.card.output),
        )

    def same_bits(self, cut: Cut) -> bool:
        """Whether both parts give the bits of the whole model, as tried on the golden inputs or on random rows.

        onnxruntime may compute nodes together, such as a convolution and the normalisation after it. A cut between them changes how
        the numbers are rounded.
        """
        if cut not in self._known_bits:
            rows = self._tried
            answers = [one.predict(rows, 0, FOR_EVER_NS) for one in (self._whole, self.split(cut))]
            bits = [None if isinstance(one, Late) else one.tobytes() for one in answers]
            self._known_bits[cut] = bits[0] is not None and bits[0] == bits[1]
        return self._known_bits[cut]

    def loss(self, split: Split) -> float | None:
        """The largest difference of a split's outputs from the card's golden ones, see `difference`; None if the card has none."""
        return difference(self.card, split)

    @cached_property
    def _tried(self) -> F32:
        golden, row = self.card.golden, self.card.row_shape
        if golden is not None:
            return np.array(golden.inputs, np.float32).reshape(-1, *row)
        return np.random.default_rng(0).standard_normal((_TRIED_ROWS, *row), np.float32)


def open_cut_model(folder: Path, *, trust: Trust | None = None, provider: Provider = "cpu") -> CutModel:
    """Read, check and try out a package, and find its cuts.

    Raises:
        ModelError: The package cannot be used, see `load_model`.
        PlacementError: It takes a fixed number of rows, or has no cut.
        MissingExtraError: onnx or onnxruntime is not installed.
    """
    card, content = read_package(folder, trust=trust)
    path = folder / card.file
    if batch := rows_at_a_time(card, content, path):
        raise PlacementError(
            f"{path} takes {batch} rows at a time, and a split wants any number: export it with a free first dimension"
        )
    model = CutModel(card, content, str(path), provider)
    if not model.cuts:
        raise PlacementError(
            f"{path} cannot be cut: no place inside has only float32 tensors, rows first, of at most {MAX_COLUMNS} values a row"
        )
    return model
