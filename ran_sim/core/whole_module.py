"""Machine code of kernels: a kernel that Python calls is one module with all that it calls, optimised once, as a whole.

Left to itself, numba optimises each function by itself, then with all its callees, then again in each of its callers. And all
functions can be called from outside, so arrays that a callee does not read are handed over all the same, seven words each.
Here kernels that only kernels call stay as they are until the whole is optimised, whose functions nobody else can call.
"""

from __future__ import annotations

from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler

__all__ = ("Inner", "Whole")

_Compiler: Any = Compiler  # numba ships no types
_Library: Any = JITCodeLibrary


class _Plain(_Library):  # type: ignore[misc]  # because its base has no types
    """Code that is not optimised function by function: the whole is, later."""

    def _optimize_functions(self, module: Any) -> None:
        module.data_layout = self._codegen._data_layout


class _InnerCode(_Plain):
    """Code to be linked into other code: not optimised, and never loaded."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


class _WholeCode(_Plain):
    """Code with all that it calls, to be kept and loaded."""

    def __init__(self, codegen: Any, name: str) -> None:
        super().__init__(codegen, name)
        self.enable_object_caching()

    def _optimize_final_module(self) -> None:
        for function in self._final_module.functions:
            if not function.is_declaration and function.linkage.name == "linkonce_odr":
                function.linkage = "internal"
        super()._optimize_final_module()


class Inner(_Compiler):  # type: ignore[misc]  # because its base has no types
    """Compiles kernels for kernels to call."""

    def __init__(
        self, typing: Any, target: Any, library: Any, args: Any, result: Any, flags: Any, names: Any
    ):
        flags.no_compile = True
        super().__init__(typing, target, _InnerCode(target.codegen(), "kernel"), args, result, flags, names)

    def compile_extra(self, function: Any) -> Any:
        """The compiled `function`, known to numba by an object of its own, as it has no address."""
        made = super().compile_extra(function)._replace(entry_point=object())
        made.target_context.insert_user_function(made.entry_point, made.fndesc, [made.library])
        return made


class Whole(_Compiler):  # type: ignore[misc]  # because its base has no types
    """Compiles kernels for Python to call."""

    def __init__(
        self, typing: Any, target: Any, library: Any, args: Any, result: Any, flags: Any, names: Any
    ):
        super().__init__(typing, target, _WholeCode(target.codegen(), "kernel"), args, result, flags, names)
