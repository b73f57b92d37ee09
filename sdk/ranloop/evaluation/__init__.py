"""What xApps claim over their best tuned rule, what drops that nothing was tuned on say of it, and the page of all results."""

from ranloop.evaluation.claimed import CLAIMS_FILE, Claimed, read_claimed
from ranloop.evaluation.page import page
from ranloop.evaluation.result import Change, Place, Result, judged_place, verdict

__all__ = (
    "CLAIMS_FILE",
    "Change",
    "Claimed",
    "Place",
    "Result",
    "judged_place",
    "page",
    "read_claimed",
    "verdict",
)
