"""`python -m ran_sim` is the command `ran_sim`."""

from ran_sim.tools.cli import main

if __name__ == "__main__":
    main()
