"""`ranloop model …`: the verbs about model packages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ranloop.cli.options import LOCAL_BUS, BusUrl, Json, Trusted

__all__ = ("model_app",)

Folder = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="A model package: card.toml and an ONNX file.")
]

model_app = typer.Typer(
    help="Model packages: make, check, sign, verify and show them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@model_app.command()
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE.onnx", help="The model, of any framework.")],
    facts: Annotated[
        Path, typer.Argument(metavar="FACTS.toml", help="The fields of its card; the hash is filled in.")
    ],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the package goes.")],
    trained_on: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.npy|FILE.csv",
            help="The inputs it learned from, a column for each feature: the card gets their ranges and histograms.",
        ),
    ] = None,
    json_output: Json = False,
) -> None:
    """Make a package of an ONNX file: try it out, check it against its card, write both.

    A fitted scikit-learn estimator is exported in Python, by ranloop.inference.export.export_package.
    """
    from ranloop.cli.model import export_model

    raise typer.Exit(export_model(file, facts, folder, trained_on=trained_on, json_output=json_output))


@model_app.command()
def check(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER", help="Model packages.")],
    provider: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="cpu | openvino | cuda | tensorrt | reference: compute the card's golden inputs there, too; repeatable. "
            "Default: cpu. 1 if an answer is another one than at the export.",
        ),
    ] = None,
    json_output: Json = False,
) -> None:
    """Read packages, run each in a process of its own, and say what its card lacks and what --trust would refuse."""
    from ranloop.cli.model import check_models

    raise typer.Exit(check_models(folders, provider or ["cpu"], json_output=json_output))


@model_app.command()
def key(
    file: Annotated[
        Path, typer.Argument(metavar="NAME.pem", help="The private key to make; NAME.pub.pem goes beside it.")
    ],
    json_output: Json = False,
) -> None:
    """Make a pair of keys to sign with. The public one goes into the folders of --trust, the private one nowhere."""
    from ranloop.cli.model import new_key

    raise typer.Exit(new_key(file, json_output=json_output))


@model_app.command()
def sign(
    folder: Folder,
    key: Annotated[Path, typer.Option("--key", metavar="NAME.pem", help="Your private key, Ed25519 in PEM.")],
    json_output: Json = False,
) -> None:
    """Sign a package that `check` finds sound: write signature.json with the hashes of its files."""
    from ranloop.cli.model import sign_model

    raise typer.Exit(sign_model(folder, key, json_output=json_output))


@model_app.command()
def verify(
    folder: Folder,
    trust: Trusted = None,
    json_output: Json = False,
) -> None:
    """Say whether a host or runner with --trust DIR would run a package: 0 it would, 1 it would not."""
    from ranloop.cli.model import verify_model

    raise typer.Exit(verify_model(folder, trust, json_output=json_output))


@model_app.command()
def cuts(
    folder: Folder,
    tiers: Annotated[Path, typer.Option("--tiers", metavar="tiers.toml", help="The tiers file.")],
    ask: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TIER", help="A tier that may compute the tail; repeatable. Default: all above."
        ),
    ] = None,
    wire: Annotated[str, typer.Option(metavar="f32|u8", help="Form of what is sent.")] = "f32",
    level: Annotated[
        str, typer.Option(metavar="LEVEL", help="Of the reports that it is asked about: cell, ue, slice, …")
    ] = "ue",
    json_output: Json = False,
) -> None:
    """Show where a model can be cut in two, and whether a split pays: its time at each tier for every cut."""
    from ranloop.cli.model_cuts import show_cuts

    raise typer.Exit(show_cuts(folder, tiers, ask or [], wire=wire, level=level, json_output=json_output))


Where = Annotated[str, typer.Argument(metavar="HOST|NODE", help="A host, or one of its nodes.")]
XAppName = Annotated[str, typer.Argument(metavar="XAPP", help="Name of the running xApp.")]
ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="Name of the model in its manifest.")]


@model_app.command()
def deploy(
    where: Where,
    xapp: XAppName,
    model: ModelName,
    folder: Annotated[
        str, typer.Argument(metavar="FOLDER", help="The new package, as the xApp's process finds it.")
    ],
    shadow: Annotated[
        bool, typer.Option("--shadow", help="Ask it, too, and count how its answers differ. The default.")
    ] = False,
    canary: Annotated[
        str, typer.Option(metavar="10%", help="Let it answer for a share of the targets.")
    ] = "",
    claim: Annotated[
        str,
        typer.Option(
            "--while",
            metavar="CLAIM",
            help='Roll a canary back when its targets refute this against the others: "DRB.UEThpDl at most 5% less".',
        ),
    ] = "",
    everywhere: Annotated[
        bool, typer.Option("--all", help="Let it answer; the manifest's model stands in where it does not.")
    ] = False,
    bus: BusUrl = LOCAL_BUS,
    json_output: Json = False,
) -> None:
    """Bring a new model to a running xApp, which loses no report by it; it is rolled back by itself if it proves unfit."""
    from ranloop.cli.model_orders import deploy_model

    place = where, xapp, model
    raise typer.Exit(
        deploy_model(
            place,
            folder,
            bus,
            shadow=shadow,
            canary=canary,
            claim=claim,
            everywhere=everywhere,
            json_output=json_output,
        )
    )


@model_app.command()
def terminate(
    where: Where,
    xapp: XAppName,
    model: ModelName,
    bus: BusUrl = LOCAL_BUS,
    json_output: Json = False,
) -> None:
    """Stop a model of a running xApp: the ladder of its budget answers, or nothing."""
    from ranloop.cli.model_orders import terminate_model

    raise typer.Exit(terminate_model((where, xapp, model), bus, json_output=json_output))


@model_app.command()
def show(
    folder: Folder,
    sbom: Annotated[
        bool, typer.Option("--sbom", help="Print a CycloneDX 1.6 bill of materials in JSON instead.")
    ] = False,
    json_output: Json = False,
) -> None:
    """Show the card: inputs with unit and range seen in training, outputs, training, metrics, operators."""
    from ranloop.cli.model import show_model

    raise typer.Exit(show_model(folder, sbom=sbom, json_output=json_output))
