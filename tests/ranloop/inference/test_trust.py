"""With --trust, a package runs if a key of the folder has signed these very files; else one line says why not."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import onnx
import pytest
from onnx import helper

from ranloop.embedded import Choices, run_embedded
from ranloop.errors import ModelError, NodeError
from ranloop.inference import Trust, load_model, load_trust, read_package
from ranloop.inference.card import CARD_FILE
from ranloop.inference.operators import ALLOWED
from ranloop.inference.package import CALIBRATION_FILE, package_files
from ranloop.inference.signature import (
    SIGNATURE_FILE,
    make_key,
    pre_authentication,
    read_private_key,
    signed,
    statement_of,
)
from ranloop.node import open_world
from ranloop.testing.worlds import ToyWorld
from ranloop.xapp.loader import load_package
from tests.model_packages import FEATURES, write_model

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Anna's private key; her public one stands beside it, alone in the folder `trust`."""
    folder = tmp_path_factory.mktemp("keys")
    public = make_key(folder / "anna.pem")
    (folder / "trust").mkdir()
    public.rename(folder / "trust" / "anna.pem")
    return folder / "anna.pem"


@pytest.fixture(scope="module")
def trust(key: Path) -> Trust:
    return load_trust(key.parent / "trust")


def sign(folder: Path, key: Path) -> Path:
    card, content = read_package(folder)
    files = package_files(folder, (folder / CARD_FILE).read_bytes(), card, content)
    text = signed(card.name, card.version, files, read_private_key(key))
    (folder / SIGNATURE_FILE).write_text(text)
    return folder


@pytest.fixture
def package(tmp_path: Path, key: Path) -> Path:
    """A package that Anna has signed, version 1."""
    return sign(write_model(tmp_path / "sum"), key)


def set_version(folder: Path, version: str) -> None:
    card = folder / CARD_FILE
    card.write_text(card.read_text().replace('version = "1"', f'version = "{version}"'))


