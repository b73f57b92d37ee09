"""The origin of a result: versions, the processor that kernels were compiled for, and the scenario's hash.

The same scenario, seed and settings give the same bits on one machine with one set of versions; everything that may
change a bit is listed here, so that two results can be told to be comparable before they are compared.
"""

from __future__ import annotations

import hashlib
import platform
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from ran_sim.core.jit import PACKAGE, sources_digest
from ran_sim.scenario import Scenario, ScenarioError

__all__ = ("CODE_KEYS", "platform_provenance", "scenario_hash")

CODE_KEYS: Final = ("ran_sim", "code")  # must agree, or a saved state cannot be read


def scenario_hash(scenario: Scenario) -> str:
    """Hash of the values of all fields, defaults included, and of the content of the files they name; 16 hexadecimal digits.

    Modules that a plug-in's file imports are not followed.

    Raises:
        ScenarioError: A file cannot be read.
    """
    digest = hashlib.sha256(scenario.model_dump_json().encode())
    for field, file in scenario.files.items():
        try:
            digest.update(f"\0{field}\0{_content_hash(file)}".encode())
        except OSError as error:
            raise ScenarioError(f"{field}: got no readable file {file} ({error.strerror})") from error
    return digest.hexdigest()[:16]


def _content_hash(file: Path) -> str:
    known = file.stat()
    return _hash_of(file, known.st_mtime_ns, known.st_size)


@lru_cache(maxsize=256)
def _hash_of(file: Path, _mtime_ns: int, _size: int) -> str:
    """Hash of a file, read once for many runs; a changed file has another time or size."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


@cache
def platform_provenance() -> dict[str, str]:
    """Versions and processor, the same for every run of this process.

    Returns:
        `ran_sim` (version), `code` (hash of the sources that results depend on), `python`, `numpy`, `numba`,
        `llvmlite`, `cpu` and `cpu_features` (that numba compiles for).
    """
    import llvmlite
    import llvmlite.binding as llvm
    import numba
    import numpy

    config = numba.config
    return {
        "ran_sim": _own_version(),
        # The kernels, the modules that they import, and those that build, run and score a network.
        "code": sources_digest(PACKAGE, "engine/build", "engine/engine", "measure/score"),
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "numba": numba.__version__,
        "llvmlite": llvmlite.__version__,
        # NUMBA_CPU_NAME and NUMBA_CPU_FEATURES override what the machine says.
        "cpu": config.CPU_NAME or llvm.get_host_cpu_name(),  # type: ignore[attr-defined]  # because numba sets its options at run time
        "cpu_features": config.CPU_FEATURES or llvm.get_host_cpu_features().flatten(),  # type: ignore[attr-defined]  # because numba sets its options at run time
    }


def _own_version() -> str:
    try:
        return version("ranloop")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "unknown"
