"""A network in mid-run, copied in memory or kept in a file, from which a run continues with the same bits.

The arrays of `kernels.Network` and the slot number decide the future of a run. `copy_tree` copies such a tree of NamedTuples.
Two places with one array get one array in the copy; numbers and compiled functions are kept.

The file is a zip of uncompressed `.npy` arrays beside `header.json` (scenario, seed, slot, provenance). `read` checks the whole
file, its digest included, before a network is built: that takes a time in proportion to the file's length, while building and
compiling take up to a minute. The network is then built anew from the header's scenario, and `fill` puts the arrays into it
if they have its names, shapes and types. A file needs little more memory than its length. Nothing in the file is executed. The
file names a user's plug-ins with their hashes, and the reader must be given the same ones. The digest shows damage, not ill
will: kernels trust the indices in the arrays, so load only files from yourself or your own machines.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import os
import tokenize
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ran_sim.core.errors import InputError, one_line
from ran_sim.core.files import check_regular
from ran_sim.core.plugins import plugin_identity
from ran_sim.engine.provenance import CODE_KEYS, platform_provenance
from ran_sim.radio.own_propagation import PropagationModel
from ran_sim.radio.propagation import shadow_map_bytes
from ran_sim.scenario import Scenario
from ran_sim.traffic.queues import FIRST_RING, N_PACKET

__all__ = (
    "Header",
    "SavedState",
    "SavedStateError",
    "check_maps",
    "check_plugins",
    "copy_tree",
    "fill",
    "leaves",
    "plugins_of",
    "read",
    "write",
)

HEADER: Final = "header.json"
_KIND_OF_PLUGIN: Final = {
    "settings.rule.plugin": "metric",
    "radio.propagation.path_loss": "path_loss",
    "radio.propagation.los_probability": "los_probability",
    "radio.propagation.shadow_sd_db": "shadow_sd_db",
    "traffic.plugin": "traffic",
    "radio.propagation.own_decorrelation_los_m": "decorrelation_los_m",
    "radio.propagation.own_decorrelation_nlos_m": "decorrelation_nlos_m",
    "radio.propagation.own_decorrelation_o2i_m": "decorrelation_o2i_m",
}
MAX_HEADER_BYTES: Final = 1 << 20
_NPY_PREAMBLE_BYTES: Final = 4096  # more than any preamble of a plain array takes
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the same state gives the same file

Tree = TypeVar("Tree")
NotNegative = Annotated[int, Field(ge=0, lt=2**62)]


class SavedStateError(InputError):
    """A state cannot be saved, or a file holds none: one line with the file and its fault."""


class Leaf(NamedTuple):
    """One field of a tree of NamedTuples."""

    path: str  # e.g. "radio.handover.attempts"
    value: Any  # array, number or compiled function


def leaves(tree: Any, path: str = "") -> Iterator[Leaf]:
    """All fields of a NamedTuple, those of NamedTuples in it included, in order."""
    for name, value in zip(tree._fields, tree, strict=True):
        if hasattr(value, "_fields"):
            yield from leaves(value, f"{path}{name}.")
        else:
            yield Leaf(path + name, value)


def copy_tree(tree: Tree) -> Tree:
    """A copy that shares no array with `tree`. Two places with one array get one array in the copy, too."""
    copy: Tree = _copy(tree, {})
    return copy


def _copy(value: Any, known: dict[tuple[Any, ...], NDArray[Any]]) -> Any:
    if isinstance(value, np.ndarray):
        memory = _memory(value)
        if memory not in known:
            known[memory] = value.copy(order="K")  # a kernel is compiled for the memory order
        return known[memory]
    if hasattr(value, "_fields"):
        return type(value)(*(_copy(field, known) for field in value))
    return value


def _memory(array: NDArray[Any]) -> tuple[Any, ...]:
    """The same for two arrays exactly if they are views of the same numbers; an empty array is its own."""
    if not array.size:
        return (id(array),)
    return array.__array_interface__["data"][0], array.shape, array.strides, array.dtype.str


class Header(BaseModel):
    """The header of a saved state."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["ran_sim state 1"] = "ran_sim state 1"
    scenario: Scenario
    seed: NotNegative
    scheduler: str
    uniform_class_weights: bool = False
    plugins: dict[str, str] = {}  # of the user, see `plugins_of`
    slot: NotNegative
    next_tick: NotNegative
    warmup_slot: NotNegative
    packet_rows: NotNegative  # of `Queues.packet`, whose rings grow
    provenance: dict[str, str | int]
    scalars: dict[str, bool | int | float | str] = {}  # of the network: constants of its scenario and seed
    digest: str = ""  # over all else here and the arrays


