"""An ONNX file that hangs, takes all memory, or does not fit its card is one line, soon; odd but sound shapes are run."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tomli_w
from onnx import TensorProto, helper, numpy_helper

from ranloop.errors import MissingExtraError, ModelError
from ranloop.inference import Late, load_model, onnx_file, probe, read_package
from ranloop.testing import make_report
from ranloop.testing.predictors import DelayedPredictor

FLOAT, INT = TensorProto.FLOAT, TensorProto.INT64
SUM = [helper.make_node("ReduceSum", ["x", "last"], ["y"], keepdims=1)]  # [n, …, 2] -> [n, …, 1]


def constant(name: str, values: object, kind: Any = np.int64) -> Any:
    return numpy_helper.from_array(np.array(values, kind), name)


def model_of(
    nodes: Sequence[Any],
    constants: Sequence[Any] = (),
    *,
    takes: Sequence[str | int] = ("n", 2),
    gives: Sequence[str | int] | None = ("n", 1),
    kind: int = FLOAT,
) -> bytes:
    graph = helper.make_graph(
        list(nodes),
        "probe",
        [helper.make_tensor_value_info("x", kind, list(takes))],
        [helper.make_tensor_value_info("y", kind, list(gives) if gives else None)],
        [constant("last", [-1]), *constants],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


def package(folder: Path, content: bytes, **card: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "model.onnx").write_bytes(content)
    facts = {
        "name": "probe",
        "version": "1",
        "summary": "test",
        "sha256": hashlib.sha256(content).hexdigest(),
        "period_ms": 100,
        "features": [
            {"measurement": "DRB.UEThpDl", "unit": "kbit/s"},
            {"measurement": "CQI", "unit": "1"},
        ],
        "outputs": [{"name": "y", "unit": "1"}],
    }
    (folder / "card.toml").write_text(tomli_w.dumps(facts | card))
    return folder


def report(n: int) -> Any:
    return make_report({"DRB.UEThpDl": np.arange(n), "CQI": np.full(n, 10)})


# Shapes that are run

TO_ONE_ROW = [
    helper.make_node("Reshape", ["x", "one_row"], ["r"]),
    helper.make_node("ReduceSum", ["r", "last"], ["y"], keepdims=1),
]


@pytest.mark.parametrize(
    "content",
    [
        model_of(SUM),
        model_of(SUM, takes=(1, 2), gives=(1, 1)),
        model_of(SUM, takes=(3, 2), gives=(3, 1)),
        model_of(SUM, takes=(2, 2), gives=(2, 1)),
        # Says that it takes any number of rows, and reshapes to one of all of them.
        model_of(TO_ONE_ROW, [constant("one_row", [1, 2])]),
    ],
    ids=["any number", "one", "three", "two", "reshaped to one"],
)
def test_a_file_that_takes_a_fixed_number_of_rows_is_run_as_often_as_it_takes(
    tmp_path: Path, content: bytes
) -> None:
    """onnxruntime refuses another number of rows than the file's."""
    model = load_model(package(tmp_path / "m", content))
    for n in (0, 1, 3, 7):
        assert model(report(n)).tolist() == [10.0 + row for row in range(n)]


def test_a_file_that_takes_any_number_of_rows_is_run_once(tmp_path: Path) -> None:
    # Its answer for each row is the number of rows of its run.
    nodes = [
        helper.make_node("Mul", ["x", "zero"], ["nothing"]),
        helper.make_node("ReduceSum", ["nothing", "last"], ["zeros"], keepdims=1),
        helper.make_node("Shape", ["x"], ["n"], end=1),
        helper.make_node("Cast", ["n"], ["rows"], to=FLOAT),
        helper.make_node("Add", ["zeros", "rows"], ["y"]),
    ]
    model = load_model(package(tmp_path / "m", model_of(nodes, [constant("zero", 0.0, np.float32)])))
    for n in (0, 1, 3, 7):
        assert model(report(n)).tolist() == [n] * n


