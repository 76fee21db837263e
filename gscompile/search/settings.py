"""The settings of the search: the options of `delete-groups`, and every constant of its rules with unit and source."""

from __future__ import annotations

from dataclasses import dataclass

# The constant learning rate of a recovery, relative to that of a round. ResNet-20 loses 47.7 points at 3 x 1e-3; rates
# are therefore tried at this scale, too (training/learning_rate.py).
RECOVERY_LR_SCALE = 3.0
# Time of a training step with batch normalization reinserted, relative to a plain step. Measured on ResNet-20: 1.4, and
# 1.6 where a third of its cells is left.
BATCH_NORM_STEP_TIME = 1.5


@dataclass(frozen=True)
class SearchSettings:
    """The numbers that the rules of the search use. Scores are in percentage points, times are relative.

    No measurement is on record for a constant that has none beside it.
    """

    # -- Options of `delete-groups`. A share is a share of the price of the network (`--minimize`).
    step: float = 0.25  # share that the first round removes
    round_epochs: float = 1.0  # epochs of fine-tuning in a round
    recovery_epochs: float = 6.0  # epochs of a recovery
    recovery_lr_scale: float = RECOVERY_LR_SCALE  # times the learning rate of a round
    min_step: float = 0.05  # share; the search ends when its step is smaller
    curve_slack: float = 1.0  # points below the budget at which the trajectory of a frontier ends
    prune_units: bool = True  # whole channels, neurons and ranks may go as well as rows and columns of tiles
    clip_ranks: bool = True  # a round clips ranks instead where that costs less
    reinsert_batch_norm: bool = True  # in recoveries of networks of eight convolutions or more

    # -- Size of a step (step_size.py). Growth and `start_errors` brought LeNet in 150 s to 2.57 % of its cells; it was
    # 22.6 % before.
    step_growth: float = 1.5  # of a round's step after a round whose score is within the budget
    max_step_growth: float = 2.0  # times `step`

    # -- End of a trajectory (stop_rules.py)
    start_errors: float = 1.0  # standard errors below the budget at which a network is recovered before any round
    stop_errors: float = 1.0  # standard errors below the budget at which rounds end
    # The same before the first recovery, which gains more because the network was not yet trained for long. With 1, two
    # of three searches of ResNet-20 ended their first trajectory before half of the wires were gone.
    first_stop_errors: float = 2.0
    # Share of the saving at which a recovery failed; rounds end before they reach it. ConvNet spent 9 minutes on
    # failing again at 27,590 cells after 27,683.
    failed_saving_share: float = 0.95

    # -- Recovery (recovery.py)
    recovery_parts: int = 3  # the first part trains at a constant learning rate, the others anneal it
    midpoint_gain: float = 0.5  # of the gap to the budget, which the first part must close
    midpoint_errors: float = 2.0  # standard errors short of that which are tolerated: a constant rate adds noise
    restart_growth: float = 2.0  # times the epochs of the last annealing (SGDR's T_mult, Loshchilov and Hutter 2017)
    min_restart_gain: float = 0.5  # of what is still missing, which the last annealing must have gained

    # -- Time (time_plan.py). One recovery at the planned length is the unit.
    max_recovery_share: int = 3  # one recovery plans for at most 1 / 3 of the time that is left when the search starts
    round_time: float = 1.3  # a round (about 1/6), the recovery after it, and a tenth to spare
    first_round_time: float = 0.75  # a round and the shortest recovery; with 1.3 ResNet-20 left 20 of 100 min. unused
    min_recovery_time: float = 0.5  # the shortest recovery worth a try, reserved where a larger candidate waits
    usable_time: float = 0.9  # of the time that is left; the rest is for scoring and for steps that take longer

    # -- Without fine-tuning (strategy.py)
    untuned_max_share: float = 0.5  # largest share that is deleted without fine-tuning
    untuned_trials: int = 6  # bisection steps, to 1 / 128 of the network
