"""The page of all xApps on one network, and of each one in trouble, in Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from ranloop.evaluation.joint import PROMISED_LEASES, FailSafe, Joint, Together, Trial
from ranloop.evaluation.result import Change
from ranloop.node.mishaps import MEANS
from ranloop.statistics import LEVEL

__all__ = ("together_page",)


def together_page(found: Together, command: str) -> str:
    """The page.

    Args:
        command: That writes it.
    """
    lines = [
        "# All xApps together, and each one in trouble",
        "",
        f"Written by `{command}`. What runs and what is claimed stands in `together.toml` beside the xApps. Nothing was tuned on the drops;",
        f"all arms meet the same positions, fading, sessions and packets. Intervals are over drops, {100 * LEVEL:g} % each; the verdicts on the",
        "claims of one comparison hold together ([compare.md](compare.md)).",
        "",
        *_joint(found.joint),
        "",
        *_fail_safe(found.fail_safe),
    ]
    return "\n".join(lines) + "\n"


def _joint(joint: Joint) -> Iterator[str]:
    yield "## All together"
    yield ""
    yield f'{joint.n} drops of the world "{joint.world}", {joint.measured_s:g} s each. Every xApp acts through the same guard, with equal priority.'
    yield ""
    yield f"| KPI | {' | '.join(joint.arms)} | together less nothing | reads |"
    yield "|---" * (len(joint.arms) + 3) + "|"
    for figure in joint.figures:
        spec = f"+,.{figure.digits}f"
        means = " | ".join(_number(mean, figure.digits) for mean in figure.means)
        difference = f"{figure.difference:{spec}} [{figure.low:{spec}}, {figure.high:{spec}}]"
        yield f"| {figure.kpi}, {figure.unit} | {means} | {difference} | {figure.reads} |"
    yield ""
    yield "What is claimed: all together are as good as the best single xApp of each KPI, but for a margin."
    yield ""
    yield "| claim | best single xApp | its mean | together | difference | verdict |"
    yield "|---|---|---|---|---|---|"
    for change, best in zip(joint.claims, joint.best, strict=True):
        means = f"{_number(change.rule, change.digits)} | {_number(change.ours, change.digits)}"
        yield f"| {change.what} | {best} | {means} | {_difference(change)} | {change.word} |"
    yield ""
    yield "### Oscillation"
    yield ""
    yield "A *change* gives a target's setting another value. It is a *reversal* if it turns back what the last change of that target did within"
    yield f"{joint.reversal_s:g} s: a parameter that had risen falls, or the other way. The definition is ours, after the ping-pong of TR 36.839 (a handover"
    yield "back within the minimum time of stay). Means of a drop; a reversal counts for the xApp that turns back."
    yield ""
    yield "| xApp | changes alone | together | reversals alone | together | difference |"
    yield "|---|---|---|---|---|---|"
    for one in joint.oscillations:
        difference = f"{one.difference:+,.1f} [{one.low:+,.1f}, {one.high:+,.1f}]"
        yield (
            f"| {one.xapp} | {one.changes_alone:,.1f} | {one.changes_together:,.1f} | {one.reversals_alone:,.1f} | "
            f"{one.reversals_together:,.1f} | {difference} |"
        )
    yield ""
    yield "| changed by | turned back by | reversals a drop, together |"
    yield "|---|---|---|"
    for first, second, n in joint.pairs:
        yield f"| {first} | {second} | {n:,.1f} |"
    yield ""
    yield "### Conflicts"
    yield ""
    others = [one for one in joint.refusals if one.because_of]
    rest = [one for one in joint.refusals if not one.because_of]
    yield f"{'Some targets were' if others else 'No target was'} refused because another xApp held it."
    if joint.refusals:
        yield "All refusals, in all drops together:"
        yield ""
        yield "| xApp | action | cause | because of | targets | in its words |"
        yield "|---|---|---|---|---|---|"
        for refusal in [*others, *rest]:
            yield (
                f"| {refusal.xapp} | {refusal.action} | {refusal.cause} | {refusal.because_of} | {refusal.n:,} | "
                f"{_cell(refusal.text)} |"
            )


def _fail_safe(fail_safe: FailSafe) -> Iterator[str]:
    yield "## Each one in trouble"
    yield ""
    yield (
        f'{fail_safe.n} drops of the world "{fail_safe.world}". Each xApp runs alone and well for {fail_safe.begins_s:g} s; then the mishap begins, and '
        f"{fail_safe.measured_s:g} s"
    )
    yield "are measured. The difference is to the network in which nothing runs."
    yield ""
    for kind, meaning in MEANS.items():
        leases = PROMISED_LEASES.get(kind)
        promise = "nothing is promised" if leases is None else f"defaults within {_leases(leases)}"
        yield f"- *{kind}*: {meaning}; {promise}."
    yield ""
    yield "*Away* are the settings that were not at their default when the mishap began, mean of a drop; *back* is the time until all were for good, in"
    yield "the slowest drop; the lease is the longest that was asked for."
    yield ""
    claims = fail_safe.trials[0].claims if fail_safe.trials else ()
    yield (
        "| xApp | mishap | away | lease, s | back, s | in time | "
        + " | ".join(one.what for one in claims)
        + " |"
    )
    yield "|---" * (6 + len(claims)) + "|"
    for trial in fail_safe.trials:
        judged = " | ".join(f"{_difference(one)} ({one.word})" for one in trial.claims)
        back = "never" if math.isinf(trial.back_s) else f"{trial.back_s:.2f}"
        yield f"| {trial.xapp} | {trial.mishap} | {trial.n_away:.1f} | {trial.lease_s:g} | {back} | {_in_time(trial)} | {judged} |"
    yield ""
    yield f"Where it fails: {_failures(fail_safe.trials) or 'in none of these.'}"
    undecided = [
        f"{trial.xapp}, {trial.mishap}" for trial in fail_safe.trials if trial.verdict == "undecided"
    ]
    if undecided:
        yield f"A claim is not decided by {fail_safe.n} drops: {'; '.join(undecided)}."


def _leases(n: int) -> str:
    return "the lease" if n == 1 else f"{n} leases"


def _in_time(trial: Trial) -> str:
    if math.isinf(trial.within_s):
        return ""
    return "yes" if trial.back_s <= trial.within_s else "**no**"


def _failures(trials: Sequence[Trial]) -> str:
    found = []
    for trial in (trial for trial in trials if trial.verdict == "fails"):
        late = ["not back in time"] if trial.back_s > trial.within_s else []
        lost = [f"{change.what} (refuted)" for change in trial.claims if change.shown == "no"]
        found.append(f"{trial.xapp}, {trial.mishap}: {', '.join([*late, *lost])}")
    return "; ".join(found) + "." if found else ""


def _cell(text: str) -> str:
    """Foreign words in a cell of a table."""
    return text.replace("|", "/")


def _number(value: float, digits: int) -> str:
    return "" if math.isnan(value) else f"{value:,.{digits}f}"


def _difference(change: Change) -> str:
    spec = f"+,.{change.digits}f"
    text = f"{change.difference:{spec}} [{change.low:{spec}}, {change.high:{spec}}] {change.unit}"
    share = change.rule > 0 and change.unit != "%"
    return text + (f", {100 * change.difference / change.rule:+.1f} %" if share else "")
