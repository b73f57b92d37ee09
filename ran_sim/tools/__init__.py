"""Programs for people: the `ran_sim` command, sweeps, the effect of one action."""
