"""What people start: the `ran_sim` command, sweeps, the effect of one action."""
