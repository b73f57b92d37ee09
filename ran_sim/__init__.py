"""A cellular network's downlink, slot by slot: radio, traffic, scheduler, and the counters that KPM reports are made of.

`Engine(load_scenario("seven-sites"), seed=1)` is the simulated network; `ran_sim.bridge` makes RAN nodes of it. Physics
here knows NumPy and numba only. Importing this package does no work; `compiled_before()` tells whether the first slot
will be there in seconds or after the kernels were compiled.
"""

from ran_sim.core.jit import compiled_before

__version__ = "0.1.0"

__all__ = ["compiled_before"]
