"""The graph of an ONNX file, and its cuts: the places where it can be computed in two parts.

A cut is a set of nodes, the head, that needs nothing of the others. The tensors that go from the head to the others are all that
has to be sent. A graph with branches has cuts with several tensors; all of them are listed, not only those after a prefix of the
file's order. Nodes that depend on constants alone belong to both parts.

Shapes are not inferred but seen in runs with two and with three rows. A tensor may be sent if it is float32 and its first dimension is the
number of rows in both.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ranloop.errors import MissingExtraError, ModelError
from ranloop.foreign import one_line
from ranloop.inference.session import open_session

__all__ = ("Cut", "Graph", "Tensor")

MOST_CUTS = 2048  # beyond that, only the cuts after each node of the file's order
_SEEN_ROWS = (2, 3)
_Shapes = Mapping[str, tuple[int, ...]]


class Tensor(NamedTuple):
    """What one tensor has for each row of the input."""

    name: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Two parts of a graph.

    Attributes:
        tensors: What goes from the head to the tail, in the file's order.
        head: Places of the nodes of the first part in the file.
        sends_input: Whether a tensor is the model's input, or made of it without a matrix product: the same values in another form.
        mmac_head: Million multiply-accumulates of the head for one row, and `mmac_tail` those of the tail.
    """

    tensors: tuple[Tensor, ...]
    head: frozenset[int]
    sends_input: bool
    mmac_head: float
    mmac_tail: float

    @property
    def name(self) -> str:
        """The names of the tensors, as the file has them."""
        return "+".join(tensor.name for tensor in self.tensors)

    @property
    def size(self) -> int:
        """Values that are sent for each row."""
        return sum(tensor.size for tensor in self.tensors)


