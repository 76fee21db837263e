"""Einsum equations with one constant operand, read as a product with matrices.

A label of the weight is a *batch* label (in the data and in the output as well), is *contracted* (in the data only)
or *free* (in the output only). With its axes in the order batch, contracted, free the weight is a matrix [contracted,
free] for each batch: `bsd,dhk->bshk` multiplies by [d, h * k], `bhsk,hdk->bhsd` by a [k, d] for each h.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_TERM = r"[A-Za-z ]*(\.\.\.[A-Za-z ]*)?"
_NOTATION = re.compile(rf"{_TERM}(,{_TERM})*(->{_TERM})?")


@dataclass(frozen=True)
class EinsumProduct:
    """`data` x `weight` -> `output`, all as labels; `index` is the weight's place among the operands."""

    index: int
    weight: str
    data: str
    output: str
    batch: str
    contracted: str
    free: str

    @property
    def transposed(self) -> bool:
        """Whether the weight holds [batch, free, contracted] as it is."""
        return self._usual != self.weight == self.batch + self.free + self.contracted

    @property
    def _usual(self) -> str:
        return self.batch + self.contracted + self.free

    @property
    def order(self) -> tuple[int, ...]:
        """The axes of the weight as [batch, contracted, free]; none where it is a matrix as it is, either way round."""
        usual = self.transposed or self._usual == self.weight
        return () if usual else tuple(map(self.weight.index, self._usual))

    def split(self) -> tuple[str, str]:
        """Equations for a product with u first, then with v; the rank's label is new, and last between the two."""
        rank = next(letter for letter in _LETTERS if letter not in self.data + self.output + self.weight)
        between = "".join(label for label in self.data if label not in self.contracted) + rank
        u = self.batch + (rank + self.contracted if self.transposed else self.contracted + rank)
        v = self.batch + (self.free + rank if self.transposed else rank + self.free)
        return self._equation(self.data, u, between), self._equation(between, v, self.output)

    def _equation(self, data: str, weight: str, output: str) -> str:
        terms = (weight, data) if self.index == 0 else (data, weight)
        return f"{','.join(terms)}->{output}"


def follows(u: EinsumProduct, v: EinsumProduct) -> bool:
    """Whether the output of u is, axis by axis, what v contracts with its matrices, one for each of u."""
    one = len(u.free) == len(v.contracted) == 1
    return one and _kinds(u.output, u.batch, u.free) == _kinds(v.data, v.batch, v.contracted)


def _kinds(term: str, batch: str, last: str) -> list[str]:
    return [str(batch.index(x)) if x in batch else "rank" if x in last else "." if x == "." else "other" for x in term]


def permutation(term: str, rank: int, batch: str, last: str) -> list[int]:
    """How to transpose a tensor with these labels so that `batch` comes first and `last` last, in their order.

    >>> permutation("b...hd", 5, "h", "d")
    [3, 0, 1, 2, 4]
    """
    before, _, after = term.partition("...")
    axis = {x: i for i, x in enumerate(before)} | {x: rank - len(after) + i for i, x in enumerate(after)}
    first, end = [axis[x] for x in batch], [axis[x] for x in last]
    return [*first, *(i for i in range(rank) if i not in first and i not in end), *end]


def is_equation(text: str) -> bool:
    """Whether it is of the notation: letters, one "..." in a term at most, commas and an arrow. ONNX asks no more.

    >>> is_equation("...ij, jk -> ...ik"), is_equation("ij,jk>ik")
    (True, False)
    """
    return _NOTATION.fullmatch(text) is not None


def parse_product(equation: str, index: int) -> EinsumProduct | None:
    """The equation as a product with the constant operand `index`; None where it is not one of matrices.

    >>> parse_product("bsd,dhk->bshk", 1).free
    'hk'
    """
    left, arrow, output = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != 2 or not 0 <= index < 2:
        return None
    weight, data = terms[index], terms[1 - index]
    if not arrow:
        output = _implied(terms)
    plain = [term.replace("...", "") for term in (weight, data, output)]
    if "..." in weight or any(max(Counter(term).values(), default=1) > 1 for term in plain):
        return None
    return _product(index, weight, data, output)


def _implied(terms: list[str]) -> str:
    """The output of an equation without an arrow: labels that occur once, sorted, behind the dots."""
    count = Counter(label for term in terms for label in term.replace("...", ""))
    dots = "..." if any("..." in term for term in terms) else ""
    return dots + "".join(sorted(label for label, times in count.items() if times == 1))


def _product(index: int, weight: str, data: str, output: str) -> EinsumProduct | None:
    batch = "".join(x for x in weight if x in data and x in output)
    contracted = "".join(x for x in weight if x in data and x not in output)
    free = "".join(x for x in weight if x not in data and x in output)
    if not contracted or any(x not in output for x in data if x not in contracted):
        return None  # an outer product, or a sum over the data alone
    if len(batch + contracted + free) != len(weight):
        return None  # a sum over the weight alone
    return EinsumProduct(
        index=index, weight=weight, data=data, output=output, batch=batch, contracted=contracted, free=free
    )
