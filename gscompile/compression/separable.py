"""A convolution's kernel taken apart along its axes, as mathematics: arrays in, arrays out.

The weight of a convolution, a matrix W [(channel, y, x), output], is folded to one [(channel, y), (x, output)]. What is
of low rank there is a convolution along y and then one along x (Jaderberg, Vedaldi and Zisserman 2014). Natural filters
are smooth: at as many cells they keep more of what they do than where ranks are those of W itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gscompile.compression.decomposition import Array, Spectrum, spectrum


@dataclass(frozen=True, eq=False)
class MeasuredSpectrum:
    """A matrix taken apart in one metric, and what its ranks cost in another: `loss` is measured, rank by rank."""

    spectrum: Spectrum
    loss: Array

    def factors(self, rank: int) -> tuple[Array, Array]:
        """u [n, rank] and v [rank, m], balanced."""
        return self.spectrum.factors(rank)


def separable_spectrum(w: Array, inputs: Array, outputs: Array, taps: int, ridge: float = 1e-4) -> MeasuredSpectrum:
    """The spectrum of w [n, m] folded to [n / taps, taps * m], under moments [n, n] and output curvature [m, m].

    The metric of the folded matrix is the product nearest to it: the moments of a tap, on average, by the correlation
    of the taps. The losses are those of the whole metric.
    """
    near, across = moments_apart(inputs, taps)
    found = spectrum(w.reshape(len(near), -1), near, np.kron(across, outputs).astype(np.float64), ridge)
    return MeasuredSpectrum(found, _losses(found, inputs, outputs, taps))


def moments_apart(inputs: Array, taps: int) -> tuple[Array, Array]:
    """Moments [n, n] as those of a tap [n / taps, n / taps] and the correlation of the taps [taps, taps].

    >>> near, across = moments_apart(np.kron(np.diag([2.0, 1.0]), [[1.0, 0.5], [0.5, 1.0]]), 2)
    >>> near.tolist(), across.tolist()
    ([[2.0, 0.0], [0.0, 1.0]], [[1.0, 0.5], [0.5, 1.0]])
    """
    apart = inputs.reshape(-1, taps, len(inputs) // taps, taps)
    near, across = np.einsum("ikjk->ij", apart) / taps, np.einsum("ikil->kl", apart)
    return near, across * (taps / (np.trace(across) or 1.0))


def _losses(found: Spectrum, inputs: Array, outputs: Array, taps: int) -> Array:
    """What it costs to drop the components from r on, for every r: the norm of their sum in the whole metric.

    Of components that share a metric the squares add up; here each has something of the others.
    """
    u, rank = found.left * found.values, len(found.values)
    v = found.right.reshape(rank, taps, len(outputs))
    apart = inputs.reshape(len(u), taps, len(u), taps)
    left = np.einsum("hi,hkgl,gj->ikjl", u, apart, u, optimize=True)
    right = np.einsum("ikm,mn,jln->ikjl", v, outputs, v, optimize=True)
    gram = np.einsum("ikjl,ikjl->ij", left, right)
    tails = np.cumsum(np.cumsum(gram[::-1, ::-1], axis=0), axis=1)
    return np.append(np.maximum(tails.diagonal()[::-1], 0.0), 0.0)
