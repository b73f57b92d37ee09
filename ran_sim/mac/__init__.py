"""The scheduler of a cell: metrics, bids, choice, shares of slices, transport blocks."""