def test_a_sequence_has_the_oldest_period_first(tmp_path: Path) -> None:
    # The last step less the first one, of the first feature.
    nodes = [
        helper.make_node("Gather", ["x", "newest"], ["a"], axis=1),
        helper.make_node("Gather", ["x", "oldest"], ["b"], axis=1),
        helper.make_node("Sub", ["a", "b"], ["d"]),
        helper.make_node("Gather", ["d", "first"], ["y"], axis=1),
    ]
    constants = [constant("newest", 2), constant("oldest", 0), constant("first", [0])]
    content = model_of(nodes, constants, takes=("n", 3, 2))
    model = load_model(package(tmp_path / "m", content, steps=3))
    for seq, kbps in enumerate((10, 25, 70)):
        one = make_report({"CQI": [5, 6], "DRB.UEThpDl": [kbps, 7]}, ids={"ue": [4, 9]}, seq=seq)
        matrix = model.features.matrix(one)
        assert matrix.shape == (2, 3, 2)
        answer = model(one)
    assert matrix[0].tolist() == [[10, 5], [25, 5], [70, 5]]
    assert answer.tolist() == [60, 0]


def test_of_several_outputs_the_cards_is_read(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [*SUM, helper.make_node("Identity", ["x"], ["z"])],
        "probe",
        [helper.make_tensor_value_info("x", FLOAT, ["n", 2])],
        [helper.make_tensor_value_info(name, FLOAT, None) for name in ("z", "y")],
        [constant("last", [-1])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content = bytes(made.SerializeToString())
    assert load_model(package(tmp_path / "m", content, output="y"))(report(2)).tolist() == [10, 11]
    for output, want in (
        ("", "want one: name it on the card, output = …"),
        ("w", "want the card's output 'w'"),
    ):
        with pytest.raises(ModelError, match=f"gives 'z' .*'y' .*: {want}"):
            load_model(package(tmp_path / "m", content, output=output))


# Files that are refused

KEEP_SMALL = [
    helper.make_node("ReduceSum", ["x", "last"], ["s"], keepdims=1),
    helper.make_node("Squeeze", ["s", "last"], ["flat"]),
    helper.make_node("Less", ["flat", "limit"], ["small"]),
    helper.make_node("Compress", ["s", "small"], ["y"], axis=0),
]


def test_an_answer_with_another_number_of_rows_is_refused_whenever_it_comes(tmp_path: Path) -> None:
    content = model_of(KEEP_SMALL, [constant("limit", 11.5, np.float32)], gives=None)
    model = load_model(package(tmp_path / "m", content))  # rows of zeros are all kept
    assert model(report(2)).tolist() == [10, 11]
    with pytest.raises(ModelError, match=r"model probe answers 3 rows with \[2, 1\]: want \[3, 1\]"):
        model(report(3))


def endless_loop() -> bytes:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"])],
        "body",
        [
            helper.make_tensor_value_info("i", INT, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("go_on", TensorProto.BOOL, [])],
    )
    return model_of(
        [helper.make_node("Loop", ["", "yes"], [], body=body), *SUM], [constant("yes", True, bool)]
    )


def in_a_branch(content: bytes) -> bytes:
    """The same nodes inside a branch of an If."""
    inner = onnx.load_from_string(content).graph
    then = helper.make_graph(list(inner.node), "then", [], list(inner.output), list(inner.initializer))
    other = helper.make_graph(
        [helper.make_node("ReduceSum", ["x", "at"], ["y"], keepdims=1)],
        "else",
        [],
        list(inner.output),
        [constant("at", [-1])],
    )
    node = helper.make_node("If", ["yes"], ["y"], then_branch=then, else_branch=other)
    return model_of([node], [constant("yes", False, bool)])


def with_external_data(folder: Path) -> bytes:
    (folder / "weights").write_bytes(np.ones(1, np.float32).tobytes())
    made = onnx.load_from_string(model_of([helper.make_node("Add", ["s", "w"], ["y"])]))
    made.graph.node.insert(0, helper.make_node("ReduceSum", ["x", "last"], ["s"], keepdims=1))
    weights = made.graph.initializer.add(name="w", data_type=FLOAT, dims=[1])
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=str(folder / "weights"))
    return bytes(made.SerializeToString())


def in_a_function(content: bytes) -> bytes:
    """The same nodes as a function of the file, which its only node calls."""
    inner = onnx.load_from_string(content)
    constants = [helper.make_node("Constant", [], [one.name], value=one) for one in inner.graph.initializer]
    made = onnx.load_from_string(model_of([helper.make_node("Sum2", ["x"], ["y"], domain="own")]))
    made.opset_import.append(helper.make_opsetid("own", 1))
    made.functions.append(
        helper.make_function(
            "own", "Sum2", ["x"], ["y"], [*constants, *inner.graph.node], [helper.make_opsetid("", 17)]
        )
    )
    return bytes(made.SerializeToString())


def as_it_is(content: bytes) -> bytes:
    return content


@pytest.mark.parametrize("wrapped", [as_it_is, in_a_branch, in_a_function])
def test_a_loop_is_refused_before_anything_runs(tmp_path: Path, wrapped: Callable[[bytes], bytes]) -> None:
    content = wrapped(endless_loop())
    began_s = time.monotonic()
    with pytest.raises(
        ModelError, match=r"model.onnx is refused: it has the operator Loop, which may never end"
    ):
        load_model(package(tmp_path / "m", content))
    assert time.monotonic() - began_s < 1.0


def test_data_in_another_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"weights are in another file, which the card's sha256 does not cover"
    ):
        read_package(package(tmp_path / "m", with_external_data(tmp_path)))