def put(folder: Path, content: bytes) -> None:
    """Another ONNX file, and the card's hash after it."""
    card, before = folder / CARD_FILE, (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(content)
    card.write_text(card.read_text().replace(sha256(before).hexdigest(), sha256(content).hexdigest()))


# What runs


def test_a_package_that_a_trusted_key_has_signed_runs(package: Path, trust: Trust) -> None:
    card, _ = read_package(package, trust=trust)
    assert statement_of(package / SIGNATURE_FILE, trust.keys)[1] == "anna"
    assert load_model(package, trust=trust).card == card


def test_another_key_beside_the_signers_changes_nothing(package: Path, trust: Trust, tmp_path: Path) -> None:
    other = load_trust_of(make_key(tmp_path / "berta.pem"))
    read_package(package, trust=Trust(keys={**other.keys, **trust.keys}))


def load_trust_of(public: Path) -> Trust:
    folder = public.with_suffix("")
    folder.mkdir()
    public.rename(folder / public.name)
    return load_trust(folder)


def test_files_that_nothing_reads_may_change(package: Path, trust: Trust) -> None:
    (package / "train.py").write_text("print('how it was made')")
    read_package(package, trust=trust)


def test_the_bytes_that_are_signed_are_those_of_the_dsse_protocol() -> None:
    """The example in protocol.md of DSSE 1.0: 29 and 11 are the lengths in bytes."""
    said = pre_authentication("http://example.com/HelloWorld", b"hello world")
    assert said == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_openssl_agrees_with_the_signature(package: Path, key: Path, tmp_path: Path) -> None:
    envelope = json.loads((package / SIGNATURE_FILE).read_text())
    payload = base64.b64decode(envelope["payload"])
    (tmp_path / "said").write_bytes(pre_authentication(envelope["payloadType"], payload))
    (tmp_path / "sig").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    command = (
        f"openssl pkeyutl -verify -rawin -pubin -inkey {key.parent}/trust/anna.pem -in said -sigfile sig"
    )
    done = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Signature Verified Successfully" in done.stdout, done.stderr


def test_a_key_that_openssl_made_signs(package: Path, tmp_path: Path) -> None:
    for command in (
        "openssl genpkey -algorithm ed25519 -out own.pem",
        "openssl pkey -in own.pem -pubout -out own.pub.pem",
    ):
        subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    trust = load_trust_of(tmp_path / "own.pub.pem")
    read_package(sign(package, tmp_path / "own.pem"), trust=trust)
    assert list(trust.keys) == ["own"]


# What does not


def drop_signature(folder: Path) -> None:
    (folder / SIGNATURE_FILE).unlink()


def change_a_range(folder: Path) -> None:
    card = folder / CARD_FILE
    card.write_text(card.read_text().replace('name = "sum"', 'name = "sum"\nlicence = "MIT"', 1))


def change_the_weights(folder: Path) -> None:
    """As somebody who also makes the card's hash fit, which is in the same folder."""
    made = onnx.load(folder / "model.onnx")
    made.doc_string = "altered"
    put(folder, made.SerializeToString())


def claim_other_files(folder: Path) -> None:
    """The statement altered, its signature as it was."""
    envelope = json.loads((folder / SIGNATURE_FILE).read_text())
    statement = base64.b64decode(envelope["payload"]).replace(b"sum", b"own")
    envelope["payload"] = base64.b64encode(statement).decode()
    (folder / SIGNATURE_FILE).write_text(json.dumps(envelope))


def break_off(folder: Path) -> None:
    text = (folder / SIGNATURE_FILE).read_text()
    (folder / SIGNATURE_FILE).write_text(text[: len(text) // 2])


def no_base64(folder: Path) -> None:
    envelope = json.loads((folder / SIGNATURE_FILE).read_text())
    (folder / SIGNATURE_FILE).write_text(json.dumps(envelope | {"payload": "€" * 40}))


def of_another_kind(folder: Path) -> None:
    envelope = json.loads((folder / SIGNATURE_FILE).read_text())
    (folder / SIGNATURE_FILE).write_text(json.dumps(envelope | {"payloadType": "text/plain"}))


def too_large(folder: Path) -> None:
    (folder / SIGNATURE_FILE).write_bytes(b" " * (1 << 17))


@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        (drop_signature, r"sum is not signed: it has no signature\.json; ranloop model sign .*sum --key KEY\.pem$"),
        (change_a_range, r"card\.toml is not the file that anna has signed; restore it"),
        (change_the_weights, r"card\.toml is not the file that anna has signed"),
        (claim_other_files, r"no trusted key has signed it \(signed by \w{12}; trusted: anna\), or it was altered"),
        (break_off, r"signature\.json is no signature: "),
        (no_base64, r"signature\.json is no signature: "),
        (of_another_kind, r"signature\.json is no signature: payloadType"),
        (too_large, r"signature\.json is larger than 65536 bytes"),
    ],
)  # fmt: skip
def test_an_altered_package_is_refused(
    package: Path, trust: Trust, attack: Callable[[Path], None], reason: str
) -> None:
    attack(package)
    with pytest.raises(ModelError, match=reason) as caught:
        load_model(package, trust=trust)
    assert "\n" not in str(caught.value)


def test_the_signature_of_another_model_does_not_pass(
    tmp_path: Path, package: Path, trust: Trust, key: Path
) -> None:
    other = write_model(tmp_path / "other")
    (other / SIGNATURE_FILE).write_bytes((package / SIGNATURE_FILE).read_bytes())
    with pytest.raises(ModelError, match=r"other/card\.toml is not the file that anna has signed"):
        read_package(other, trust=trust)


def test_a_stranger_who_takes_annas_key_id_is_refused(package: Path, trust: Trust, tmp_path: Path) -> None:
    """The id in the file is a hint that nobody has signed."""
    annas = json.loads((package / SIGNATURE_FILE).read_text())["signatures"][0]["keyid"]
    make_key(tmp_path / "stranger.pem")
    sign(package, tmp_path / "stranger.pem")
    envelope = json.loads((package / SIGNATURE_FILE).read_text())
    envelope["signatures"][0]["keyid"] = annas
    (package / SIGNATURE_FILE).write_text(json.dumps(envelope))
    with pytest.raises(ModelError, match="no trusted key has signed it"):
        read_package(package, trust=trust)


def test_the_calibration_of_a_cascade_is_signed_with_its_model(
    package: Path, trust: Trust, key: Path
) -> None:
    """It says which rows go up, and with them which data leave the node."""
    calibration = package / CALIBRATION_FILE
    calibration.write_text("{}")
    with pytest.raises(ModelError, match=r"calibration\.json is not the file that anna has signed"):
        read_package(package, trust=trust)  # one that was not there when Anna signed
    read_package(sign(package, key), trust=trust)
    calibration.write_text("{ }")
    with pytest.raises(ModelError, match=r"calibration\.json is not the file that anna has signed"):
        read_package(package, trust=trust)


@pytest.mark.parametrize(
    ("version", "running", "least", "reason"),
    [
        ("1.2", "", "", ""),
        ("1.10", "1.9", "", ""),
        ("1.2", "1.2.0", "1.2", ""),  # the same, and the same that runs
        ("1.2", "1.2.1", "", r"version 1\.2 of sum is older than 1\.2\.1, which runs"),
        ("1.9", "", "1.10", r"version 1\.9 of sum is older than 1\.10, of least\.toml"),
        ("1.2-beta", "", "", r"version '1\.2-beta' has no order; want up to four numbers"),
    ],
)
def test_an_older_package_than_what_runs_is_refused(
    package: Path, trust: Trust, key: Path, version: str, running: str, least: str, reason: str
) -> None:
    set_version(package, version)
    sign(package, key)
    pinned = Trust(keys=trust.keys, least={"sum": least} if least else {})
    if not reason:
        read_package(package, trust=pinned, running=running)
        return
    with pytest.raises(ModelError, match=reason):
        read_package(package, trust=pinned, running=running)


# Operators


def with_operator(folder: Path, kind: str, domain: str = "") -> Path:
    """The package with one more node, whose output nothing reads."""
    before = (folder / "model.onnx").read_bytes()
    made = onnx.load_from_string(before)
    made.graph.node.append(helper.make_node(kind, [made.graph.input[0].name], ["unread"], domain=domain))
    content = made.SerializeToString()
    put(folder, content)
    return folder


@pytest.mark.parametrize(
    ("kind", "domain", "shown"),
    [
        ("Scan", "", "Scan"),
        ("SequenceMap", "", "SequenceMap"),
        ("RandomNormalLike", "", "RandomNormalLike"),
        ("Gelu", "com.microsoft", "com.microsoft:Gelu"),
        ("Add", "own", "own:Add"),
    ],
)
def test_an_operator_that_is_not_on_the_list_is_refused_though_signed(
    package: Path, trust: Trust, key: Path, kind: str, domain: str, shown: str
) -> None:
    sign(with_operator(package, kind, domain), key)
    read_package(package)  # without --trust onnxruntime is the judge
    with pytest.raises(ModelError, match=rf"has the operator {shown}, which is not on the list"):
        read_package(package, trust=trust)


def test_a_second_name_of_an_operator_does_not_hide_the_first(package: Path, trust: Trust, key: Path) -> None:
    """A protobuf field may be there twice, and readers take the last: NodeProto.op_type = 4, after the end of the first node."""
    content = (package / "model.onnx").read_bytes()
    made = onnx.load_from_string(content)
    node = made.graph.node[0].SerializeToString()
    twice = b"\x22\x04Scan" + node
    graph = made.graph
    rest = [each.SerializeToString() for each in graph.node[1:]]
    del graph.node[:]
    body = b"".join(b"\x0a" + varint(len(one)) + one for one in (twice, *rest)) + graph.SerializeToString()
    made.ClearField("graph")
    altered = made.SerializeToString() + b"\x3a" + varint(len(body)) + body
    assert onnx.load_from_string(altered).graph.node[0].op_type != "Scan"
    put(package, altered)
    with pytest.raises(ModelError, match=r"has the operator (ai\.onnx\.ml:)?Scan"):
        read_package(sign(package, key), trust=trust)


def varint(n: int) -> bytes:
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes([*out, n])


def test_functions_which_hide_operators_are_refused(package: Path, trust: Trust, key: Path) -> None:
    before = (package / "model.onnx").read_bytes()
    made = onnx.load_from_string(before)
    node = helper.make_node("Identity", ["x"], ["y"])
    made.functions.append(
        helper.make_function("own", "Same", ["x"], ["y"], [node], [helper.make_opsetid("", 17)])
    )
    content = made.SerializeToString()
    put(package, content)
    with pytest.raises(ModelError, match="it has functions of its own, which hide their operators"):
        read_package(sign(package, key), trust=trust)


def test_every_operator_on_the_list_is_one_of_onnx() -> None:
    known = {(schema.domain, schema.name) for schema in onnx.defs.get_all_schemas()}
    listed = {(domain, kind) for domain, kinds in ALLOWED.items() for kind in kinds}
    assert listed <= known


# Folders of keys


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "has no public key; put the signers' NAME.pem there"),
        ({"x.pem": "private"}, r"x\.pem is a private key; only public ones belong there"),
        (
            {"x.pem": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"},
            "is no public key in PEM",
        ),
        (
            {"anna.pem": "public", "anna.pub.pem": "public"},
            r"has two keys of the name anna: anna\.pem and anna\.pub\.pem; rename one",
        ),
        ({"anna.pem": "public", "least.toml": 'sum = "new"'}, r"least\.toml: version 'new' has no order"),
        ({"anna.pem": "public", "least.toml": "sum = 1"}, r"least\.toml: sum: .*string"),
    ],
)
def test_a_folder_that_is_not_one_of_keys_is_one_line(
    tmp_path: Path, key: Path, files: dict[str, str], reason: str
) -> None:
    texts = {"private": key.read_text(), "public": (key.parent / "trust/anna.pem").read_text()}
    folder = tmp_path / "keys"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(texts.get(text, text))
    with pytest.raises(ModelError, match=reason) as caught:
        load_trust(folder)
    assert "\n" not in str(caught.value)


