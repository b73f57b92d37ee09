"""An inference host and those who ask it: batches, a bounded queue, replicas, and nothing from the wire is trusted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from ranloop.bus import Bus
from ranloop.inference import Model, load_model
from ranloop.inference.predictor import Late
from ranloop.placement import BusTiers, InferenceHost, Question, Reply, Tiers
from ranloop.testing import make_report
from ranloop.wire import topics
from ranloop.wire.asking import Asked, Inferred, decode_inferred, encode_asked, encode_inferred
from ranloop.wire.codec import encode
from ranloop.wire.messages import F32, FOR_EVER_NS, Presence
from ranloop.xapp.instance import Instance
from ranloop.xapp.loader import load_package
from tests.ranloop.placement.places import MS, tiers

Connect = Callable[[str], Bus]


@pytest.fixture
def large(models: Path) -> Model:
    """Gives its input and one."""
    return load_model(models / "large")


def asked(model: str, number: int = 1, *, xapp: str = "a", rows: int = 1, within_ms: float = 1000.0) -> bytes:
    matrix = np.arange(rows, dtype=np.float32)[:, None] + 10 * number
    return encode_asked(
        Asked(number=number, run="r", xapp=xapp, model=model, within_ms=within_ms, matrix=matrix)
    )


class Asker:
    """A bare client that publishes bytes and reads the answers."""

    def __init__(self, bus: Bus, xapp: str = "a") -> None:
        self.bus, self.xapp = bus, xapp
        self.answers: list[Inferred] = []
        bus.subscribe(topics.inferred(xapp, "+"), lambda _, got: self.answers.append(decode_inferred(got)))

    def put(self, *payloads: bytes, host: str = "east") -> None:
        for payload in payloads:
            self.bus.publish(topics.ask(host, self.xapp), payload)

    def states(self) -> dict[int, str]:
        self.bus.poll()
        return {answer.number: answer.state for answer in self.answers}


class Counting:
    """A predictor that notes the rows of each call."""

    def __init__(self, model: Model) -> None:
        self._inner, self.rows = model.predictor, list[int]()
        model.predictor = self

    def predict(self, matrix: F32, asked_ns: int, deadline_ns: int) -> F32 | Late:
        self.rows.append(len(matrix))
        return self._inner.predict(matrix, asked_ns, deadline_ns)


def test_questions_that_wait_together_are_computed_together_and_each_gets_its_own_rows(
    connect: Connect, large: Model
) -> None:
    """Question k has the rows 10 k, 10 k + 1; the model adds one."""
    counting = Counting(large)
    host, asker = InferenceHost(connect("east"), "east", "regional", [large]), Asker(connect("a"))
    asker.put(*(asked(large.tag, k, rows=2) for k in (1, 2, 3)))
    assert host.turn() == 3
    asker.bus.poll()
    found = {answer.number: np.round(answer.outputs[:, 0]).tolist() for answer in asker.answers}
    assert found == {1: [11, 12], 2: [21, 22], 3: [31, 32]}
    assert counting.rows == [6]


def test_a_batch_takes_no_more_rows_than_it_may(connect: Connect, large: Model) -> None:
    counting = Counting(large)
    host = InferenceHost(connect("east"), "east", "regional", [large], batch_rows=4)
    Asker(connect("a")).put(*(asked(large.tag, k, rows=2) for k in (1, 2, 3)))
    host.turn()
    assert counting.rows == [4, 2]


def test_beyond_a_full_queue_the_answer_is_busy_at_once(connect: Connect, large: Model) -> None:
    host, asker = InferenceHost(connect("east"), "east", "regional", [large], queue=2), Asker(connect("a"))
    asker.put(*(asked(large.tag, k) for k in (1, 2, 3, 4)))
    host.turn()
    assert asker.states() == {1: "ok", 2: "ok", 3: "busy", 4: "busy"}


def test_a_question_whose_time_is_over_is_not_computed(connect: Connect, large: Model) -> None:
    """The host's clock goes on by 0.2 s with each look: 20 ms are over by then, 10 s are not."""
    now = iter(np.arange(0.0, 100.0, 0.2))
    counting = Counting(large)
    host = InferenceHost(connect("east"), "east", "regional", [large], clock=lambda: float(next(now)))
    asker = Asker(connect("a"))
    asker.put(asked(large.tag, 1, within_ms=20), asked(large.tag, 2, within_ms=10_000))
    host.turn()
    assert asker.states() == {1: "late", 2: "ok"}
    assert counting.rows == [1]


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (b"", "malformed"),
        (b"\xff" * 5000, "malformed"),
        (b'{"v":1}\n', "malformed"),
        (asked("m@0") + b"abcd", "malformed"),
        (asked("m@0").replace(b'"rows":1', b'"rows":9'), "malformed"),
        (asked("m@0").replace(b'"row":[1]', b'"row":[65536,65536]'), "malformed"),
        (asked("m@0").replace(b"1000.0", b"-100.0"), "malformed"),
        (asked("m@0", xapp="b"), "stranger"),
        (asked("m@0"), "unknown-model"),
    ],
)
def test_whatever_comes_is_counted_and_the_next_question_is_answered(
    connect: Connect, large: Model, payload: bytes, kind: str
) -> None:
    host, asker = InferenceHost(connect("east"), "east", "regional", [large]), Asker(connect("a"))
    asker.put(payload, asked(large.tag, 7))
    host.turn()
    assert asker.states()[7] == "ok"
    assert host.counts[kind] == 1


