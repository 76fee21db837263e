"""Recovery: a long fine-tuning at a high learning rate, which is then annealed, to bring a network into the budget.

The shape is that of SGDR (Loshchilov and Hutter 2017): annealing restarts for twice as long while it closes the gap.
"""

from __future__ import annotations

from gscompile.compression.passes import Context
from gscompile.graph.network import Network
from gscompile.scoring.score_budget import ScoreBudget
from gscompile.search.settings import SearchSettings
from gscompile.search.time_plan import TimePlan

ScoredNetwork = tuple[Network, float]  # the score is on the validation data, in percent


def recover(
    network: Network, score: float, context: Context, settings: SearchSettings, is_last: bool = True
) -> ScoredNetwork:
    """Return a network fine-tuned for long, as far as there is time, with its new score.

    The first third trains at a constant, high learning rate. If it closes half of the gap between `score` and the
    budget, the learning rate is annealed in the other two thirds; otherwise the recovery is given up there. Unless
    `is_last`, time is reserved for the recovery of a larger candidate.
    """
    part = TimePlan(context, settings).affordable_epochs(is_last) / settings.recovery_parts
    tuned, new_score = _train_at_high_rate(network, part, score, context, settings)
    if is_promising(new_score, score, context.budget, settings):
        return _anneal(tuned, (settings.recovery_parts - 1) * part, score, context, settings, is_last)
    return tuned, new_score


def is_promising(new_score: float, score: float, budget: ScoreBudget, settings: SearchSettings) -> bool:
    """Return True if the part at a constant rate has closed half of the gap to the budget, within standard errors.

    >>> budget = ScoreBudget(base=91.0, max_drop=1.0, standard_error=0.5)
    >>> is_promising(86.5, 85.0, budget, SearchSettings()), is_promising(86.4, 85.0, budget, SearchSettings())
    (True, False)
    """
    target = budget.recoverable_score
    wanted = min(target, settings.midpoint_gain * (score + target))
    return new_score >= wanted - settings.midpoint_errors * budget.standard_error


def _train_at_high_rate(
    network: Network, epochs: float, score: float, context: Context, settings: SearchSettings
) -> ScoredNetwork:
    """Return a network trained at the rate of recoveries; at the plain rate, from then on, if that does harm."""
    trainer, plan = context.required_trainer(), TimePlan(context, settings)
    lr_scale = _lr_scale(context, settings)
    tuned = trainer.tune(network, epochs, lr=lr_scale, normalize=plan.reinserts_batch_norm)
    new_score = _scored(tuned, context)
    is_harmful = new_score < score and not is_promising(new_score, score, context.budget, settings)
    if is_harmful and lr_scale > 1 and not context.out_of_time():
        trainer.limit_lr_scale(1.0)
        return _train_at_high_rate(network, epochs, score, context, settings)
    return tuned, new_score


def _anneal(
    network: Network, epochs: float, score: float, context: Context, settings: SearchSettings, is_last: bool
) -> ScoredNetwork:
    """Return the best of networks trained while the learning rate falls to zero, each for twice as long as the last.

    Annealing restarts if the last one gained at least half of what is still missing.
    """
    trainer, plan = context.required_trainer(), TimePlan(context, settings)
    best: ScoredNetwork | None = None
    while True:
        network = trainer.anneal(network, epochs, _lr_scale(context, settings), plan.reinserts_batch_norm)
        new_score = _scored(network, context)
        if best is None or new_score > best[1]:
            best = network, new_score
        missing, gained = context.budget.min_score - new_score, new_score - score
        reserved = plan.reserved_seconds(is_last)
        longer = min(settings.restart_growth * epochs, plan.epochs_in(context.time_left() - reserved))
        if not 0 < settings.min_restart_gain * missing <= gained or longer <= epochs:
            return best
        epochs, score = longer, new_score


def _lr_scale(context: Context, settings: SearchSettings) -> float:
    return min(settings.recovery_lr_scale, context.required_trainer().max_lr_scale)


def _scored(network: Network, context: Context) -> float:
    """Return the score of a network, which is shown to the user."""
    score = context.required_trainer().score(network)
    context.show(network, score)
    return score
