"""The ONNX operators that a package may use where only trusted models run (`--trust`).

The list has the operators of ONNX 1.23 that compute numbers from numbers in a number of steps that the shapes give. Off the list are
Loop, Scan and SequenceMap, which run a graph over and over; operators that draw random numbers, because a run is to be the same each
time; strings, sequences, optionals and images; training; and every domain but ONNX's own two.
"""

from __future__ import annotations

__all__ = ("ALLOWED", "is_allowed")

_ONNX = """
Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool BatchNormalization BitShift BitwiseAnd BitwiseNot
BitwiseOr BitwiseXor Cast CastLike Ceil Celu Clip Compress Concat Constant ConstantOfShape Conv ConvInteger ConvTranspose Cos Cosh
CumSum DFT DepthToSpace DequantizeLinear Det Div Dropout DynamicQuantizeLinear Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor
GRU Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual GroupNormalization
HammingWindow HannWindow BlackmanWindow HardSigmoid HardSwish Hardmax Identity If InstanceNormalization IsInf IsNaN LRN LSTM
LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization LpPool MatMul MatMulInteger Max MaxPool Mean
MeanVarianceNormalization MelWeightMatrix Min Mish Mod Mul Neg NonZero Not OneHot Or PRelu Pad Pow QLinearConv QLinearMatMul
QuantizeLinear RMSNormalization RNN Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin
ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize RotaryEmbedding Round STFT ScatterElements ScatterND Selu Shape Shrink
Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Swish Tan Tanh ThresholdedRelu Tile
TopK Transpose Trilu Unsqueeze Where Xor
"""
_ML = """
ArrayFeatureExtractor Binarizer FeatureVectorizer Imputer LinearClassifier LinearRegressor Normalizer OneHotEncoder SVMClassifier
SVMRegressor Scaler TreeEnsemble TreeEnsembleClassifier TreeEnsembleRegressor
"""
ALLOWED: dict[str, frozenset[str]] = {"": frozenset(_ONNX.split()), "ai.onnx.ml": frozenset(_ML.split())}


def is_allowed(domain: str, kind: str) -> bool:
    """Whether an operator of a domain is on the list; "ai.onnx" is another name of the domain ""."""
    return kind in ALLOWED.get("" if domain == "ai.onnx" else domain, frozenset())
