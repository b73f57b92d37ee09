"""Actions: the settings of a running network. Each takes effect from `slot`, the next one to be simulated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ran_sim.core.state import F32, F64, I64
from ran_sim.energy.power import ACTIVE, STATE_NAMES, command_state
from ran_sim.engine.arguments import check, whole, wholes
from ran_sim.engine.link_powers import refresh_links
from ran_sim.engine.radio_tick import release_cells, request_handover
from ran_sim.engine.slot_loop import SlotLoop
from ran_sim.mac.slices import set_quota
from ran_sim.mobility.handover import EXECUTING, NOT_RUNNING, SEARCHING

OLLA_TARGET_RANGE: Final = (0.001, 0.5)


class Actions(SlotLoop):
    """A running network that can be acted on; arguments that make no sense there are refused with `ValueError`."""

    def set_ue_weight(self, u: int | I64, weight: float | F64) -> None:
        """Scheduling weight of the UE in row `u` (or of many: arrays of one length), until the UE leaves its node."""
        weights = np.asarray(weight)
        check(np.all((weights > 0) & np.isfinite(weights)), "weight", weight, "a positive number")
        self._network.ues.weight[self._present(u)] = weights

    def set_class_weight(self, cell: int, five_qi: int, weight: float) -> None:
        """Scheduling weight of all traffic classes with `five_qi` in `cell`; multiplies the UEs' weights."""
        check(weight > 0 and np.isfinite(weight), "weight", weight, "a positive number")
        known = [traffic.five_qi for traffic in self.scenario.traffic]
        check(five_qi in known, "five_qi", five_qi, f"one of {sorted(set(known))}")
        rows = [i for i, value in enumerate(known) if value == five_qi]
        self._network.traffic.weight[self._cell(cell), rows] = weight

    def set_slot_model(self, cell: int | I64, model: int | I64) -> None:
        """Let a learned metric rank the UEs of `cell` (or of many: arrays of one length): row `model` of the scenario's
        `scheduler.models`, or the rule that needs no model for -1."""
        cells, models = np.atleast_1d(wholes("cell", cell)), wholes("model", model)
        n_model = len(self.scenario.scheduler.models)
        check(np.all((models >= -1) & (models < n_model)), "model", model, f"-1 to {n_model - 1}")
        check(np.isin(cells, range(self.n_cell)).all(), "cell", cell, f"0 to {self.n_cell - 1}")
        self._network.settings.rule.model_of[cells] = models

    def set_slot_network(self, model: int, network: F64) -> None:
        """Replace the numbers of a learned metric, [N_NUMBERS] of `mac.learned`: for training, as it compiles nothing."""
        self._network.settings.rule.networks[model] = network

    def set_prediction(self, cell: int | I64, on: bool | NDArray[np.bool_]) -> None:
        """Let `cell` (or many: arrays of one length) use the scenario's `scheduler.channel_model`, as at the start, or its UEs' reports as
        they are: from each UE's next report on."""
        cells = np.atleast_1d(wholes("cell", cell))
        check(
            self.scenario.scheduler.channel_model is not None,
            "channel_model",
            None,
            "a model package in the scenario's scheduler.channel_model",
        )
        check(np.isin(cells, range(self.n_cell)).all(), "cell", cell, f"0 to {self.n_cell - 1}")
        self._network.csi.prediction.used[cells] = on

    def set_channel_weights(self, weights: F32) -> None:
        """Replace the numbers of the channel model, [N_CHANGE, N_AGE, ORDER] of `link.prediction`: for training, as it compiles nothing."""
        self._network.csi.prediction.weights[:] = weights

    def set_slice_quota(
        self,
        cell: int,
        slices: Sequence[int],
        min_pct: Sequence[float],
        max_pct: Sequence[float],
        dedicated_pct: Sequence[float],
    ) -> None:
        """Replace the quotas of some slices (rows of `Engine.slice_names`) of a cell, all at once: there is no state between.

        Raises:
            ValueError: the quotas would contradict each other; none is changed then.
        """
        n_slice = len(self.scenario.slice_names)
        for row in slices:
            row = whole("slice", row)
            check(0 <= row < n_slice, "slice", row, f"0 to {n_slice - 1}")
        set_quota(self._network.slices, self._cell(cell), slices, min_pct, max_pct, dedicated_pct)

    def set_olla_target(self, u: int | I64, bler: float | F64) -> None:
        """First-transmission block error rate that link adaptation aims at for the UE (or UEs) in row `u`."""
        low, high = OLLA_TARGET_RANGE
        targets = np.asarray(bler)
        check(np.all((targets >= low) & (targets <= high)), "bler", bler, f"{low} to {high}")
        self._network.ues.olla_target[self._present(u)] = targets

    def set_tx_power(self, cell: int, dbm: float) -> None:
        """Total transmit power of a cell over its carrier; at most what it was configured with, its amplifier's limit."""
        network, most = self._network, self.scenario.layout.tx_power_dbm
        check(
            np.isfinite(dbm) and dbm <= most,
            "dbm",
            dbm,
            f"at most {most:g}, the configured power of the cells",
        )
        network.cells.tx_power_dbm[self._cell(cell)] = dbm
        self._call(refresh_links, network.cells, network.ues, network.links, network.radio)

    def set_cio(self, cell: int, db: float) -> None:
        """Cell individual offset that event A3 adds to measurements of `cell`; TS 38.331: -24 to 24 dB."""
        check(-24.0 <= db <= 24.0, "db", db, "-24 to 24")
        self._network.cells.cio_db[self._cell(cell)] = db

    def set_cell_state(self, cell: int | I64, state: int | I64 | F64) -> None:
        """Put a cell to sleep or wake it (or many at once: arrays of one length); states are those of `energy.power`.

        From this slot on a sleeping cell sends nothing. Its UEs are commanded to the strongest other cell that each of them
        hears. A UE that hears none, or that the command does not reach, loses its link and re-establishes where it can. A
        cell that wakes sends when its transition has ended, and takes UEs from the next radio tick on.
        """
        names = ", ".join(f"{i} ({name})" for i, name in enumerate(STATE_NAMES))
        chosen = np.atleast_1d(wholes("cell", cell))
        states = np.broadcast_to(np.asarray(state), chosen.shape)
        check(np.isin(states, range(len(STATE_NAMES))).all(), "state", state, names)
        check(np.isin(chosen, range(self.n_cell)).all(), "cell", cell, f"0 to {self.n_cell - 1}")
        network = self._network
        sleepy = chosen[(states != ACTIVE) & (network.cells.state[chosen] == ACTIVE)]
        if len(sleepy):
            release_cells(self._slot, sleepy, network.ues, network.links, network.radio.handover)
        for each, wanted in zip(chosen.tolist(), states.tolist(), strict=True):
            command_state(self._slot, each, int(wanted), network.cells, network.energy)
        if len(sleepy):
            self._call(refresh_links, network.cells, network.ues, network.links, network.radio)
            self._sync()

    def request_handover(self, u: int, cell: int) -> bool:
        """Command the UE in row `u` to `cell` now.

        False if it is not connected, there already, in a handover or without a link; where the command is lost, the UE
        stays where it is.
        """
        network = self._network
        # Links of slot 0 exist only after its radio tick.
        if self._slot == 0:
            return False
        done = bool(
            self._call(
                request_handover,
                self._slot,
                self._ue(u),
                self._cell(cell),
                network.cells,
                network.ues,
                network.links,
                network.radio,
            )
        )
        if done:
            self._sync()
        return done

    def why_no_handover(self, u: int, cell: int) -> str:
        """Why `request_handover` would be refused for the connected UE in row `u`; "" if it would not.

        The text begins with the nearest radio network layer cause of TS 38.413 9.3.1.2.
        """
        network, cells = self._network, self._network.cells
        serving, phase = int(network.ues.cell[u]), network.radio.handover.phase[u]
        if not 0 <= cell < self.n_cell:
            return f"unknown-targetID: there is no cell {cell}; cells are 0 to {self.n_cell - 1}"
        if phase == EXECUTING:
            return f"interaction-with-other-procedure: its handover from cell {network.radio.handover.source[u]} to cell {serving} is under way"
        if phase == SEARCHING:
            return f"radio-connection-with-ue-lost: it has lost its link to cell {serving} and searches for a cell"
        if cell == serving:
            return f"ho-target-not-allowed: cell {cell} serves it already"
        asleep = [each for each in (cell, serving) if cells.state[each] != ACTIVE]
        return f"cell-not-available: cell {asleep[0]} sleeps" if asleep else ""

    def why_command_lost(self, u: int) -> str:
        """Why a handover command sent now would not reach the connected UE in row `u`; "" if it would. As `why_no_handover`."""
        if self._network.radio.handover.t310_end[u] == NOT_RUNNING:
            return ""
        cell = int(self._network.ues.cell[u])
        return f"failure-in-radio-interface-procedure: T310 runs, so the command is lost and it stays in cell {cell}"

    def _ue(self, u: int) -> int:
        u = whole("UE row", u)
        check(0 <= u < self.n_ue, "UE row", u, f"0 to {self.n_ue - 1}")
        return u

    def _ues(self, u: int | I64) -> I64:
        rows = wholes("UE row", u)
        check(np.all((rows >= 0) & (rows < self.n_ue)), "UE row", u, f"0 to {self.n_ue - 1}")
        return rows

    def _present(self, u: int | I64) -> I64:
        """UE rows that hold a UE; a setting on an empty row would be lost with the next UE."""
        rows = self._ues(u)
        empty = np.unique(rows[self._network.queues.owner[rows] < 0])
        if len(empty):
            when = "no UE is connected before the first slot has run" if self._slot == 0 else "no UE is in it"
            raise ValueError(f"UE row {empty[0]}: {when}; want a row whose UE is connected (`ues.connected`)")
        return rows

    def _cell(self, cell: int) -> int:
        cell = whole("cell", cell)
        check(0 <= cell < self.n_cell, "cell", cell, f"0 to {self.n_cell - 1}")
        return cell
