"""The simulator held against closed forms, specification tables and published figures; `ran_sim calibrate` prints it."""
