"""What the verbs of `ranloop model` do."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np

from ranloop.errors import ModelError, RanloopError
from ranloop.foreign import one_line
from ranloop.inference import Card, Provider, load_trust, read_package
from ranloop.inference.card import Feature, card_bytes
from ranloop.inference.export import export_file
from ranloop.inference.golden import SAME, difference
from ranloop.inference.onnx_file import operators, refused
from ranloop.inference.package import MAX_BYTES, package_files, rows_at_a_time
from ranloop.inference.sbom import sbom as bill_of
from ranloop.inference.session import SessionPredictor, open_session
from ranloop.inference.signature import PASSWORD, SIGNATURE_FILE, key_id, make_key, read_private_key, signed
from ranloop.inference.trust import version_of
from ranloop.wire.messages import F32

__all__ = ("check_models", "export_model", "new_key", "show_model", "sign_model", "verify_model")


def export_model(file: Path, facts: Path, folder: Path, *, trained_on: Path | None, json_output: bool) -> int:
    """Make a package of an ONNX file; see `export_file`."""
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise ModelError(f"{file} cannot be read: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise ModelError(f"{file} is larger than {MAX_BYTES >> 20} MiB")
    rows = None if trained_on is None else _rows(trained_on)
    card = export_file(content, facts, folder, trained_on=rows)
    _print(
        {"name": card.name, "version": card.version, "folder": str(folder), "sha256": card.sha256},
        f"{folder} holds {card.name} {card.version}; next: ranloop model check {folder}",
        json_output=json_output,
    )
    return 0


def _rows(path: Path) -> F32:
    """The inputs in a .npy file, or in a .csv file with a line of names."""
    try:
        if path.suffix == ".csv":
            read = np.genfromtxt(path, delimiter=",", skip_header=1, ndmin=2, dtype=np.float32)
        else:
            read = np.load(path, allow_pickle=False)
        return np.ascontiguousarray(read, np.float32)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or one_line(str(error))}") from error
    except (ValueError, TypeError) as error:
        raise ModelError(f"{path} holds no table of numbers: {one_line(str(error), 200)}") from error


def check_models(folders: Sequence[Path], providers: Sequence[str], *, json_output: bool) -> int:
    """Read and try out packages; the first that cannot be used is raised as one line. 1 if a provider gives other answers."""
    if unknown := [name for name in providers if name not in get_args(Provider)]:
        raise RanloopError(f"--provider {unknown[0]!r}: want one of {', '.join(get_args(Provider))}")
    found: list[dict[str, Any]] = []
    for folder in folders:
        card, content = read_package(folder)
        batch = rows_at_a_time(card, content, folder / card.file)
        off: dict[str, float | None] = {}
        for name in providers:
            session = open_session(content, str(folder / card.file), cast(Provider, name))
            predictor = SessionPredictor(session, str(folder / card.file), output=card.output, batch=batch)
            off[name] = difference(card, predictor)
        found.append(
            _about(folder, card, content) | {"differences": off, "remarks": _remarks(folder, card, content)}
        )
    lines = []
    for facts in found:
        lines.append(
            f"{facts['name']} {facts['version']} runs, and its card and graph agree: {len(facts['inputs'])} inputs, "
            f"{len(facts['outputs'])} outputs, {facts['bytes']:,} bytes"
        )
        lines += [
            f"  on {name}: golden answers off by {by:.1e}, {_word(by)}"
            for name, by in facts["differences"].items()
            if by is not None
        ]
        lines += [f"  {remark}" for remark in facts["remarks"]]
    _print(found, "\n".join(lines), json_output=json_output)
    return int(any((by or 0.0) > SAME for facts in found for by in facts["differences"].values()))


def _word(off: float) -> str:
    return f"the same (at most {SAME:g})" if off <= SAME else f"OTHER ANSWERS (more than {SAME:g})"


def _remarks(folder: Path, card: Card, content: bytes) -> list[str]:
    """What a card lacks to be trusted, and what `--trust` would refuse."""
    blind = [feature.label for feature in card.features if feature.seen is None]
    said = {
        f"no range seen in training for {_some(blind)}: values outside it are not flagged, and drift is not seen": blind,
        "no licence of the model: set licence": not card.licence,
        "no licence of the data it learned from: set data_licence": not card.data_licence,
        "no word of how it was trained: scenarios, seeds": not card.training,
        "no golden inputs: nobody can tell whether another machine gives the same answers": card.golden
        is None,
        "no metrics, such as its error beside that of the best rule": not card.metrics,
        f"not signed: ranloop model sign {folder} --key KEY.pem": not (folder / SIGNATURE_FILE).exists(),
    }
    remarks = [text for text, lacks in said.items() if lacks]
    if why := refused(content, allowed_only=True):
        remarks.append(f"refused under --trust: {why}")
    try:
        version_of(card.version, folder)
    except ModelError as error:
        remarks.append(f"refused under --trust: {error}")
    return remarks


def _some(labels: Sequence[str]) -> str:
    return ", ".join(labels[:4]) + (f" and {len(labels) - 4} more" if len(labels) > 4 else "")


def new_key(file: Path, *, json_output: bool) -> int:
    """Make a pair of keys."""
    if file.name.endswith(".pub.pem") or file.suffix != ".pem":
        raise RanloopError(f"{file}: the private key's file is called NAME.pem, such as anna.pem")
    public = make_key(file)
    _print(
        {"private": str(file), "public": str(public), "id": key_id(read_private_key(file).public_key())},
        f"{file} is your private key, not encrypted and readable by you alone; "
        f"openssl pkcs8 -topk8 encrypts it, and {PASSWORD} opens it. {public} goes to those who trust you.",
        json_output=json_output,
    )
    return 0


def sign_model(folder: Path, key: Path, *, json_output: bool) -> int:
    """Sign a package: what would be refused under `--trust` is not signed."""
    of_card = card_bytes(folder)
    card, content = read_package(folder)
    version_of(card.version, folder)
    if why := refused(content, allowed_only=True):
        raise ModelError(f"{folder / card.file} would be refused under --trust: {why}")
    private = read_private_key(key)
    files = package_files(folder, of_card, card, content)
    path = folder / SIGNATURE_FILE
    try:
        path.write_text(signed(card.name, card.version, files, private), "utf-8")
    except OSError as error:
        raise ModelError(f"{path} cannot be written: {error.strerror}") from error
    by = key_id(private.public_key())
    _print(
        {"name": card.name, "version": card.version, "files": sorted(files), "key": by},
        f"{card.name} {card.version} is signed by {by[:12]}: {', '.join(sorted(files))}",
        json_output=json_output,
    )
    return 0


def verify_model(folder: Path, trust: Path | None, *, json_output: bool) -> int:
    """1 if the package would not run under `--trust`."""
    if trust is None:
        raise RanloopError("give --trust DIR, a folder with the public keys that you trust, NAME.pem")
    keys = load_trust(trust)
    try:
        of_card = card_bytes(folder)
        card, content = read_package(folder, trust=keys)
        files = sorted(package_files(folder, of_card, card, content))
    except ModelError as error:
        _print({"admitted": False, "reason": str(error)}, f"refused: {error}", json_output=json_output)
        return 1
    _print(
        {
            "admitted": True,
            "name": card.name,
            "version": card.version,
            "files": files,
            "trusted": keys.shown(),
        },
        f"{card.name} {card.version} may run: {', '.join(files)} signed, unaltered, and of operators that are allowed. "
        f"Trusted: {', '.join(keys.shown())}",
        json_output=json_output,
    )
    return 0


def show_model(folder: Path, *, sbom: bool, json_output: bool) -> int:
    """Print the card, or a bill of materials."""
    of_card = card_bytes(folder)
    card, content = read_package(folder)
    files = package_files(folder, of_card, card, content)
    if sbom:
        bill = bill_of(card, files, operators(content))
        print(json.dumps(bill, indent=2))
        return 0
    facts = _about(folder, card, content) | {"files": sorted(files)}
    _print(facts, "\n".join(_shown(facts)), json_output=json_output)
    return 0


def _about(folder: Path, card: Card, content: bytes) -> dict[str, Any]:
    return {
        "name": card.name,
        "version": card.version,
        "summary": card.summary,
        "folder": str(folder),
        "file": card.file,
        "bytes": len(content),
        "sha256": card.sha256,
        "signed": (folder / SIGNATURE_FILE).exists(),
        "licence": card.licence,
        "data_licence": card.data_licence,
        "period_ms": card.period_ms,
        "inputs": [_input(feature) for feature in card.features],
        "sensitivity_inside": card.sensitivity_inside,
        "outputs": [
            {"name": each.name, "unit": each.unit, "low": _bound(each.low), "high": _bound(each.high)}
            for each in card.outputs
        ],
        "operators": dict(sorted(operators(content).items())),
        "training": card.training,
        "metrics": card.metrics,
    }


def _input(feature: Feature) -> dict[str, Any]:
    seen = feature.seen
    return {
        "label": feature.label,
        "unit": feature.unit,
        "sensitivity": feature.sensitivity,
        "seen": None if seen is None else [seen.low, seen.high],
    }


def _bound(value: float) -> float | None:
    """JSON has no infinity."""
    return value if math.isfinite(value) else None


def _shown(facts: Mapping[str, Any]) -> list[str]:
    lines = [
        f"{facts['name']} {facts['version']}: {facts['summary']}",
        f"{facts['file']}: {facts['bytes']:,} bytes, sha256 {facts['sha256'][:12]}…, "
        + ("with a signature (ranloop model verify checks it)" if facts["signed"] else "not signed"),
        f"files: {', '.join(facts['files'])}",
        f"licence: {facts['licence'] or 'not said'}; of the data: {facts['data_licence'] or 'not said'}",
        f"inputs, of reports of {facts['period_ms']} ms, with the range seen in training:",
    ]
    for each in facts["inputs"]:
        seen = "not said" if each["seen"] is None else f"{each['seen'][0]:g} to {each['seen'][1]:g}"
        kind = f", {each['sensitivity']}" if each["sensitivity"] else ""
        lines.append(f"  {each['label']} in {each['unit']}: {seen}{kind}")
    if facts["sensitivity_inside"]:
        lines.append(f"a split sends what its maker calls {facts['sensitivity_inside']}")
    lines.append("outputs, with the range they are cut to:")
    for each in facts["outputs"]:
        low, high = ("none" if each[end] is None else f"{each[end]:g}" for end in ("low", "high"))
        lines.append(f"  {each['name']} in {each['unit']}: {low} to {high}")
    lines.append(f"operators: {', '.join(f'{n} × {name}' for name, n in facts['operators'].items())}")
    for part in ("training", "metrics"):
        lines += [f"{part}:", *(f"  {name}: {value}" for name, value in facts[part].items())]
    return lines


def _print(facts: Any, text: str, *, json_output: bool) -> None:
    """Foreign text is made safe to show, line by line."""
    lines = "\n".join(one_line(line, 2000) for line in text.splitlines())
    print(json.dumps(facts, indent=2, default=str) if json_output else lines)
