"""Cuts of a graph: all that are legal, each with the bits of the whole model; and what goes over the wire."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
from onnx import TensorProto, helper

from ranloop.errors import ModelError, PlacementError
from ranloop.inference.session import SessionPredictor, open_session
from ranloop.placement import graph as graphs
from ranloop.placement.graph import Graph, Tensor
from ranloop.placement.packing import Packing
from ranloop.placement.split import CutModel
from ranloop.wire.asking import Asked, decode_asked, encode_asked
from ranloop.wire.messages import F32, FOR_EVER_NS
from tests.ranloop.placement.graphs import GRAPHS, ROWS, card_of, f32, node, normal, onnx_file

# Of a chain of n nodes there are n - 1. `skip` is a chain in which r0 is needed until s. Of `diamond` there are, past r, 3 x 2 states of
# the two branches, and s. The constant of `diamond` is in both parts.
CUTS = {
    "chain": ["g1", "r1", "g2", "r2"],
    "cnn": ["image", "c1", "r1", "p1", "c2", "r2", "a", "f", "g"],
    "skip": ["m0", "r0", "r0+m1", "r0+r1", "r0+m2", "s"],
    "diamond": ["r", "r+a1", "r+b", "r+a2", "a1+b", "a2+b", "s"],
    "normalised": ["image", "c", "b", "r", "f"],
    "sensed": ["m", "r", "z"],
}


def opened(kind: str) -> CutModel:
    content = GRAPHS[kind]()
    return CutModel(card_of(kind, content), content, kind)


@pytest.mark.parametrize("kind", GRAPHS)
def test_all_cuts_of_a_graph_are_found(kind: str) -> None:
    assert [cut.name for cut in opened(kind).cuts] == CUTS[kind]


@pytest.mark.parametrize("kind", GRAPHS)
def test_head_and_tail_give_the_bits_of_the_whole_model_at_every_cut_that_is_offered(kind: str) -> None:
    """On other rows than those that the cuts were tried on, and on other numbers of them."""
    model, content = opened(kind), GRAPHS[kind]()
    whole = SessionPredictor(open_session(content, kind), kind)
    offered = [cut for cut in model.cuts if model.same_bits(cut)]
    assert len(offered) >= len(model.cuts) - (kind == "normalised")
    for n in (1, 2, 9, 32):
        rows = np.random.default_rng(n).normal(0, 3, (n, *ROWS[kind])).astype(np.float32)
        want = cast(F32, whole.predict(rows, 0, FOR_EVER_NS))
        for cut in offered:
            got = cast(F32, model.split(cut).predict(rows, 0, FOR_EVER_NS))
            assert got.tobytes() == want.tobytes(), (cut.name, n)


def test_a_cut_between_nodes_that_the_runtime_makes_one_is_known_to_give_other_bits() -> None:
    """onnxruntime folds the normalisation into the weights of the convolution; cut between them, each rounds by itself."""
    model = opened("normalised")
    assert [cut.name for cut in model.cuts if not model.same_bits(cut)] == ["c"]


def test_a_graph_with_too_many_cuts_has_those_of_the_file_s_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "MOST_CUTS", 5)
    model = opened("diamond")
    assert model.graph.is_partial
    assert [cut.name for cut in model.cuts] == ["r", "r+a1", "r+a2", "a2+b", "s"]


def test_tensors_that_are_not_float32_or_not_rows_first_are_not_sent() -> None:
    """`t` is transposed, `k` an index; between them and after them there are rows of float32."""
    nodes = [
        node("MatMul", "x w", "m"),
        node("Transpose", "m", "t", perm=[1, 0]),
        node("Transpose", "t", "u", perm=[1, 0]),
        node("ArgMax", "u", "k", axis=1),
        node("Cast", "k", "f", to=TensorProto.FLOAT),
        node("Neg", "f", "y"),
    ]
    content = onnx_file(nodes, {"w": normal(3, 4)}, [3])
    assert [cut.name for cut in Graph(content, "odd", (3,)).cuts] == ["m", "u", "f"]


def test_what_the_branches_of_a_node_read_goes_to_the_tail() -> None:
    """The node If names `m` only inside of its branches."""
    of_output = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])]
    branches = {
        f"{name}_branch": helper.make_graph([helper.make_node(kind, ["m"], ["y"])], name, [], of_output)
        for name, kind in (("then", "Relu"), ("else", "Neg"))
    }
    nodes = [node("MatMul", "x w", "m"), node("If", "sure", "y", **branches)]
    content = onnx_file(nodes, {"w": normal(3, 2), "sure": np.array(True)}, [3], 2)
    graph = Graph(content, "branches", (3,))
    assert [cut.name for cut in graph.cuts] == ["m"]
    head, tail = (open_session(part, "part") for part in graph.parts(graph.cuts[0]))
    x = normal(4, 3)
    sent = head.run(["m"], {"x": x})[0]
    assert np.array_equal(
        tail.run(None, {"m": sent})[0], open_session(content, "whole").run(None, {"x": x})[0]
    )


def test_multiply_accumulates_are_those_of_the_layers() -> None:
    """Convolutions: 8 x 6 x 4 outputs of 9 products, and 4 x 3 x 8 of 36; the product 8 x 3. Halves: after p1 the first alone."""
    model = opened("cnn")
    first, second, last = 8 * 6 * 4 * 9, 4 * 3 * 8 * 36, 8 * 3
    assert model.graph.mmac == pytest.approx((first + second + last) / 1e6)
    cut = model.cut("p1")
    assert (cut.mmac_head, cut.mmac_tail) == pytest.approx((first / 1e6, (second + last) / 1e6))


def test_a_tensor_that_is_the_input_in_another_form_counts_as_the_input() -> None:
    """`image` only has one more dimension; `c1` and all after it went through a convolution."""
    assert [cut.name for cut in opened("cnn").cuts if cut.sends_input] == ["image"]


def test_a_cut_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(PlacementError, match=r"cnn has no cut 'p2'; it has 9, such as .*p1") as refused:
        opened("cnn").cut("p2")
    assert "\n" not in str(refused.value)


# The wire


def test_u8_is_off_by_half_a_step_at_most_and_each_row_and_tensor_has_its_own() -> None:
    """The second row is a hundred times as large as the first, the second tensor a thousand times as large as the first."""
    tensors = (Tensor("a", (3, 2)), Tensor("b", (5,)))
    size = f32([[1], [100]])
    values = [normal(2, 3, 2) * size[:, None], normal(2, 5) * size * 1000]
    packing = Packing(tensors, "u8")
    rows = packing.pack(values)
    assert rows.shape == (2, packing.words) == (2, 2 * 2 + 3)  # 11 bytes fill three words
    for want, got in zip(values, packing.unpack(rows), strict=True):
        flat = want.reshape(2, -1)
        step = (flat.max(axis=1) - flat.min(axis=1)) / 255
        assert got.shape == want.shape
        assert (np.abs(got - want).reshape(2, -1).max(axis=1) <= step * 0.501).all()


def test_a_constant_tensor_is_sent_as_u8_without_loss() -> None:
    packing = Packing((Tensor("a", (4,)),), "u8")
    (got,) = packing.unpack(packing.pack([np.full((2, 4), 7.25, np.float32)]))
    assert (got == 7.25).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_not_sent_as_u8(value: float) -> None:
    with pytest.raises(ModelError, match="a has a value that is not finite"):
        Packing((Tensor("a", (2,)),), "u8").pack([f32([[0, value]])])


@pytest.mark.filterwarnings("error")
def test_packed_rows_go_over_the_wire_bit_by_bit() -> None:
    """The words of codes are any bits, among them 0x7F800001, a signalling NaN, which a conversion would change."""
    rows = np.array([[0x7F800001, 0xFFFFFFFF, 0x00000001]], np.uint32).view(np.float32)
    question = Asked(number=1, run="r", xapp="a", model="m@0~1", within_ms=9.0, matrix=rows)
    assert decode_asked(encode_asked(question)).matrix.tobytes() == rows.tobytes()
