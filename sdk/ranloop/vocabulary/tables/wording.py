"""Definitions that several tables share, word for word."""

from __future__ import annotations

# When there is no value.
NEVER = "never: a count of 0 is a value"
NO_DELIVERY = "no SDU of the row was delivered in the period"
NO_VOLUME = "no downlink volume was delivered in the period"
CELL_ASLEEP = "the cell was not active in the period"
NO_REPORT = "no report from the UE so far"
NOT_LOGGED = "the log has no reading at that second"

# Which open stacks send it, and at which E2SM-KPM level. Levels as the stacks register them; report style
# 1 carries the node level, 4 (the one that most xApps use) the UE level.
OCUDU_NODE_UE = "ocudu DU: node and UE level"
OCUDU_ALL = "ocudu DU: node, UE and QoS-flow level"