class Graph:
    """As much of a file's graph as the output that is read depends on.

    Args:
        content: The ONNX file, which has been checked and tried out.
        name: Of the file, in errors.
        row: Shape of one row of the input.
        output: Name of the output to read, "" for the first.

    Attributes:
        cuts: All between the first and the last node whose tensors may be sent, the smallest head first.
        is_partial: Whether there were too many cuts to list all.
        mmac: Million multiply-accumulates of a row: of convolutions, matrix products and recurrent layers, all else counts nothing.

    Raises:
        ModelError: It cannot be run on two and on three rows.
        MissingExtraError: onnx is not installed.
    """

    def __init__(self, content: bytes, name: str, row: tuple[int, ...], output: str = "") -> None:
        try:
            import onnx
        except ModuleNotFoundError as error:
            raise MissingExtraError(f"cutting {name}", "split") from error
        self._onnx, self._name = onnx, name
        self._model = onnx.load_model_from_string(content)
        graph = self._model.graph
        constants = {tensor.name for tensor in (*graph.initializer, *_sparse_values(graph))}
        self._input: str = next(each.name for each in graph.input if each.name not in constants)
        self._output: str = output or graph.output[0].name
        self._reads = [tuple(dict.fromkeys(filter(None, _reads(node)))) for node in graph.node]
        self._find_nodes()
        small, large = (self._shapes(rows, row) for rows in _SEEN_ROWS)
        self._rows_of = {name: _row_shape(small.get(name), large.get(name)) for name in large}
        self._mmac = {
            at: (_macs(graph.node[at], large) - _macs(graph.node[at], small)) / 1e6 for at in self._needs
        }
        self.mmac = sum(self._mmac.values())
        self._plain = self._find_plain()
        heads, self.is_partial = _heads(self._needs)
        found = (self._cut(head) for head in heads if 0 < len(head) < len(self._needs))
        self.cuts = tuple(cut for cut in found if cut is not None)

    def parts(self, cut: Cut) -> tuple[bytes, bytes]:
        """The head and the tail of a cut as ONNX files. The head takes the input, the tail the cut's tensors by their names."""
        graph, sent = self._model.graph, [self._typed(tensor) for tensor in cut.tensors]
        of_input = [each for each in graph.input if each.name == self._input]
        of_output = [each for each in graph.output if each.name == self._output]
        return (
            self._part(cut.head, of_input, sent),
            self._part(self._needs.keys() - cut.head, sent, of_output),
        )

    def _find_nodes(self) -> None:
        """Find the nodes that the output needs, and of those the ones that depend on the input, with the nodes that each needs."""
        nodes = self._model.graph.node
        maker = {name: at for at, node in enumerate(nodes) for name in node.output if name}
        wanted, todo = set[int](), [self._output]
        while todo:
            at = maker.get(todo.pop())
            if at is not None and at not in wanted:
                wanted.add(at)
                todo += self._reads[at]
        varying = {self._input}
        self._needs: dict[int, frozenset[int]] = {}
        for at in sorted(wanted):  # a file has its nodes in an order in which they can be computed
            if varying.intersection(self._reads[at]):
                made = (maker[name] for name in self._reads[at] if name in varying and name in maker)
                self._needs[at] = frozenset(made)
                varying.update(nodes[at].output)
        self._constant = wanted - self._needs.keys()
        self._tensors = [self._input, *(name for at in self._needs for name in nodes[at].output if name)]

    def _find_plain(self) -> set[str]:
        """The input, and all that is made of it without a matrix product."""
        plain, varying = {self._input}, {*self._tensors}
        for at in self._needs:
            if not self._mmac[at] and plain.issuperset(varying.intersection(self._reads[at])):
                plain.update(self._model.graph.node[at].output)
        return plain

    def _shapes(self, rows: int, row: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """Name -> shape of each float32 tensor in a run; of the others those that are constant."""
        onnx, graph = self._onnx, self._model.graph
        made = onnx.ModelProto()
        made.CopyFrom(self._model)
        del made.graph.output[:]
        of_constants = [name for at in self._constant for name in graph.node[at].output if name]
        names = [*self._tensors[1:], *of_constants]
        made.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
        session = open_session(made.SerializeToString(), self._name)
        zeros = np.zeros((rows, *row), np.float32)
        try:
            found = session.run(names, {self._input: zeros})
        except Exception as error:  # onnxruntime's errors share no public base class
            why = one_line(str(error).partition("\n")[0], 200)
            raise ModelError(f"{self._name} cannot be cut: it cannot be run on {rows} rows: {why}") from error
        values = zip([self._input, *names], [zeros, *found], strict=True)
        shapes = {each.name: tuple(each.dims) for each in graph.initializer}
        return shapes | {name: value.shape for name, value in values if _is_float32(value)}

    def _cut(self, head: frozenset[int]) -> Cut | None:
        """The cut after these nodes; None if a tensor of it cannot be sent."""
        nodes = self._model.graph.node
        read_later = {name for at in self._needs if at not in head for name in self._reads[at]}
        made = {self._input, *(name for at in head for name in nodes[at].output)}
        names = [name for name in self._tensors if name in made and name in read_later]
        shapes = [self._rows_of.get(name) for name in names]
        if None in shapes:
            return None
        mmac_head = sum(self._mmac[at] for at in head)
        return Cut(
            tensors=tuple(
                Tensor(name, shape) for name, shape in zip(names, shapes, strict=True) if shape is not None
            ),
            head=head,
            sends_input=not self._plain.isdisjoint(names),
            mmac_head=mmac_head,
            mmac_tail=self.mmac - mmac_head,
        )

    def _typed(self, tensor: Tensor) -> Any:
        onnx = self._onnx
        return onnx.helper.make_tensor_value_info(
            tensor.name, onnx.TensorProto.FLOAT, ["rows", *tensor.shape]
        )

    def _part(self, chosen: AbstractSet[int], inputs: Sequence[Any], outputs: Sequence[Any]) -> bytes:
        """A file of these nodes, with the constants that they need."""
        graph = self._model.graph
        wanted = {each.name for each in outputs}
        kept: list[int] = []
        for at in sorted(chosen | self._constant, reverse=True):
            if at in chosen or wanted.intersection(graph.node[at].output):
                kept.append(at)
                wanted.update(self._reads[at])
        made = self._onnx.ModelProto()
        made.CopyFrom(self._model)
        for field in (made.graph.node, made.graph.input, made.graph.output, made.graph.value_info):
            del field[:]
        made.graph.node.extend(graph.node[at] for at in reversed(kept))
        made.graph.input.extend(inputs)
        made.graph.output.extend(outputs)
        for constants, name_of in (
            (made.graph.initializer, _name),
            (made.graph.sparse_initializer, _sparse_name),
        ):
            left = [each for each in constants if name_of(each) in wanted]
            del constants[:]
            constants.extend(left)
        return bytes(made.SerializeToString())


def _reads(node: Any) -> Iterator[str]:
    """Names that a node reads, also from within the graphs of its branches."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            own = {name for inner in graph.node for name in inner.output}
            own |= {each.name for each in (*graph.initializer, *_sparse_values(graph), *graph.input)}
            read = (name for inner in graph.node for name in _reads(inner))
            yield from (name for name in (*read, *map(_name, graph.output)) if name not in own)


def _name(each: Any) -> str:
    return str(each.name)


def _sparse_name(each: Any) -> str:
    return str(each.values.name)


def _sparse_values(graph: Any) -> list[Any]:
    return [each.values for each in graph.sparse_initializer]


def _is_float32(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == np.float32


def _row_shape(small: tuple[int, ...] | None, large: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """The shape of one row of a tensor, of its shapes with two and with three rows; None if it is not rows first."""
    if small is None or large is None or (small[:1], large[:1]) != ((2,), (3,)) or small[1:] != large[1:]:
        return None
    return large[1:]


def _heads(needs: Mapping[int, frozenset[int]]) -> tuple[list[frozenset[int]], bool]:
    """All sets of nodes that hold what their nodes need, the smaller first, or of too many the prefixes; and which of the two."""
    found = {frozenset[int](): None}
    todo = deque(found)
    while todo:
        head = todo.popleft()
        for at, needed in needs.items():
            if at in head or not needed <= head or (more := head | {at}) in found:
                continue
            if len(found) >= MOST_CUTS:
                order = list(needs)
                return [frozenset(order[:n]) for n in range(len(order) + 1)], True
            found[more] = None
            todo.append(more)
    return list(found), False


def _macs(node: Any, shapes: _Shapes) -> int:
    """Multiply-accumulates of a node, of the shapes of its tensors; 0 for nodes that multiply no matrices."""
    read = [shapes.get(name, ()) for name in node.input]
    out = shapes.get(node.output[0], ())
    size = [math.prod(shape) if shape else 0 for shape in read]
    n_out = math.prod(out) if out else 0
    match node.op_type:
        case "Conv" if all(size[:2]):  # weights [out, in / groups, ...]
            return n_out * size[1] // read[1][0]
        case "ConvTranspose" if all(size[:2]):  # weights [in, out / groups, ...]
            return size[0] * size[1] // read[1][0]
        case "Gemm" if out:
            return n_out * size[0] // out[0]
        case "MatMul" if read[0]:
            return n_out * read[0][-1]
        case "LSTM" | "GRU" | "RNN" if read[
            0
        ]:  # input [steps, rows, in]; weights [directions, gates x hidden, in or hidden]
            return read[0][0] * read[0][1] * (size[1] + size[2])
    return 0
