"""What xApps claim over their best tuned rule, what drops that nothing was tuned on say of it, and the page of all results;
all acting xApps on one network, and each one in trouble."""

from ranloop.evaluation.claimed import CLAIMS_FILE, Claimed, read_claimed
from ranloop.evaluation.joint import Together, judge_fail_safe, judge_joint
from ranloop.evaluation.page import page
from ranloop.evaluation.result import Change, Place, Result, judged_place, verdict
from ranloop.evaluation.together import TogetherPlan, read_together
from ranloop.evaluation.together_page import together_page

__all__ = (
    "CLAIMS_FILE",
    "Change",
    "Claimed",
    "Place",
    "Result",
    "Together",
    "TogetherPlan",
    "judge_fail_safe",
    "judge_joint",
    "judged_place",
    "page",
    "read_claimed",
    "read_together",
    "together_page",
    "verdict",
)
