"""Training: rules and models of a folder tuned with the same budget, on drops that are kept apart from those that judge."""

from ranloop.training.card import write_card, write_defaults
from ranloop.training.contender import Arms, Contender, Parameter, Point, Score
from ranloop.training.outcome import Outcome, Winner
from ranloop.training.plan import Drop, Drops, Plan, World, read_plan
from ranloop.training.run import Training, train, tuned_arm
from ranloop.training.users_first import UsersFirst

__all__ = (
    "Arms",
    "Contender",
    "Drop",
    "Drops",
    "Outcome",
    "Parameter",
    "Plan",
    "Point",
    "Score",
    "Training",
    "UsersFirst",
    "Winner",
    "World",
    "read_plan",
    "train",
    "tuned_arm",
    "write_card",
    "write_defaults",
)
