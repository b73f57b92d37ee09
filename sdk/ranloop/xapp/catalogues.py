"""What the nodes say of themselves, for an xApp's handlers: cells and their neighbours, slices, places of the antennas."""

from __future__ import annotations

from ranloop.wire.messages import Catalogue, Report

__all__ = ("Catalogues",)


class Catalogues:
    """The newest catalogue of each node, from `XApp.catalogues`.

    A runner hands a report to the handlers only after it knows the catalogue of the report's node. A live node that was
    restarted may report before its new catalogue comes; until then its former one counts.
    """

    def __init__(self) -> None:
        self._nodes: dict[str, Catalogue] = {}

    def of(self, report: Report) -> Catalogue:
        """The catalogue of the node that sent `report`.

        Raises:
            RuntimeError: None has come; only in a test, which hands it over by `XAppHarness.know`.
        """
        try:
            return self._nodes[report.node]
        except KeyError:
            raise RuntimeError(
                f"no catalogue of {report.node!r} has come; a test hands it over with XAppHarness.know(Catalogue(…))"
            ) from None

    def know(self, catalogue: Catalogue) -> None:
        """Take in a catalogue; the runner's call."""
        self._nodes[catalogue.node] = catalogue

    def fit(self, report: Report) -> bool:
        """Whether the catalogue that the report's host has announced with this run is known."""
        known = self._nodes.get(report.node)
        return known is not None and known.run == report.run