def test_an_rsa_key_is_said_to_be_of_another_kind(tmp_path: Path) -> None:
    command = "openssl genpkey -algorithm rsa -pkeyopt rsa_keygen_bits:2048 -out rsa.pem"
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    with pytest.raises(ModelError, match="is a key of another kind; want Ed25519"):
        read_private_key(tmp_path / "rsa.pem")


def test_an_encrypted_key_opens_with_its_password(
    tmp_path: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = f"openssl pkcs8 -topk8 -in {key} -out locked.pem -passout pass:secret"
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    with pytest.raises(ModelError, match="the key is encrypted: set RANLOOP_KEY_PASSWORD"):
        read_private_key(tmp_path / "locked.pem")
    monkeypatch.setenv("RANLOOP_KEY_PASSWORD", "secret")
    read_private_key(tmp_path / "locked.pem")
    monkeypatch.setenv("RANLOOP_KEY_PASSWORD", "wrong")
    with pytest.raises(ModelError, match="is no private key that opens"):
        read_private_key(tmp_path / "locked.pem")


def test_a_key_is_not_written_over_and_is_its_owners_alone(tmp_path: Path, key: Path) -> None:
    assert key.stat().st_mode & 0o077 == 0
    with pytest.raises(ModelError, match="is there already; give the key another name"):
        make_key(key)


# Where it is asked


XAPP = """
from ranloop import Report, XApp
app = XApp()
@app.on_report("DRB.UEThpDl")
def look(report: Report) -> None:
    app.model("sum")(report)
"""
MANIFEST = """
name = "looker"
version = "1"
summary = "Looks."
[[streams]]
level = "ue"
every_ms = 100
measurements = ["DRB.UEThpDl"]
[models]
sum = "../sum"
"""


def test_a_run_with_trust_refuses_an_xapps_model_that_is_not_signed(
    tmp_path: Path, trust: Trust, key: Path
) -> None:
    package = sign(write_model(tmp_path / "sum", features=FEATURES[:1]), key)
    xapp = package.parent / "looker"
    xapp.mkdir()
    (xapp / "app.py").write_text(XAPP)
    (xapp / "manifest.toml").write_text(MANIFEST)
    run_embedded(ToyWorld(), [load_package(xapp)], Choices(trust=trust), until_ns=200_000_000)
    drop_signature(package)
    with pytest.raises(ModelError, match="sum is not signed"):
        run_embedded(ToyWorld(), [load_package(xapp)], Choices(trust=trust), until_ns=200_000_000)


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("slot_metric", lambda folder: {"scheduler.models": [str(folder)]}),
        ("channel", lambda folder: {"scheduler.channel_model": str(folder)}),
    ],
)
def test_a_simulated_node_with_trust_refuses_a_model_of_its_slots_that_is_not_signed(
    tmp_path: Path, trust: Trust, key: Path, name: str, overrides: Callable[[Path], dict[str, object]]
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    for file in ("card.toml", "model.onnx"):
        (folder / file).write_bytes((ROOT / "models" / name / file).read_bytes())
    with pytest.raises(ModelError, match=f"{name} is not signed"):
        open_world("sim:one-cell", overrides=overrides(folder), trust=trust)
    sign(folder, key)
    world = open_world("sim:one-cell", overrides=overrides(folder), trust=trust)
    assert ("SetSchedulerModel" in world.catalogues[0].actions) == (name == "slot_metric")
    world.close()


def test_a_kind_of_node_that_knows_no_trust_is_not_run_under_it(
    monkeypatch: pytest.MonkeyPatch, trust: Trust
) -> None:
    class Point:
        name = "own"

        def load(self) -> object:
            return lambda target, seed, overrides: None

    monkeypatch.setattr("ranloop.node.registry.entry_points", lambda group: [Point()])
    with pytest.raises(NodeError, match="own:x: a node of kind 'own' takes no --trust"):
        open_world("own:x", trust=trust)