def write(path: Path, network: Any, header: Header, ended: NDArray[Any]) -> None:
    """Write `network` and the rows of sessions that ended to `path`, which holds the old or the whole new file at any time.

    Raises:
        SavedStateError: `path` cannot be written.
    """
    arrays, scalars = _parts(network)
    arrays["ended"] = ended
    header = header.model_copy(update={"scalars": scalars})
    header = header.model_copy(update={"digest": _digest(header, arrays)})
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(zipfile.ZipInfo(HEADER, _EPOCH), header.model_dump_json(indent=1))
            for name, array in arrays.items():
                buffer = io.BytesIO()
                np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
                archive.writestr(zipfile.ZipInfo(f"{name}.npy", _EPOCH), buffer.getbuffer())
        os.replace(part, path)
    except OSError as error:
        raise SavedStateError(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        part.unlink(missing_ok=True)


def _parts(network: Any) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Each array once, under the first of its paths; all other values in a form that JSON can hold."""
    arrays: dict[str, NDArray[Any]] = {}
    scalars: dict[str, Any] = {}
    seen = set()
    for path, value in leaves(network):
        if isinstance(value, np.ndarray):
            if (memory := _memory(value)) not in seen:
                seen.add(memory)
                arrays[path] = value
        elif isinstance(value, (bool, int, float, str, np.generic)):
            scalars[path] = value.item() if isinstance(value, np.generic) else value
        else:
            scalars[path] = _function_name(value)
    return arrays, scalars


def _function_name(function: Any) -> str:
    """The name of a function: its place in this package, or the identity of a user's function."""
    python_function = getattr(function, "__wrapped__", function)
    place = f"{python_function.__module__}.{python_function.__qualname__}"
    return place if place.startswith("ran_sim.") else plugin_identity(function)


def plugins_of(network: Any) -> Mapping[str, str]:
    """The identity of each plug-in of the user in a network, by what it is in the arguments of `Engine`.

    The identity of a function is its name and hash, that of a distance of a `PropagationModel` is the number.
    """
    own: dict[str, str] = {}
    for path, value in leaves(network):
        if path in _KIND_OF_PLUGIN:
            identity = _function_name(value) if callable(value) else str(value or "")
            if identity and not identity.startswith("ran_sim."):
                own[_KIND_OF_PLUGIN[path]] = identity
    return MappingProxyType(own)


def check_plugins(path: Path, header: Header, plugins: Mapping[str, str]) -> None:
    """Refuse to go on with other plug-ins than those that the state is of.

    Raises:
        SavedStateError: They differ.
    """
    for kind in sorted({*header.plugins, *plugins}):
        saved, own = header.plugins.get(kind, "none"), plugins.get(kind, "none")
        if saved != own:
            raise SavedStateError(
                f"{path}: {kind} of the saved run is {saved}, of this one {own}; give `Engine.load` the same"
            )


def _digest(header: Header, arrays: dict[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256(header.model_copy(update={"digest": ""}).model_dump_json().encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


class SavedState(NamedTuple):
    """Everything in a file."""

    header: Header
    arrays: dict[str, NDArray[Any]]  # by path in the network; "ended" has the rows of ended sessions


def read(path: Path) -> SavedState:
    """A saved state that this version of the simulator wrote; warns where the last bits may differ.

    Raises:
        SavedStateError: No such file, not a whole saved state, or one of another version.
    """
    with _opened(path) as archive:
        header = _read_header(path, archive)
        found = [info.filename for info in archive.infolist() if info.filename != HEADER]
        if len(set(found)) != len(found) or not all(name.endswith(".npy") for name in found):
            raise SavedStateError(f"{path}: is no saved state: it has a name twice, or more than arrays")
        arrays = {name.removesuffix(".npy"): _read_array(path, archive, name) for name in found}
    if header.digest != _digest(header, arrays):
        raise SavedStateError(f"{path}: is damaged: its digest is another")
    return SavedState(header, arrays)


def _read_header(path: Path, archive: zipfile.ZipFile) -> Header:
    info = archive.NameToInfo.get(HEADER)
    if info is None or info.file_size > MAX_HEADER_BYTES:
        raise SavedStateError(f"{path}: is no saved state: it has no {HEADER} of at most 1 MiB")
    try:
        header = Header.model_validate_json(archive.read(info))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = one_line(".".join(map(str, first["loc"])) or "all of it")
        raise SavedStateError(
            f"{path}: is no saved state: {HEADER}: {where}: {one_line(first['msg'])}"
        ) from error
    now = platform_provenance()
    changed = [name for name in now if header.provenance.get(name) != now[name]]
    if any(name in changed for name in CODE_KEYS):
        raise SavedStateError(
            f"{path}: was saved by another version of the simulator, which alone can read it"
        )
    # The network is about to be built. Its largest arrays bound its size by that of the file, see `check_maps` too.
    scenario = header.scenario
    packet_rows = max(header.packet_rows, scenario.n_ue * FIRST_RING)
    of_ues = 8 * N_PACKET * packet_rows + scenario.n_ue * (4 * scenario.n_cell + 4 * scenario.n_rbg)
    if of_ues > path.stat().st_size:
        raise SavedStateError(f"{path}: is shorter than a state of its scenario")
    if changed:
        warnings.warn(
            f"{path}: was saved with another {', '.join(changed)}: the last bits may differ",
            RuntimeWarning,
            stacklevel=4,
        )
    return header


def check_maps(path: Path, scenario: Scenario, model: PropagationModel | None) -> None:
    """Refuse to build larger maps of shadowing than the file can hold; `model` is the propagation of the user's own.

    Raises:
        SavedStateError: The file is shorter than these maps.
    """
    if shadow_map_bytes(scenario, model) > path.stat().st_size:
        raise SavedStateError(f"{path}: is shorter than a state of its scenario")


def fill(path: Path, network: Any, state: SavedState, ended: np.dtype[Any]) -> NDArray[Any]:
    """Fill the arrays of `network`, built for the state's scenario, and give the rows of ended sessions.

    Raises:
        SavedStateError: The file's arrays are not those of this network.
    """
    arrays, scalars = _parts(network)
    if state.header.scalars != scalars:
        raise SavedStateError(f"{path}: its constants are not those of its scenario and seed")
    if odd := sorted({"ended", *arrays} ^ set(state.arrays)):
        raise SavedStateError(f"{path}: its arrays are not those of its scenario: {one_line(odd[0])}")
    for name, array in arrays.items():
        _check_fit(path, name, state.arrays[name], array.dtype, array.shape)
    rows = state.arrays["ended"]
    _check_fit(path, "ended", rows, ended, (rows.size,))
    for name, array in arrays.items():
        np.copyto(array, state.arrays[name])
    return rows


def _check_fit(
    path: Path, name: str, array: NDArray[Any], dtype: np.dtype[Any], shape: tuple[int, ...]
) -> None:
    if (array.dtype, array.shape) != (dtype, shape):
        raise SavedStateError(f"{path}: {name} is {array.dtype} {array.shape}, want {dtype} {shape}")


def _read_array(path: Path, archive: zipfile.ZipFile, member: str) -> NDArray[Any]:
    file = io.BytesIO(archive.read(member))
    name = one_line(member.removesuffix(".npy"))
    try:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError("a later form")
        preamble = np.lib.format.read_array_header_1_0(file, max_header_size=_NPY_PREAMBLE_BYTES)
    except (ValueError, SyntaxError, TypeError, tokenize.TokenError) as error:
        raise SavedStateError(f"{path}: {name} is no plain array") from error
    shape, by_columns, dtype = preamble
    values = file.read()
    if dtype.hasobject or by_columns or len(values) != math.prod(shape) * dtype.itemsize:
        about = one_line(f"{dtype} {shape}")
        raise SavedStateError(f"{path}: {name} is {about}, want plain numbers of this shape, whole")
    try:
        return np.frombuffer(values, dtype).reshape(shape)
    except ValueError as error:  # an axis of a length below 0 or beyond memory
        raise SavedStateError(f"{path}: {name} is no plain array") from error


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """A zip archive without foreign bytes around it; any other file is a `SavedStateError`."""
    try:
        check_regular(path)
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                raise SavedStateError(f"{path}: is no saved state: it is compressed")
            if sum(member.file_size for member in members) > path.stat().st_size:
                raise SavedStateError(f"{path}: is no saved state: it announces more bytes than it has")
            yield archive
    except OSError as error:
        raise SavedStateError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise SavedStateError(f"{path}: is no whole saved state ({error})") from error
