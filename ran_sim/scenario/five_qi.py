"""5QIs: delay budget, resource type and priority level of TS 23.501 V17 Table 5.7.4-1, and the core network's part of the budget."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# Packet delay budget in ms between the UE and the UPF.
PACKET_DELAY_BUDGET_MS: Final[Mapping[int, float]] = {
    # GBR, then non-GBR, then delay-critical GBR
    1: 100, 2: 150, 3: 50, 4: 300, 65: 75, 66: 100, 67: 100, 71: 150, 72: 300, 73: 300, 74: 500, 76: 500,
    5: 100, 6: 300, 7: 100, 8: 300, 9: 300, 10: 1100, 69: 60, 70: 200, 79: 50, 80: 10,
    82: 10, 83: 10, 84: 30, 85: 5, 86: 5, 87: 5, 88: 10, 89: 15, 90: 20,
}  # fmt: skip
# The core network's part of the budget (same table, notes): 20 ms; 10 ms for mission critical classes (note 7), less for
# classes that are served near the edge.
CORE_DELAY_MS: Final[Mapping[int, float]] = {
    65: 10,
    69: 10,
    70: 10,
    80: 2,
    82: 1,
    83: 2,
    84: 5,
    85: 2,
    86: 2,
    87: 1,
    88: 1,
    89: 1,
    90: 1,
}
DEFAULT_CORE_DELAY_MS: Final = 20.0
GBR_5QI: Final = frozenset({1, 2, 3, 4, 65, 66, 67, 71, 72, 73, 74, 76, *range(82, 91)})
DELAY_BOUND_5QI: Final = frozenset({1, 2, 3, 4, 7, 65, 66, 67, 71, 72, 73, 74, 76, 79, 80, *range(82, 91)})
# Default priority level: lower is served first.
PRIORITY_LEVEL: Final[Mapping[int, int]] = {
    1: 20, 2: 40, 3: 30, 4: 50, 65: 7, 66: 20, 67: 15, 71: 56, 72: 56, 73: 56, 74: 56, 76: 56,
    5: 10, 6: 60, 7: 70, 8: 80, 9: 90, 10: 90, 69: 5, 70: 55, 79: 65, 80: 68,
    82: 19, 83: 22, 84: 24, 85: 21, 86: 18, 87: 25, 88: 25, 89: 25, 90: 25,
}  # fmt: skip