def test_the_words_loop_and_location_as_names_are_no_loop_and_no_other_file(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Identity", ["x"], ["location"], name="Loop"),
        helper.make_node("ReduceSum", ["location", "last"], ["y"], name="location", keepdims=1),
    ]
    assert load_model(package(tmp_path / "m", model_of(nodes)))(report(1)).tolist() == [10]


@pytest.mark.parametrize(
    "content",
    [
        b"Loop" + b"\xff" * 40,  # tags that go on for ever
        b"\x3a\x7fLoop",  # a graph of 127 bytes, of which 4 are there
        b"\x3a\x04\x0a\x7f\x00\x00Loop",  # a node that ends after its graph
        b"\x3bLoop",  # a group, which ONNX has none of
    ],
)
def test_bytes_that_are_no_onnx_file_are_refused_by_the_reader_too(content: bytes) -> None:
    assert onnx_file.refused(content) == "it is no whole ONNX file"


def test_a_file_of_very_many_parts_is_not_read_for_ever() -> None:
    began_s = time.monotonic()
    assert "too many parts" in onnx_file.refused(b"\x08\x00" * 2_000_000 + b"Loop")
    assert time.monotonic() - began_s < 10


def test_graphs_within_graphs_are_followed_so_far_and_no_further() -> None:
    """ModelProto.graph = 7, GraphProto.node = 1, NodeProto.attribute = 5, AttributeProto.g = 6."""

    def nested(n_graphs: int) -> bytes:
        inner = b"Loop"  # in a name, field 2
        inner = b"\x12\x04" + inner
        for number in (*(6, 5, 1) * n_graphs, 7):
            n = len(inner)
            inner = bytes([number << 3 | 2]) + bytes([n & 0x7F | 0x80, n >> 7]) + inner
        return inner

    assert onnx_file.refused(nested(5)) == ""
    assert onnx_file.refused(nested(100)) == "its graphs are nested too deeply"


def test_a_file_that_is_larger_than_any_model_is_not_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ranloop.inference.package.MAX_BYTES", 1 << 20)
    with pytest.raises(ModelError, match=r"model\.onnx is larger than 1 MiB"):
        read_package(package(tmp_path / "m", bytes((1 << 20) + 1)))


FILL = [
    helper.make_node("ConstantOfShape", ["size"], ["big"], value=helper.make_tensor("v", FLOAT, [1], [1.0])),
    helper.make_node("ReduceMax", ["big"], ["m"], keepdims=0),
    helper.make_node("ReduceSum", ["x", "last"], ["s"], keepdims=1),
    helper.make_node("Add", ["s", "m"], ["y"]),
]
SLOW = [
    helper.make_node("Expand", ["e", "size"], ["a"]),
    *(helper.make_node("MatMul", ["a" if k == 0 else f"b{k - 1}", "a"], [f"b{k}"]) for k in range(60)),
    helper.make_node("ReduceMax", ["b59"], ["m"], keepdims=0),
    helper.make_node("ReduceSum", ["x", "last"], ["s"], keepdims=1),
    helper.make_node("Add", ["s", "m"], ["y"]),
]


@pytest.mark.parametrize("gibibytes", [3, 64, 1 << 20])
def test_a_file_that_asks_for_all_memory_is_one_line(tmp_path: Path, gibibytes: int) -> None:
    content = model_of(FILL, [constant("size", [gibibytes << 28])])  # 4 bytes each
    with pytest.raises(
        ModelError, match=r"model.onnx (cannot be run|is not a runnable ONNX model)"
    ) as caught:
        load_model(package(tmp_path / "m", content))
    assert "\n" not in str(caught.value)
    assert "does not come to an end" not in str(caught.value)  # it is refused the memory, and not the time


