"""Small ONNX models on the node: cards, features bound to measurement names, predictors, packages, export."""

from ranloop.inference.card import Card, Feature, Output, load_card
from ranloop.inference.features import FeatureBinder
from ranloop.inference.model import Model, share_features
from ranloop.inference.package import load_model, read_package
from ranloop.inference.predictor import Late, Predictor
from ranloop.inference.session import Provider
from ranloop.inference.trust import Trust, load_trust

__all__ = (
    "Card",
    "Feature",
    "FeatureBinder",
    "Late",
    "Model",
    "Output",
    "Predictor",
    "Provider",
    "Trust",
    "load_card",
    "load_model",
    "load_trust",
    "read_package",
    "share_features",
)
