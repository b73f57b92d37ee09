"""Verbs that measure what an xApp gains, and tune it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ranloop.cli.options import Json, Limits, NodeProfile, On, Overrides, Processes

__all__ = ("experiment_app",)

experiment_app = typer.Typer()


def _of_arm(metavar: str, what: str) -> Any:
    return typer.Option(metavar=metavar, help=f"{what}; repeatable.")


@experiment_app.command()
def compare(
    a: Annotated[
        str,
        typer.Argument(
            metavar="A", help="xApp folders joined by +, each perhaps FOLDER@REVISION of git; or: nothing."
        ),
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="The same; what is claimed is claimed of B.")],
    node: Annotated[str, typer.Option("--node", help="A simulated node, e.g. sim:seven-sites.")],
    seeds: Annotated[str, typer.Option(help="The drops: 1..16 or 1,2,5.")] = "1..16",
    claim: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            help='A claim about B, e.g. "best_effort_mbps more" or "satisfied at most 2% less"; repeatable.',
        ),
    ] = None,
    set_a: Annotated[list[str] | None, _of_arm("NAME=VALUE", "An xApp setting of arm A")] = None,
    set_b: Annotated[list[str] | None, _of_arm("NAME=VALUE", "An xApp setting of arm B")] = None,
    model_a: Annotated[list[str] | None, _of_arm("NAME=FOLDER", "A model package of arm A")] = None,
    model_b: Annotated[list[str] | None, _of_arm("NAME=FOLDER", "A model package of arm B")] = None,
    override_a: Annotated[list[str] | None, _of_arm("FIELD=VALUE", "A scenario field of arm A")] = None,
    override_b: Annotated[list[str] | None, _of_arm("FIELD=VALUE", "A scenario field of arm B")] = None,
    override: Overrides = None,
    duration_s: Annotated[
        float | None,
        typer.Option(help="RAN seconds of a drop, warm-up included; default: the scenario's length."),
    ] = None,
    warmup_s: Annotated[
        float | None,
        typer.Option(help="RAN seconds at a drop's begin that do not count; default: the scenario's."),
    ] = None,
    limits: Limits = None,
    profile: NodeProfile = "",
    handler_delay: Annotated[
        str,
        typer.Option(
            metavar="MS", help="RAN time that each step of an xApp takes, in which it misses reports."
        ),
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Keep each finished drop here, for the same call to go on, and write results.parquet and report.html.",
        ),
    ] = None,
    on: On = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N", help="Run only the I-th of N parts of the drops into --out, as a batch job."
        ),
    ] = None,
    merge: Annotated[
        bool,
        typer.Option("--merge", help="Run nothing: judge what shards left in --out, if nothing is missing."),
    ] = False,
    json_output: Json = False,
) -> None:
    """Run two arms on the same simulated drops and say what B changes, with intervals and a verdict on each claim.

    Exit code: 0 all claims are shown (or none is made), 2 wrong input, 3 a claim is refuted, 4 one is undecided.
    """
    from ranloop.cli.arms import TypedArm
    from ranloop.cli.compare import run_compare
    from ranloop.cli.compare_where import Where

    first = TypedArm(
        letter="A", text=a, settings=set_a or [], models=model_a or [], overrides=override_a or []
    )
    second = TypedArm(
        letter="B", text=b, settings=set_b or [], models=model_b or [], overrides=override_b or []
    )
    raise typer.Exit(
        run_compare(
            (first, second),
            node,
            seeds=seeds,
            overrides=override or [],
            duration_s=duration_s,
            warmup_s=warmup_s,
            claims=claim or [],
            profile=profile,
            limits=limits,
            handler_delay=handler_delay,
            where=Where.typed(out, on=on, shard=shard, merge=merge),
            json_output=json_output,
        )
    )


@experiment_app.command()
def train(
    folder: Annotated[
        Path, typer.Argument(help="xApp or model folder, with plan.toml and train.py.", metavar="FOLDER")
    ],
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="CONTENDER", help="Tune this rule or model alone; repeatable."),
    ] = None,
    processes: Processes = None,
    on: On = None,
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Tune only the I-th of N parts of the contenders, as a batch job."),
    ] = None,
    json_output: Json = False,
) -> None:
    """Tune rules and models with the same budget on simulated drops, and write the winner with its card.

    What is found is kept in FOLDER/journal: the same call goes on where a training was stopped.
    """
    from ranloop.cli.train_command import run_train

    raise typer.Exit(
        run_train(folder, only=only or [], processes=processes, on=on, shard=shard, json_output=json_output)
    )