@pytest.mark.parametrize("limited", ["CPU time", "wall-clock time"])
def test_a_file_that_computes_for_ever_is_one_line_in_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limited: str
) -> None:
    # On a busy machine seconds of CPU time take long.
    wall_s, cpu_s = (1.0, 60) if limited == "wall-clock time" else (60.0, 1)
    monkeypatch.setattr(probe, "WALL_S", wall_s)
    monkeypatch.setattr(probe, "CPU_S", cpu_s)
    content = model_of(SLOW, [constant("size", [5000, 5000]), constant("e", [[1.0]], np.float32)])
    began_s = time.monotonic()
    with pytest.raises(ModelError, match=r"model.onnx .*: it does not come to an end within 1 s"):
        load_model(package(tmp_path / "m", content))
    assert time.monotonic() - began_s < probe.WALL_S + 5  # one trial, not two


@pytest.mark.parametrize(
    ("content", "card", "reason"),
    [
        (model_of(SUM, kind=TensorProto.DOUBLE), {}, r"takes 'x' tensor\(double\) .*want one tensor\(float\) \[\?, 2\]"),
        (model_of(SUM, takes=("n", 4)), {}, r"takes 'x' .*4\] but its card lists 2 features: want"),
        (model_of(SUM, takes=("n", 3, 2)), {}, r"takes 'x' .*3, 2\] but its card lists 2 features: want"),
        (model_of(SUM), {"steps": 3}, r"its card lists 2 features in 3 steps: want one tensor\(float\) \[\?, 3, 2\]"),
        (
            model_of([helper.make_node("Reshape", ["x", "column"], ["y"])], [constant("column", [-1, 1])]),
            {},
            r"turns \[2, 2\] into \[4, 1\] but its card lists 1 outputs: want \[2, 1\]",
        ),
        (
            model_of([helper.make_node("Reshape", ["x", "odd"], ["y"])], [constant("odd", [3, 1])]),
            {},
            r"cannot be run on \[2, 2\]: \[ONNXRuntimeError\]",
        ),
        (model_of(SUM, takes=(70_000, 2)), {}, "a file takes 1 to 65536 rows at a time"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_card_is_said_in_one_line(
    tmp_path: Path, content: bytes, card: dict[str, object], reason: str
) -> None:
    with pytest.raises(ModelError, match=reason) as caught:
        load_model(package(tmp_path / "m", content, **card))
    assert "\n" not in str(caught.value)


def test_an_error_at_run_time_is_one_line(tmp_path: Path) -> None:
    # Takes two rows at most, and says that it takes any number.
    nodes = [
        helper.make_node("Add", ["x", "two"], ["a"]),
        helper.make_node("ReduceSum", ["a", "last"], ["y"]),
    ]
    content = model_of(nodes, [constant("two", np.zeros((2, 2)), np.float32)])
    model = load_model(package(tmp_path / "m", content))
    with pytest.raises(
        ModelError, match=r"model.onnx cannot be run on \[3, 2\]: \[ONNXRuntimeError\]"
    ) as caught:
        model(report(3))
    assert "\n" not in str(caught.value)


# An answer that is late


def test_an_answer_that_is_not_there_in_time_is_no_value_and_is_counted(tmp_path: Path) -> None:
    model = load_model(package(tmp_path / "m", model_of(SUM)))
    model.predictor = DelayedPredictor(model.predictor, delay_ms=120)
    assert np.isnan(model(report(2))).tolist() == [True, True]
    # The report of the first period ends at 100 ms: wanted by 200 ms, there at 220 ms.
    late = Late(asked_ns=100_000_000, deadline_ns=200_000_000, due_ns=220_000_000)
    assert model.ask(report(2)) == late
    assert (model.n_late, model.used) == (2, False)
    answer = model.ask(report(2), within_ms=120)
    assert not isinstance(answer, Late)
    assert (answer.tolist(), model.n_late, model.used) == ([10, 11], 2, True)


def test_without_onnxruntime_a_model_names_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ranloop.inference.package.find_spec", lambda name: None)
    with pytest.raises(
        MissingExtraError, match=r"the model flow_rate needs .*: pip install 'ranloop\[models\]'"
    ):
        load_model(Path(__file__).parents[3] / "models/flow_rate")
