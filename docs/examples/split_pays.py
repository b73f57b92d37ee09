"""Where a split pays: a convolutional network of a spectrogram, with a narrow layer, over bandwidths and forms of the wire.

    python docs/examples/split_pays.py

prints the table of docs/placement.md. The network is not trained: times and bytes do not depend on its weights. Put in a network and tiers of
your own; for a package, `ranloop model cuts` prints each cut.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, get_args

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from ranloop.inference import Card, Feature, Output
from ranloop.placement import Tiers, load_tiers
from ranloop.placement.packing import Wire
from ranloop.placement.split import CutModel
from ranloop.placement.split_plan import plan_split

STEPS, BINS = 128, 256
BANDWIDTHS_MBPS = (10, 50, 1000)
# Output channels, width of the kernel, pooling. The third layer is narrow: 8 channels are what a split sends.
LAYERS = ((64, 3, 2), (128, 3, 2), (8, 1, 1), (256, 3, 1), (256, 3, 2), (256, 3, 2))


def network() -> bytes:
    """An ONNX file that takes [n, steps, bins] and gives the probabilities of 4 classes."""
    rng = np.random.default_rng(0)
    nodes = [helper.make_node("Unsqueeze", ["x", "axis"], ["image"])]
    weights: dict[str, Any] = {"axis": np.array([1])}
    at, channels = "image", 1
    for number, (wider, width, pool) in enumerate(LAYERS, 1):
        weights[f"w{number}"] = rng.standard_normal((wider, channels, width, width), np.float32) / (
            width * channels
        )
        pads = [width // 2] * 4
        nodes += [
            helper.make_node("Conv", [at, f"w{number}"], [f"conv{number}"], pads=pads),
            helper.make_node("Relu", [f"conv{number}"], [f"relu{number}"]),
        ]
        at, channels = f"relu{number}", wider
        if pool > 1:
            nodes.append(
                helper.make_node(
                    "MaxPool", [at], [f"pool{number}"], kernel_shape=[pool] * 2, strides=[pool] * 2
                )
            )
            at = f"pool{number}"
    weights["w"] = rng.standard_normal((channels, 4), np.float32)
    nodes += [
        helper.make_node("GlobalAveragePool", [at], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["sum"]),
        helper.make_node("Softmax", ["sum"], ["probabilities"]),
    ]
    graph = helper.make_graph(
        nodes,
        "spectrum",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", STEPS, BINS])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def card_of(content: bytes) -> Card:
    """Raw power values that the xApp hands over, bin by bin; what is inside may leave the site."""
    bins = (Feature(name=f"bin{at}", unit="dBm", sensitivity="raw") for at in range(BINS))
    return Card(
        name="spectrum",
        version="1",
        summary="Which interference a spectrogram shows; not trained.",
        sha256=hashlib.sha256(content).hexdigest(),
        period_ms=100,
        features=tuple(bins),
        steps=STEPS,
        output="probabilities",
        outputs=tuple(Output(name=f"class{at}", unit="1") for at in range(4)),
        sensitivity_inside="per-ue",
    )


def tiers_of(file: Path, bandwidth_mbps: float, *, raw_may_leave: bool) -> Tiers:
    """The tiers of a file, with another bandwidth of the regional one, which may see raw data or not."""
    told = load_tiers(file).model_dump()
    told["tiers"]["regional"]["bandwidth_mbps"] = bandwidth_mbps
    told["zones"]["operator"] = "raw" if raw_may_leave else "per-ue"
    return Tiers.model_validate(told)


def main() -> None:
    content = network()
    model = CutModel(card_of(content), content, "spectrum")
    tiers_file = Path(__file__).with_name("tiers.toml")
    print(
        f"{model.graph.mmac:,.0f} MMAC, {len(model.cuts)} cuts that can be sent, input of {4 * STEPS * BINS:,} bytes\n"
    )
    print(
        "| raw data | wire | Mb/s | best split | ms | best whole | ms | split |\n|---|---|---|---|---|---|---|---|"
    )
    for raw_may_leave in (False, True):
        for wire in get_args(Wire):
            for mbps in BANDWIDTHS_MBPS:
                tiers = tiers_of(tiers_file, mbps, raw_may_leave=raw_may_leave)
                plan = plan_split(model, tiers, ["regional"], wire=wire)
                assert plan.split is not None
                assert plan.split.cut is not None
                split, whole = plan.split, plan.whole
                cells = (
                    "may leave" if raw_may_leave else "stays",
                    wire,
                    mbps,
                    f"{plan.split.cut.name}, {split.n_bytes:,} B",
                    f"{split.took_ns / 1e6:.1f}",
                    whole.tier,
                    f"{whole.took_ns / 1e6:.1f}",
                    "wins" if plan.wins else "refused",
                )
                print("| " + " | ".join(map(str, cells)) + " |")


if __name__ == "__main__":
    main()
