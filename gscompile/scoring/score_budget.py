"""The accuracy budget as numbers: the score that a network must keep, and by how much chance may move a score."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gscompile.scoring.metrics import standard_error

TIE = 1e-9  # points; a score that equals the limit but for floating-point rounding is within the budget
WRITTEN_TIE = 1e-6  # points; the same for scores of onnxruntime, whose sums may be in another order than torch's


@dataclass(frozen=True)
class ScoreBudget:
    """The score that a compressed network must keep on the validation data. Scores are percentages.

    Args:
        base: Score of the original network.
        max_drop: Points that may be lost (`--max-drop`); infinite if only a size is asked for.
        margin: Standard errors to stay within `max_drop` by (`--margin`).
        samples: Number of validation samples.
        standard_error: Standard error of a score at the limit of the budget, in points. It is 0 where outputs are
            compared closely. Near 100 % it is larger than the standard error of `base`, which has fewer errors.
        tuning_loss: Points that a short fine-tuning costs the original network itself. A candidate whose score is
            lower by no more than that is expected to reach `min_score` in a long fine-tuning.
    """

    base: float
    max_drop: float
    margin: float = 0.0
    samples: int = 0
    standard_error: float = 0.0
    tuning_loss: float = 0.0

    @classmethod
    def of(
        cls, base: float, max_drop: float, margin: float = 0.0, *, samples: int, is_exact: bool = False
    ) -> ScoreBudget:
        """Return the budget of a score on so many samples; `is_exact` if chance plays no part in the score.

        >>> ScoreBudget.of(base=91.0, max_drop=1.0, margin=2.0, samples=900).min_score
        91.999999999
        """
        error = 0.0 if is_exact else standard_error(base - max_drop, samples)
        return cls(base=base, max_drop=max_drop, margin=margin, samples=samples, standard_error=error)

    @property
    def margin_points(self) -> float:
        """Return the margin in points."""
        return self.margin * self.standard_error

    @property
    def min_score(self) -> float:
        """Return the lowest score within the budget. Unseen samples may score lower than the validation samples."""
        return self.base - self.max_drop + self.margin_points - TIE

    @property
    def recoverable_score(self) -> float:
        """Return the score above which a long fine-tuning is expected to reach `min_score`."""
        return self.min_score - self.tuning_loss

    def met(self, score: float) -> bool:
        """Return True if a score is within the budget.

        >>> ScoreBudget(base=91.0, max_drop=1.0).met(90.0), ScoreBudget(base=91.0, max_drop=1.0).met(89.9)
        (True, False)
        """
        return score >= self.min_score

    def below(self, score: float, n_errors: float = 0.0) -> bool:
        """Return True if a score is more than `n_errors` standard errors below `recoverable_score`.

        >>> budget = ScoreBudget(base=91.0, max_drop=1.0, standard_error=0.5, tuning_loss=0.25)
        >>> budget.below(89.3, n_errors=1), budget.below(89.2, n_errors=1)
        (False, True)
        """
        return score < self.recoverable_score - n_errors * self.standard_error

    def met_by_written(self, score: float, base: float) -> bool:
        """Return True if a written file loses at most `max_drop` points; both scores are of onnxruntime."""
        return score >= base - self.max_drop - WRITTEN_TIE

    def half(self) -> ScoreBudget:
        """Return the budget of passes that leave half of the points to later ones, without the margin."""
        return replace(self, max_drop=self.max_drop / 2, margin=0.0)