def test_a_matrix_of_another_shape_than_the_card_is_refused(connect: Connect, large: Model) -> None:
    host, asker = InferenceHost(connect("east"), "east", "regional", [large]), Asker(connect("a"))
    wide = np.zeros((1, 2), np.float32)
    asker.put(encode_asked(Asked(number=1, run="r", xapp="a", model=large.tag, within_ms=9.0, matrix=wide)))
    host.turn()
    assert asker.states() == {1: "wrong-shape"}


def test_a_question_that_comes_twice_is_answered_once(connect: Connect, large: Model) -> None:
    host, asker = InferenceHost(connect("east"), "east", "regional", [large]), Asker(connect("a"))
    asker.put(asked(large.tag), asked(large.tag))
    host.turn()
    asker.bus.poll()
    assert len(asker.answers) == 1
    assert host.counts == {"ok": 1, "double": 1}


# Those who ask


@contextmanager
def served(host: InferenceHost) -> Iterator[None]:
    """The host works in a thread of its own."""
    stop = threading.Event()
    thread = threading.Thread(target=host.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10.0)


class Way:
    """The way of an xApp to the tiers, asked about one row of 5."""

    def __init__(
        self, connect: Connect, model: Model, *, wait_ms: float = 2000.0, of: Tiers | None = None
    ) -> None:
        self.tiers = BusTiers(of or tiers(), "a", lambda _: connect("a"))
        self.model, self.wait_ns = model, round(wait_ms * MS)
        self.tiers.turn()

    def send(self, tier: str = "regional") -> tuple[int, int]:
        """Number of the question, and the end of the time for it."""
        question = Question(
            model=self.model.tag,
            matrix=np.full((1, 1), 5.0, np.float32),
            n_outputs=1,
            node="site0",
            level="ue",
            asked_ns=0,
            sensitivity="per-ue",
        )
        until_ns = self.tiers.now_ns(0) + self.wait_ns
        return self.tiers.send(tier, question, until_ns), until_ns

    def ask(self, tier: str = "regional") -> Reply | None:
        return self.tiers.wait(*self.send(tier))


def value(reply: Reply | None) -> float:
    assert reply is not None
    assert reply.outputs is not None, reply
    return round(float(reply.outputs[0, 0]))


def test_an_xapp_gets_the_answer_of_a_living_host_of_the_tier(connect: Connect, large: Model) -> None:
    host = InferenceHost(connect("east"), "east", "regional", [large])
    way = Way(connect, large)
    assert (way.tiers.is_there("regional"), way.tiers.is_there("central")) == (True, False)
    with served(host):
        assert value(way.ask()) == 6


