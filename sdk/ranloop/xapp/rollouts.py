"""An operator's orders about the models of a running xApp: settings whose name is `model:NAME`.

They come as all settings do: through the host, retained, with the operator's name in the audit log, in live runs and in lockstep. A
candidate is loaded on a thread of its own in real time, so that no report waits for it; in lockstep RAN time waits.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ranloop.errors import ModelError, RanloopError
from ranloop.wire.messages import Result

if TYPE_CHECKING:
    from ranloop.inference import Model, Trust
    from ranloop.inference.rollout import Stage
    from ranloop.inference.session import Provider

__all__ = ("PREFIX", "Change", "Rollouts", "split")

PREFIX = "model:"


def split(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Ordered values as those of settings, and model -> stage."""
    stages = {
        name.removeprefix(PREFIX): str(value) for name, value in values.items() if name.startswith(PREFIX)
    }
    return {name: value for name, value in values.items() if not name.startswith(PREFIX)}, stages


@dataclass(slots=True)
class Change:
    """What an order will put in force once its packages are loaded."""

    stages: dict[str, Stage]
    loaded: dict[str, Future[Model]]


class Rollouts:
    """The stages of an xApp's models.

    Args:
        xapp: Its name, for errors.
        models: By the names of the manifest.
        measured: Names that the manifest's streams carry: a candidate can have no others.
        trust: Whose packages may run.
        provider: What computes them.
    """

    def __init__(
        self,
        xapp: str,
        models: Mapping[str, Model],
        measured: frozenset[str],
        *,
        trust: Trust | None,
        provider: Provider,
    ) -> None:
        self._xapp, self._models, self._measured = xapp, models, measured
        self._trust, self._provider = trust, provider
        self._stages: dict[str, Stage] = {}
        self._told: set[int] = set()
        self._thread: ThreadPoolExecutor | None = None
        self.in_background = False

    def begin(self, texts: Mapping[str, str]) -> Change:
        """Read the stages of an order, and begin to load the packages that are new.

        Raises:
            ModelError: A stage that is none, or one of a model that the xApp has not.
        """
        from ranloop.inference.rollout import parse_stage

        if unknown := texts.keys() - self._models.keys():
            known = ", ".join(self._models) or "none"
            raise ModelError(f"{self._xapp} has no model {min(unknown)!r}; it has: {known}")
        stages = {name: parse_stage(text) for name, text in texts.items()}
        loaded = {
            name: self._load(name, stage.folder)
            for name, stage in stages.items()
            if stage.folder is not None and stage != self._stages.get(name)
        }
        return Change(stages, loaded)

    def is_ready(self, change: Change) -> bool:
        """Whether all packages of a change are loaded, or have failed to."""
        return all(future.done() for future in change.loaded.values())

    def put(self, change: Change) -> None:
        """Put the stages of an order in force; models that it does not name are the manifest's alone.

        Raises:
            RanloopError: A package cannot be used; nothing has changed then.
        """
        from ranloop.inference.rollout import Trial

        candidates = {name: future.result() for name, future in change.loaded.items()}
        for name, model in self._models.items():
            stage = change.stages.get(name)
            model.off = stage is not None and stage.kind == "off"
            if stage is None or stage.folder is None:
                model.trial = None
            elif name in candidates:
                candidates[name].rests = model.rests
                model.trial = Trial(candidates[name], stage)
        self._stages = change.stages

    def in_force(self) -> dict[str, str]:
        """`model:NAME` -> its stage, of the models that an order is about."""
        found = {}
        for name, stage in self._stages.items():
            trial = self._models[name].trial
            rolled_back = trial.rolled_back if trial is not None else ""
            text = f"packaged; rolled back: {rolled_back}" if rolled_back else str(stage)
            if stage.kind == "off":
                text = f"off; instead of it: {', '.join(self._models[name].rungs) or 'no value'}"
            found[PREFIX + name] = text
        return found

    def take_result(self, result: Result, names: tuple[str, ...]) -> None:
        """See `Trial.take_result`."""
        for model in self._models.values():
            if model.trial is not None and not model.trial.rolled_back:
                model.trial.take_result(result, names)

    def fallen(self) -> list[tuple[str, str]]:
        """Model and reason of each candidate that was rolled back since the last call."""
        found = []
        for name, model in self._models.items():
            trial = model.trial
            if trial is None:
                continue
            if model.rests and not trial.rolled_back:
                trial.hold_to_budget(model.budget_ns)
            if trial.rolled_back and id(trial) not in self._told:
                self._told.add(id(trial))
                found.append((name, f"{trial.candidate.tag}, {trial.stage}: {trial.rolled_back}"))
        return found

    def close(self) -> None:
        """Load nothing any more; what is being loaded is dropped."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)

    def _load(self, name: str, folder: Path) -> Future[Model]:
        work = partial(self._fitting, name, folder)
        if self.in_background:
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"ranloop[{self._xapp}].models")
            return self._thread.submit(work)
        done: Future[Model] = Future()
        try:
            done.set_result(work())
        except RanloopError as error:
            done.set_exception(error)
        return done

    def _fitting(self, name: str, folder: Path) -> Model:
        """A candidate for a model.

        Raises:
            RanloopError: The package cannot be used, or does not fit the model's place.
        """
        from ranloop.inference import load_model

        model = self._models[name]
        before = model.trial.candidate if model.trial is not None and model.trial.has_taken_over else model
        candidate = load_model(
            folder, trust=self._trust, running=before.card.version, provider=self._provider
        )
        mine, its = model.card, candidate.card
        if [(each.name, each.unit) for each in mine.outputs] != [
            (each.name, each.unit) for each in its.outputs
        ]:
            raise ModelError(
                f"{folder} gives {', '.join(f'{o.name} in {o.unit}' for o in its.outputs)}, unlike {name}"
            )
        if mine.period_ms != its.period_ms:
            raise ModelError(
                f"{folder} is for reports of {its.period_ms} ms, {name} for those of {mine.period_ms} ms"
            )
        wanted = {each.measurement for each in its.features if each.measurement}
        if lacking := sorted(wanted - self._measured):
            raise ModelError(
                f"{folder} needs {', '.join(lacking)}, which the manifest of {self._xapp} does not read"
            )
        own = {each.name for each in its.features if each.name} - {each.name for each in mine.features}
        if own:
            raise ModelError(
                f"{folder} needs the feature {min(own)!r}, which {self._xapp} does not hand over to {name}"
            )
        return candidate
