"""Compares the simulator with closed forms, specification tables and published figures; `ran_sim calibrate` prints it."""