def test_a_busy_host_sends_the_question_on_to_another_of_its_tier(connect: Connect, large: Model) -> None:
    full = InferenceHost(connect("east"), "east", "regional", [large], queue=0)
    with served(full), served(InferenceHost(connect("west"), "west", "regional", [large])):
        way = Way(connect, large)
        assert [value(way.ask()) for _ in range(4)] == [6] * 4
    assert full.counts["busy"] >= 1


def test_if_all_hosts_of_a_tier_are_busy_the_reply_says_so_before_the_time_is_over(
    connect: Connect, large: Model
) -> None:
    with served(InferenceHost(connect("east"), "east", "regional", [large], queue=0)):
        began_s, reply = time.monotonic(), Way(connect, large, wait_ms=20_000).ask()
    assert reply is not None
    assert reply.fault == "busy"
    assert time.monotonic() - began_s < 10


def test_a_tier_without_a_host_of_the_model_fails_at_once(
    connect: Connect, large: Model, models: Path
) -> None:
    InferenceHost(connect("east"), "east", "regional", [load_model(models / "small")])
    reply = Way(connect, large).ask()
    assert reply is not None
    assert reply.fault == "failed"


def test_a_silent_host_is_waited_for_until_the_time_is_over_and_no_longer(
    connect: Connect, large: Model
) -> None:
    InferenceHost(connect("east"), "east", "regional", [large])  # nobody turns it: it is stopped
    assert Way(connect, large, wait_ms=30).ask() is None


