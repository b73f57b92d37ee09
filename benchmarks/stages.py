"""Where the time of a slot goes: `run_slots` with a clock read after each of its stages.

The clocked loop is made from `run_slots`' own source, so it cannot drift away from it. The clock is the processor's
cycle counter, 10 ns a read.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.extending import intrinsic

from benchmarks.measure import F64
from ran_sim.core.whole_module import Whole
from ran_sim.engine import Engine, kernels

Clocked = Any  # numba's dispatcher of (first slot, stop, world, cycles)


@intrinsic
def _cycles(typing_context: Any) -> Any:
    """Cycles of the processor's clock so far."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        counter = ir.FunctionType(ir.IntType(64), [])
        return builder.call(builder.module.declare_intrinsic("llvm.readcyclecounter", fnty=counter), [])

    return numba.types.int64(), generate


@cache
def clocked(function: Callable[..., None]) -> tuple[Clocked, list[str]]:
    """`run_slots` with another argument, int64 [n_stage], that each stage's cycles are added to; and their names."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    definition = tree.body[0]
    assert isinstance(definition, ast.FunctionDef)
    definition.decorator_list, definition.returns = [], None
    definition.args.args.append(ast.arg("cycles"))
    for argument in definition.args.args:
        argument.annotation = None
    loop = next(statement for statement in definition.body if isinstance(statement, ast.For))
    names: list[str] = []
    body: list[ast.stmt] = ast.parse("before = _cycles()").body
    for statement in loop.body:
        calls = [
            node.func.id
            for node in ast.walk(statement)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        ]
        stage = next((name for name in calls if name != "range"), None)
        body.append(statement)
        if stage is not None:
            body += ast.parse(f"now = _cycles(); cycles[{len(names)}] += now - before; before = now").body
            names.append(stage.strip("_"))
    loop.body = body
    scope = vars(kernels) | {"_cycles": _cycles}
    exec(compile(ast.fix_missing_locations(tree), "<clocked run_slots>", "exec"), scope)  # noqa: S102  # our own source
    compile_lazily = numba.njit(error_model="numpy", _nrt=False, no_cfunc_wrapper=True, pipeline_class=Whole)  # type: ignore[call-overload]  # because `_nrt`, as in `bare_kernel`, is an option without a type
    return compile_lazily(scope[definition.name]), names


def stage_us(engine: Engine, *, ticks: int, rounds: int) -> dict[str, F64]:
    """CPU microseconds per slot of each stage and of the radio tick, by name, shape [rounds].

    The engine runs on by `rounds` times `ticks` radio ticks.
    """
    run, names = clocked(kernels.run_slots.py_func)  # type: ignore[attr-defined]  # because numba's dispatcher has no types
    world = kernels.for_slots(engine._network)
    n_slots = int(engine._network.radio.tick_slots)
    examples = (engine.slot, engine.slot, world, np.zeros(len(names), np.int64))
    run = run.compile(tuple(map(run.typeof_pyval, examples)))  # bound to types, as an engine's kernels are
    took = np.zeros((len(names) + 1, rounds))
    for i in range(rounds):
        cycles, slots_s = np.zeros(len(names), np.int64), 0.0
        for _ in range(ticks):
            engine.run_until(-(-engine.slot // n_slots) * n_slots)
            began_s = time.thread_time()
            engine._tick()
            ticked_s = time.thread_time()
            run(engine.slot, engine.slot + n_slots, world, cycles)
            slots_s += time.thread_time() - ticked_s
            took[-1, i] += ticked_s - began_s
            engine._slot += n_slots
        took[:-1, i] = cycles / cycles.sum() * slots_s
    return dict(zip([*names, "radio tick"], took * 1e6 / (ticks * n_slots), strict=True))
