"""A RAN node that is a program of its own, in any language: `pipe:COMMAND`.

The host starts the program and speaks JSON lines with it over its standard input and output (`wire.node_side`). So the
guard stands in the only process that can reach the node, and no topic of the bus commands it. What the program writes to
standard error goes to the host's.

The node reports at its own pace. RAN time is what its reports say; between two reports it follows the host's clock.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import structlog

from ranloop.closing import Closing
from ranloop.errors import NodeError, WireError
from ranloop.node.port import Applied, Stream
from ranloop.vocabulary import Action
from ranloop.wire.messages import F32, FOR_EVER_NS, I32, Catalogue, Report
from ranloop.wire.node_side import Answered, decode_line, encode_change
from ranloop.wire.plain import MAX_JSON_BYTES

__all__ = ("PipedNode",)

log = structlog.get_logger(__name__)

FIRST_WORD_S = 10.0  # a program may take so long to say what it measures
GOODBYE_S = 2.0  # and so long to end when its standard input does
_KEEP = 256  # reports that may wait for the host
_SLOT_NS = 1_000_000  # a change takes effect when the node reads it; this is the grid that leases end on
_MAX_AHEAD_NS = 3_600_000_000_000  # RAN time between two reports


class PipedNode(Closing):
    """Implements `PushPort` over a program's standard input and output.

    Args:
        command: As typed in a shell, without a shell's expansions.
        first_word_s: How long the program may take to say its catalogue.

    Raises:
        NodeError: The program cannot be started, or its first line is no catalogue.
    """

    slot_ns = _SLOT_NS
    end_ns = FOR_EVER_NS

    def __init__(self, command: str, *, first_word_s: float = FIRST_WORD_S) -> None:
        self._command = command
        try:
            arguments = shlex.split(command)
            self._program = subprocess.Popen(
                arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
            )
        except (OSError, ValueError, IndexError) as error:
            raise NodeError(f"pipe:{command}: cannot be started: {error}") from error
        self.now_ns = 0
        self.n_dropped = 0  # lines that could not be used, and reports that the host was too slow for
        self._lock = threading.Condition()
        self._reports: deque[Report] = deque()
        self._answers: deque[Applied] = deque()
        self._asked: dict[int, Action] = {}
        self._ues: I32 | None = None  # ids in the last report that names UEs
        self._latest_ns = 0  # RAN time of the latest report
        self._ended = False
        self._said: Catalogue | None = None
        self._problem = ""
        self._wake: Callable[[], None] = lambda: None
        self._to_write = b""
        self._closing = False
        name = f"ranloop.pipe[{Path(arguments[0]).name}]"
        self._threads = [
            threading.Thread(target=work, name=f"{name}.{work.__name__.strip('_')}", daemon=True)
            for work in (self._read, self._write)
        ]
        for thread in self._threads:
            thread.start()
        with self._lock:
            self._lock.wait_for(
                lambda: self._said is not None or self._ended or bool(self._problem), first_word_s
            )
            reason = self._problem or f"it said no catalogue within {first_word_s:g} s"
        if self._said is None:
            self.close()
            raise NodeError(f"pipe:{command}: {reason}")
        self.catalogues: Sequence[Catalogue] = (self._said,)

    # As a port

    def last_until(self, end_ns: int) -> int:
        """A program goes on until it ends."""
        return end_ns

    @property
    def over(self) -> bool:
        """Whether the program has ended and all that it said has been taken.

        Raises:
            NodeError: It has, and not in order.
        """
        with self._lock:
            if not self._ended or self._reports:
                return False
        if code := self._program.returncode:
            how = f"with exit code {code}" if code > 0 else f"by signal {-code}"
            raise NodeError(f"pipe:{self._command}: the program ended {how}")
        return True

    def listen(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever a report or an answer has arrived, and when the program ends."""
        self._wake = wake

    def next_report_ns(self) -> int:
        """Of the report that has arrived first; `FOR_EVER_NS` if none has."""
        with self._lock:
            return max(self.now_ns, self._reports[0].ran_time_ns) if self._reports else FOR_EVER_NS

    def advance(self, until_ns: int) -> None:
        self.now_ns = until_ns

    def reports(self, wanted: Mapping[Stream, frozenset[str]]) -> list[Report]:
        """The reports that have arrived and whose time has come, cut down to what is wanted."""
        out: list[Report] = []
        while True:
            with self._lock:
                if not self._reports or self._reports[0].ran_time_ns > self.now_ns:
                    return out
                report = self._reports.popleft()
            # A UE without flows has no row at level qos_flow, and is there all the same.
            if report.level == ("ue" if "ue" in self.catalogues[0].measurements else "qos_flow"):
                self._ues = report.ue
            names = wanted.get((report.node, str(report.level), report.period_ms))
            if names is not None:
                missing = sorted(names - set(report.names))
                if missing:
                    self._drop(
                        f"a {report.level} report without {', '.join(missing)}, which its catalogue names"
                    )
                else:
                    out.append(report.only(tuple(name for name in report.names if name in names)))

    def hand_over(self, node: str, number: int, action: Action, *, atomic: bool = False) -> None:
        with self._lock:
            self._asked = {number: action}  # the guard has one change under way at a time
            self._to_write = encode_change(number, action, atomic=atomic)
            self._lock.notify_all()

    def answers(self) -> list[Applied]:
        with self._lock:
            answers = list(self._answers)
            self._answers.clear()
        return answers

    def hosts(self, node: str, column: str, ids: F32) -> F32:
        """What the last report says of UEs; cells are those of the catalogue."""
        known = self._ues if column == "ue" else np.fromiter(self.catalogues[0].cells, np.int32)
        return np.ones(len(ids), np.float32) if known is None else np.isin(ids, known).astype(np.float32)

    def close(self) -> None:
        """End the program: its standard input ends; one that does not leave is killed."""
        with self._lock:
            self._closing = True
            self._lock.notify_all()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._program.wait(GOODBYE_S)
        with contextlib.suppress(ProcessLookupError, PermissionError):  # its children hold its pipes, too
            os.killpg(self._program.pid, signal.SIGKILL)
        self._program.wait()
        for thread in self._threads:
            thread.join(GOODBYE_S)  # a child that left the group may hold a pipe for ever

    # The threads

    def _write(self) -> None:
        """Hand changes to the program; one that does not read holds up this thread and nobody else."""
        assert self._program.stdin is not None
        with contextlib.suppress(OSError), self._program.stdin as stdin:  # it may have ended: `over` tells
            while True:
                with self._lock:
                    self._lock.wait_for(lambda: self._to_write or self._closing)
                    line, self._to_write = self._to_write, b""
                if not line:
                    return
                stdin.write(line)
                stdin.flush()

    def _read(self) -> None:
        assert self._program.stdout is not None
        with self._program.stdout as stdout:
            while line := stdout.readline(MAX_JSON_BYTES + 1):
                if not line.endswith(b"\n"):
                    self._drop(f"a line of more than {MAX_JSON_BYTES} bytes, or one cut off at the end")
                    continue
                try:
                    self._hear(line)
                except WireError as error:
                    self._drop(str(error))
        code = self._program.wait()
        with self._lock:
            self._ended = True
            self._problem = (
                self._problem or f"the program ended with exit code {code} before it said a catalogue"
            )
            self._lock.notify_all()
        self._wake()

    def _hear(self, line: bytes) -> None:
        said = decode_line(line)
        with self._lock:
            if self._said is None:
                if not isinstance(said, Catalogue):
                    raise WireError("its first line is no catalogue")
                self._said = said
                self._lock.notify_all()
                return
            if isinstance(said, Report):
                self._take(said)
            elif isinstance(said, Catalogue):
                raise WireError("a second catalogue; a node's catalogue stays as it is")
            else:
                self._answers.append(self._applied(said))
        self._wake()

    def _take(self, report: Report) -> None:
        assert self._said is not None
        offered = self._said.measurements.get(report.level, ())
        strange = [name for name in report.names if name not in offered]
        if report.node != self._said.node or strange or report.period_ms not in self._said.periods_ms:
            raise WireError(
                f"a {report.level} report of {report.node} every {report.period_ms} ms with "
                f"{', '.join(strange[:3]) or 'these measurements'}, which is not in the catalogue of {self._said.node}"
            )
        if report.ran_time_ns > self._latest_ns + _MAX_AHEAD_NS:
            raise WireError(
                f"a {report.level} report of {report.ran_time_ns} ns behind one of {self._latest_ns} ns; RAN time is 0 when "
                "the program begins"
            )
        self._latest_ns = max(self._latest_ns, report.ran_time_ns)
        if len(self._reports) >= _KEEP:
            self._reports.popleft()
            self.n_dropped += 1
        self._reports.append(report)

    def _applied(self, said: Answered) -> Applied:
        assert self._said is not None
        number, values = said.number, said.values
        action = self._asked.get(number)
        if action is None:
            asked = ", ".join(map(str, self._asked)) or "nothing"
            raise WireError(
                f"an answer to change {number}; the node is asked {asked}: late, twice or another's"
            )
        names = action.spec.parameter_names
        if values.keys() != set(names) or any(len(column) != len(action) for column in values.values()):
            raise WireError(
                f"an answer to change {number} with {', '.join(f'{n} [{len(c)}]' for n, c in values.items())}; "
                f"want {', '.join(f'{name} [{len(action)}]' for name in names)}"
            )
        del self._asked[number]
        return Applied(
            self._said.node, number, np.column_stack([values[name] for name in names]), said.reasons
        )

    def _drop(self, reason: str) -> None:
        """Count what the node said in vain; of many lines ever fewer are told."""
        self.n_dropped += 1
        with self._lock:
            if self._said is None:
                self._problem = reason
                self._lock.notify_all()
        if self.n_dropped.bit_count() == 1:
            node = self._said.node if self._said else self._command
            log.warning("node_line_dropped", node=node, reason=reason, so_far=self.n_dropped)