def test_a_question_that_no_host_would_read_fails_at_once_and_says_why(
    connect: Connect, large: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    """65 rows of 65,536 float32 are 17,039,360 bytes, and a payload has 2^24 at most: nobody waits for an answer."""
    InferenceHost(connect("east"), "east", "regional", [large])
    way = Way(connect, large)
    question = Question(
        model=large.tag,
        matrix=np.zeros((65, 65_536), np.float32),
        n_outputs=1,
        node="site0",
        level="ue",
        asked_ns=0,
        sensitivity="per-ue",
    )
    number = way.tiers.send("regional", question, FOR_EVER_NS)
    (reply,) = way.tiers.arrived([number])
    assert reply.fault == "failed"
    assert "at most 16777216 are read" in capsys.readouterr().out


def test_a_host_that_leaves_is_asked_no_more(connect: Connect, large: Model) -> None:
    host, way = InferenceHost(connect("east"), "east", "regional", [large]), Way(connect, large)
    assert way.tiers.is_there("regional")
    host.close()
    way.tiers.turn()
    assert not way.tiers.is_there("regional")


@pytest.mark.parametrize("tier", [[], {}, 3, None, "fog"])
def test_a_life_sign_whose_tier_is_none_of_the_file_is_no_host(
    connect: Connect, large: Model, tier: object
) -> None:
    facts = {"kind": "inference", "tier": tier, "models": [large.tag]}
    sign = encode(Presence(name="odd", alive=True, facts=facts))
    connect("odd").publish(topics.presence("odd"), sign, retain=True)
    InferenceHost(connect("east"), "east", "regional", [large])
    way = Way(connect, large)
    assert way.tiers.is_there("regional")
    assert not any(way.tiers.is_there(each) for each in ("edge", "central"))


def test_each_asker_fetches_the_answers_to_its_own_questions_and_leaves_the_others(
    connect: Connect, large: Model
) -> None:
    host, way = InferenceHost(connect("east"), "east", "regional", [large]), Way(connect, large)
    (first, _), (second, _) = way.send(), way.send()
    host.turn()
    for number in (second, first):
        assert [(reply.number, value(reply)) for reply in way.tiers.arrived([number])] == [(number, 6)]
    assert way.tiers.arrived([first, second]) == []


def test_answers_that_nobody_fetches_do_not_pile_up(
    connect: Connect, large: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ranloop.placement.remote._MOST_OPEN", 2)
    way = Way(connect, large)
    numbers = [way.send()[0] for _ in range(5)]  # no host: each has its fault at once
    assert [reply.number for reply in way.tiers.arrived(numbers)] == numbers[-2:]


class Liar:
    """A host that answers each question as it is told, for want of a real one that lies."""

    def __init__(self, connect: Connect, model: Model, *answers: Callable[[Asked, Bus], None]) -> None:
        self.bus = connect("east")
        self._real = InferenceHost(self.bus, "east", "regional", [model])
        self._answers = answers
        self._real._admit = lambda waiting: [say(waiting.asked, self.bus) for say in answers]  # type: ignore[method-assign,assignment]  # because it lies

    def run(self, stop: threading.Event) -> None:
        self._real.run(stop)


def says(
    outputs: float = 6.0, *, host: str = "east", model: str = "", run: str = ""
) -> Callable[[Asked, Bus], None]:
    def say(question: Asked, bus: Bus) -> None:
        answer = Inferred(
            number=question.number,
            run=run or question.run,
            replica="east",
            model=model or question.model,
            state="ok",
            outputs=np.full((1, 1), outputs, np.float32),
        )
        bus.publish(topics.inferred("a", host), encode_inferred(answer))

    return say


def garbage(question: Asked, bus: Bus) -> None:
    bus.publish(topics.inferred("a", "east"), b"\x00garbage")


@pytest.mark.parametrize(
    ("lie", "kind"),
    [
        (garbage, "malformed"),
        (says(float("nan")), "malformed"),
        (says(9, model="other@0"), "other-model"),
        (says(9, host="west"), "stranger"),
        (says(9, run="yesterday"), "double"),
    ],
)
def test_a_wrong_answer_has_no_effect_and_the_right_one_after_it_counts(
    connect: Connect, large: Model, lie: Callable[[Asked, Bus], None], kind: str
) -> None:
    liar = Liar(connect, large, lie, says(6))
    way = Way(connect, large)
    with served(liar):  # type: ignore[arg-type]  # it runs as one
        assert value(way.ask()) == 6
    assert way.tiers.counts == {kind: 1}


def test_of_two_answers_the_first_counts(connect: Connect, large: Model) -> None:
    way = Way(connect, large)
    liar = Liar(connect, large, says(6), says(7))
    way.tiers.turn()
    with served(liar):  # type: ignore[arg-type]  # it runs as one
        assert value(way.ask()) == 6
    way.tiers.turn()
    assert way.tiers.counts == {"double": 1}


def test_the_transport_itself_keeps_what_a_zone_may_not_see(connect: Connect, large: Model) -> None:
    bus, sent = connect("listener"), list[bytes]()
    bus.subscribe(topics.ask("+", "+"), lambda _, payload: sent.append(payload))
    InferenceHost(connect("east"), "east", "regional", [large])
    way = Way(connect, large, of=tiers(regional={"zone": "cloud"}))
    reply = way.ask()
    bus.poll()
    assert reply is not None
    assert (reply.fault, sent) == ("failed", [])


def test_a_live_xapp_acts_on_the_better_answer_and_on_its_own_when_the_host_has_gone(
    connect: Connect, large: Model, xapp: Path
) -> None:
    reach = BusTiers(tiers(), "placed", lambda _: connect("placed"))
    instance = Instance(load_package(xapp), reach=reach)
    host = InferenceHost(connect("east"), "east", "regional", [large])

    def decided(seq: int) -> tuple[str, str, list[float]]:
        (batch,) = instance.on_report(make_report({"DRB.UEThpDl": [3.0, 4.0]}, seq=seq))
        (how,) = batch.inferences
        return how.tier, how.reason, batch.action.parameters()[:, 0].tolist()

    with served(host):
        reach.turn()
        # The first question may meet a machine that is busy for longer than 50 ms.
        assert ("regional", "better", [2.0, 2.0]) in [decided(seq) for seq in range(20)]
    reach.turn()
    assert decided(20) == ("edge", "away", [1.0, 1.0])
