"""Plug-ins: functions of a researcher's own that compiled kernels call: a scheduler's metric, a traffic model, a path loss.

A plug-in is compiled to one fixed signature and called through its address (about 5 ns a call). Kernels are compiled
for the signature, not for the function, so a new plug-in compiles in a blink and the cached kernels stay valid. It may
use scalars, `math` and other compiled functions, no Python objects; the same arguments must give the same result, for
runs to repeat.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

# numba's CFunc; it ships no types.
Plugin: TypeAlias = Any


class PluginError(ValueError):
    """A plug-in that cannot be used: one line with where it was looked for, what is there and what should be."""


def compiled(signature: str) -> Callable[[Callable[..., Any]], Plugin]:
    """Decorator: compile a function of scalars to numba `signature`, such as "float64(float64, int64)"."""
    import numba

    return lambda function: numba.cfunc(signature, error_model="numpy")(function)


def load_plugin(reference: str, signature: str) -> Plugin:
    """The function that "path/to/file.py:name" refers to, compiled to `signature` unless it is already.

    Raises:
        PluginError: no such file, the file raises, it has no such name, or the function does not compile.
    """
    from numba.core.ccallback import CFunc
    from numba.core.errors import NumbaError

    path, _, name = reference.rpartition(":")
    file = Path(path)
    if not path or not name.isidentifier() or file.suffix != ".py":
        raise PluginError(f"{reference}: got no plug-in, want path/to/file.py:function")
    if not file.is_file():
        raise PluginError(f"{reference}: got no file {path}, want a Python file")
    spec = importlib.util.spec_from_file_location(f"_ran_sim_plugin_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise PluginError(f"{reference}: the file raises {type(error).__name__}: {error}") from error
    function = getattr(module, name, None)
    if function is None:
        raise PluginError(f"{reference}: got no {name!r} in it, want a function of {signature}")
    if isinstance(function, CFunc):
        return function
    try:
        return compiled(signature)(function)
    except (NumbaError, TypeError) as error:
        first = str(error).strip().splitlines()[0]
        raise PluginError(f"{reference}: does not compile to {signature}: {first}") from error
