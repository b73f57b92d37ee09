"""A model package as a CycloneDX 1.6 bill of materials: the model with its card, its files by their hashes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ranloop.inference.card import Card

__all__ = ("sbom",)


def sbom(card: Card, files: Mapping[str, bytes], operators: Mapping[str, int]) -> dict[str, Any]:
    """The document, as plain JSON; the same package gives the same document.

    Args:
        card: The card.
        files: Name -> content of the card and of the ONNX file.
        operators: Operator -> number in the graph.
    """
    model: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": f"{card.name}@{card.version}",
        "name": card.name,
        "version": card.version,
        "description": card.summary,
        "hashes": [{"alg": "SHA-256", "content": card.sha256}],
        "modelCard": {
            "modelParameters": {
                "datasets": [
                    {
                        "type": "dataset",
                        "name": "training",
                        "contents": {
                            "properties": _properties(
                                {"licence": card.data_licence or "not said", **card.training}
                            )
                        },
                    }
                ],
                "inputs": [
                    {"format": f"{feature.label} in {feature.unit}, float32"} for feature in card.features
                ],
                "outputs": [
                    {"format": f"{output.name} in {output.unit}, float32"} for output in card.outputs
                ],
            },
            "quantitativeAnalysis": {
                "performanceMetrics": [
                    {"type": name, "value": _text(value)} for name, value in card.metrics.items()
                ]
            },
        },
        "components": [
            {
                "type": "file",
                "name": name,
                "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(content).hexdigest()}],
            }
            for name, content in files.items()
        ],
        "properties": _properties(
            {"ranloop:period_ms": card.period_ms}
            | {f"ranloop:operator:{name}": n for name, n in sorted(operators.items())}
        ),
    }
    if card.licence:
        model["licenses"] = [{"expression": card.licence}]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": model},
    }


def _properties(facts: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"name": name, "value": _text(value)} for name, value in facts.items()]


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
