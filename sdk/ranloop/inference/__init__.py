"""Small ONNX models on the node: cards, features bound to measurement names, sessions, export."""

from ranloop.inference.card import Card, Feature, Output, load_card
from ranloop.inference.features import FeatureBinder
from ranloop.inference.model import Model, load_model

__all__ = ("Card", "Feature", "FeatureBinder", "Model", "Output", "load_card", "load_model")
