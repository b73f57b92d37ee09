"""The scheduler of a cell: metrics, claims, choice, shares of slices, transport blocks."""
