"""The forms of predictor that are compared, each as the table of weights that a slot looks up, and the one that ships as an ONNX file.

A table has the shape [N_CHANGE, N_AGE, ORDER] of `ran_sim.link.prediction`. The learned weights are a product of a polynomial in the age
and straight pieces in the change, with coefficients from least squares: Wiener's predictor, with the covariances of recorded reports.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ran_sim.core.state import F32, F64
from ran_sim.link.prediction import CHANGE_STEPS, N_AGE, N_CHANGE, ORDER, model_grid

AGE_POWERS: Final = 3
KNOTS: Final = (0.08, 0.16, 0.3, 0.45, 0.65, 0.9)  # of the change, between straight pieces
N_BASIS: Final = AGE_POWERS * (2 + len(KNOTS))
MOST_CHANGE: Final = (N_CHANGE - 1) / CHANGE_STEPS


def _table(weights: F64) -> F32:
    return weights.reshape(N_CHANGE, N_AGE, ORDER).astype(np.float32)


def hold() -> F32:
    """The newest report, as without a prediction."""
    return smoothing(1.0, 0.0)


def smoothing(newest: float, keep: float) -> F32:
    """Exponential smoothing towards the mean: the same weights at any age and speed, newest x keep^i."""
    return np.broadcast_to(newest * keep ** np.arange(ORDER), (N_CHANGE, N_AGE, ORDER)).astype(np.float32)


# -- from theory --------------------------------------------------------------------------------------------------


def bessel_j0(x: F64) -> F64:
    """J0, as the mean of cos(x sin t) over half a turn; to 1e-9 below x = 100."""
    turn = (np.arange(256) + 0.5) * np.pi / 256
    return np.asarray(np.cos(np.multiply.outer(x, np.sin(turn))).mean(axis=-1))


def clarke(order: int, noise: float) -> F32:
    """Wiener's predictor of a channel with the correlation J0^2 and white noise, a share of the reports' variance.

    The change tells the Doppler shift in turns per report period: 1 - (1 - noise) J0(2 pi x)^2, on its way to J0's first zero.
    """
    turns = np.linspace(0.0, 2.404826 / (2.0 * np.pi), 400)
    age, change = model_grid().T
    x = np.interp(change, 1.0 - (1.0 - noise) * bessel_j0(2.0 * np.pi * turns) ** 2, turns)
    lags = np.arange(order)
    apart = np.abs(lags[:, None] - lags)
    covariance = (1.0 - noise) * bessel_j0(2.0 * np.pi * x[:, None, None] * apart) ** 2 + noise * np.eye(
        order
    )
    ahead = (1.0 - noise) * bessel_j0(2.0 * np.pi * x[:, None] * (age[:, None] + lags)) ** 2
    weights = np.zeros((len(x), ORDER))
    weights[:, :order] = np.linalg.solve(covariance, ahead[..., None])[..., 0]
    return _table(weights)


# -- learned ------------------------------------------------------------------------------------------------------


def basis(age: F64, change: F64) -> F64:
    """The functions that learned weights are sums of, [n, N_BASIS]."""
    powers = age[:, None] ** np.arange(AGE_POWERS)
    inside = change.clip(0.0, MOST_CHANGE)[:, None]
    pieces = np.hstack((np.ones_like(inside), inside, np.maximum(inside - np.array(KNOTS), 0.0)))
    return np.asarray((powers[:, :, None] * pieces[:, None, :]).reshape(len(age), N_BASIS))


def learned(coefficients: F64) -> F32:
    """The table of coefficients [N_BASIS, ORDER]."""
    return _table(basis(*model_grid().T) @ coefficients)


def onnx_file(coefficients: F64) -> bytes:
    """The same as an ONNX file with one input [n, 2], age and change, and one output [n, ORDER]."""
    from onnx import TensorProto, helper, numpy_helper

    n_piece = 2 + len(KNOTS)
    to_change = np.vstack((np.zeros(n_piece), (0.0, *np.ones(n_piece - 1))))
    each_power = np.kron(np.eye(AGE_POWERS), np.ones(n_piece))  # repeats a column for each piece
    each_piece = np.kron(np.ones(AGE_POWERS), np.eye(n_piece))  # repeats all columns for each power
    constants = {
        "to_age": np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]),
        "to_age_again": np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]),
        "one": np.array([1.0, 0.0, 0.0]),
        "zero": np.array(0.0),
        "most": np.array([1e9, MOST_CHANGE]),
        "to_change": to_change,
        "knots": np.array([1.0, 0.0, *(-knot for knot in KNOTS)]),
        "each_power": each_power,
        "each_piece": each_piece,
        "coefficients": coefficients,
    }
    nodes = [
        helper.make_node("Max", ["state", "zero"], ["raised"]),
        helper.make_node("Min", ["raised", "most"], ["bounded"]),
        helper.make_node("MatMul", ["bounded", "to_age"], ["age"]),  # 0, a, 0
        helper.make_node("MatMul", ["bounded", "to_age_again"], ["last_age"]),  # 0, 0, a
        helper.make_node("Mul", ["last_age", "last_age"], ["square"]),  # 0, 0, a^2
        helper.make_node("Add", ["age", "one"], ["line"]),  # 1, a, 0
        helper.make_node("Add", ["line", "square"], ["powers"]),
        helper.make_node("Gemm", ["bounded", "to_change", "knots"], ["bent"]),
        helper.make_node("Relu", ["bent"], ["pieces"]),
        helper.make_node("MatMul", ["powers", "each_power"], ["wide_powers"]),
        helper.make_node("MatMul", ["pieces", "each_piece"], ["wide_pieces"]),
        helper.make_node("Mul", ["wide_powers", "wide_pieces"], ["functions"]),
        helper.make_node("MatMul", ["functions", "coefficients"], ["weights"]),
    ]
    graph = helper.make_graph(
        nodes,
        "channel",
        [helper.make_tensor_value_info("state", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("weights", TensorProto.FLOAT, [None, ORDER])],
        [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())
