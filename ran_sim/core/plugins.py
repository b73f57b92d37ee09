"""Plug-ins: functions of a researcher's own that compiled kernels call: a scheduler's metric, a traffic model, a path loss.

A plug-in is compiled to one fixed signature and called through its address (about 5 ns a call). Kernels are compiled
for the signature, not for the function, so a new plug-in compiles quickly and the cached kernels stay valid. It may
use scalars, `math` and other compiled functions, no Python objects; the same arguments must give the same result, for
runs to repeat.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, TypeAlias, cast

from ran_sim.core.jit import CACHE_FOLDER

# numba's CFunc; it ships no types.
Plugin: TypeAlias = Any


class PluginError(ValueError):
    """A plug-in cannot be used: one line with its place, the content there and the wanted content."""


def compiled(signature: str, *, cache: bool = False) -> Callable[[Callable[..., Any]], Plugin]:
    """Decorator: compile a function of scalars to numba `signature`, such as "float64(float64, int64)".

    With `cache` the machine code is kept on disk: for functions of this package, whose sources name the cache folder.
    """
    import numba

    if vars(numba.config)["DISABLE_JIT"]:
        return lambda function: function
    if not cache or CACHE_FOLDER is None:
        return lambda function: numba.cfunc(signature, error_model="numpy")(function)
    folder = CACHE_FOLDER
    return lambda function: _kept(function, signature, folder)


def _kept(function: Callable[..., Any], signature: str, folder: Path) -> Plugin:
    """As `numba.cfunc(signature, cache=True)`, with files that are checked."""
    from numba.core.ccallback import CFunc
    from numba.core.sigutils import normalize_signature

    from ran_sim.core.kept_code import keep

    made = CFunc(function, normalize_signature(signature), locals={}, options={"error_model": "numpy"})  # type: ignore[no-untyped-call]  # because numba ships no types
    keep(made, folder)
    made.compile()
    return made


def load_plugin(reference: str, signature: str) -> Plugin:
    """The function that "path/to/file.py:name" refers to, compiled to `signature` unless it is already.

    A relative path starts at the working directory.

    Raises:
        PluginError: no such file, the file raises, it has no such name, or the function does not compile.
    """
    return as_plugin(load_object(reference, f"a function of {signature}"), signature, source=reference)


def load_object(reference: str, wanted: str) -> object:
    """The object that "path/to/file.py:name" refers to; `wanted` describes it in errors.

    Raises:
        PluginError: no such file, the file raises, or it has no such name.
    """
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
    found = getattr(module, name, None)
    if found is None:
        raise PluginError(f"{reference}: got no {name!r} in it, want {wanted}")
    return found


def as_plugin(function: object, signature: str, *, source: str | None = None) -> Plugin:
    """`function` as a plug-in: compiled to `signature`, or checked against it if it is compiled already.

    Args:
        function: A Python function, one that `compiled` or numba has compiled, or "path/to/file.py:name".
        signature: Of numba, scalars only.
        source: Name in errors; by default the function's name.

    Raises:
        PluginError: The plug-in is no function, or does not fit the signature.
    """
    from numba.core.ccallback import CFunc
    from numba.core.errors import NumbaError
    from numba.core.sigutils import normalize_signature

    if isinstance(function, str) and source is None:
        return load_plugin(function, signature)
    source = source or getattr(function, "__name__", repr(function))
    if isinstance(function, CFunc):
        own = cast(Any, function)._sig
        # because numba leaves this function without types
        if normalize_signature(own) != normalize_signature(signature):  # type: ignore[no-untyped-call]  # because numba ships no types
            raise PluginError(f"{source}: got a function of {own}, want one of {signature}")
        return function
    function = getattr(function, "py_func", function)  # of a function that numba.njit has compiled
    if not callable(function):
        raise PluginError(f"{source}: got {type(function).__name__}, want a function of {signature}")
    try:
        return compiled(signature)(function)
    except (NumbaError, TypeError) as error:
        raise PluginError(f"{source}: does not compile to {signature}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """The line of a compiler's message with the fault; the first line only names a stage of the compiler."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith("Failed in ")]
    return (telling or lines or [type(error).__name__])[0]


# -- identity ----------------------------------------------------------------------------------------------------


def plugin_name(plugin: Plugin) -> str:
    """The function's name in Python."""
    return str(getattr(plugin, "__name__", "a function"))


def plugin_identity(plugin: Plugin) -> str:
    """A plug-in's name and the hash of its computation, such as "max_weight 3f2a9c01d4e5b687".

    The hash covers bytecode, constants and defaults of the function, and the same of the numbers and functions that it uses.
    numba compiles in exactly these, and attributes of modules, which are left out. The place of the function does not count.
    """
    ingredients = repr(_ingredients(_python_function(plugin), set()))
    return f"{plugin_name(plugin)} {hashlib.sha256(ingredients.encode()).hexdigest()[:16]}"


def _python_function(plugin: Any) -> Any:
    """The Python function behind a compiled one: a CFunc wraps it, a dispatcher has it as `py_func`."""
    return getattr(plugin, "py_func", None) or getattr(plugin, "__wrapped__", plugin)


def _ingredients(function: Any, seen: set[int]) -> object:
    """The parts that distinguish two functions, in a form whose `repr` is the same in every process."""
    if not isinstance(function, FunctionType) or id(function) in seen:
        return getattr(function, "__qualname__", type(function).__name__)
    seen.add(id(function))
    around = inspect.getclosurevars(function)
    found = {**around.globals, **around.nonlocals}
    return (
        _code(function.__code__),
        function.__defaults__,
        [(name, _value(found[name], seen)) for name in sorted(found)],
    )


def _code(code: CodeType) -> object:
    constants = [
        _code(each) if isinstance(each, CodeType) else _value(each, set()) for each in code.co_consts
    ]
    return code.co_code.hex(), code.co_names, constants


def _value(value: Any, seen: set[int]) -> object:
    if isinstance(value, (frozenset, set)):
        return sorted(map(repr, value))
    if isinstance(value, (bool, int, float, str, tuple, type(None))):
        return repr(value)
    if isinstance(value, ModuleType):
        return value.__name__
    if hasattr(value, "tobytes"):  # an array is compiled in as it is
        return hashlib.sha256(value.tobytes()).hexdigest()
    return _ingredients(_python_function(value), seen)


def ask_again(plugin: Plugin, *arguments: Any) -> Any:
    """A plug-in's answer, compiled as kernels have it compiled: for messages, as it takes a compilation."""
    import numba

    function = _python_function(plugin)
    return numba.njit(error_model="numpy")(function)(*arguments)
