"""Scheduling rules of one's own."""


def max_weight(
    weight: float,
    rate: float,
    average_bits: float,
    age_slots: float,
    budget_slots: float,
    delay_bound: float,
    priority_level: float,
    backlog_bytes: float,
    idle_slots: float,
    gbr_deficit_bits: float,
    mean_urgency: float,
) -> float:
    """The longest queue times the best channel: stable whenever any rule is, and blind to delay budgets."""
    return weight * rate * backlog_bytes
