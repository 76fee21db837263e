"""A crossbar with resistive lines, solved exactly: Kirchhoff's currents at two nodes a cell, sparse.

Row r is driven at its left end through one segment of line, column c is held at 0 V below the last row through one
segment; between neighbouring cells of a row or column there is a segment of `segment_ohm`.

Row r is driven at its left end through one segment of line, column c is held at 0 V below the last row
through one segment; between neighbouring cells there is a segment of `segment_ohm` each way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # scipy.sparse takes 0.2 s to import, and lines without resistance do not need it
    from scipy import sparse

Array = NDArray[np.float64]


def transfer(conductance: Array, row_ohm: float, col_ohm: float | None = None) -> Array:
    """Return the current out of column c for one volt on row r alone, [rows, cols] in siemens.

    `conductance` [rows, cols] is that of the cells; `row_ohm` and `col_ohm` are the resistance of one segment of a word
    line and a bit line. By superposition, the currents for voltages v [n, rows] are v @ transfer. Without line
    resistance the result is `conductance`.

    >>> transfer(np.array([[1.0]]), 1.0).round(6).tolist()
    [[0.333333]]
    """
    col_ohm = row_ohm if col_ohm is None else col_ohm
    if row_ohm == 0 == col_ohm:
        return conductance.copy()
    floor = 1e-12  # ohm, in the place of 0 if only one kind of line has resistance
    lines = 1 / max(row_ohm, floor), 1 / max(col_ohm, floor)
    found = solve_line_by_line(conductance, *lines)
    return solve_sparse(conductance, *lines) if found is None else found


def solve_line_by_line(conductance: Array, g_row: float, g_col: float, sweeps: int = 40) -> Array | None:
    """Solve word lines and bit lines in turn (block Gauss-Seidel), all lines of one kind at once.

    The error shrinks by about (cells in a line)^2 x segment x conductance each time, far below 1 for real lines.
    Returns None if it does not converge to 1e-13.
    """
    rows, cols = conductance.shape
    words = np.linalg.inv(_chains(conductance, g_row, 0))  # [rows, cols, cols]
    bits = np.linalg.inv(_chains(conductance.T, g_col, rows - 1))  # [cols, rows, rows]
    sense = np.zeros((cols, rows, cols))  # [column, row, which column is sensed]
    sense[np.arange(cols), rows - 1, np.arange(cols)] = 1
    word = np.zeros((rows, cols, cols))
    for _ in range(sweeps):
        bit = bits @ (sense + conductance.T[:, :, None] * word.swapaxes(0, 1))
        before, word = word, words @ (conductance[:, :, None] * bit.swapaxes(0, 1))
        if np.abs(word - before).max() <= 1e-13 * np.abs(word).max():
            return np.asarray(word[:, 0] * g_row * g_col)
    return None


def _chains(conductance: Array, g: float, grounded: int) -> Array:
    """Return the nodal matrices of lines of segments g, one for each row; node `grounded` has one segment more."""
    lines, nodes = conductance.shape
    chain = np.diag(np.full(nodes, 2 * g)) - np.diag(np.full(nodes - 1, g), 1) - np.diag(np.full(nodes - 1, g), -1)
    chain[0, 0] -= g
    chain[-1, -1] -= g
    chain[grounded, grounded] += g
    return np.broadcast_to(chain, (lines, nodes, nodes)) + conductance[:, :, None] * np.eye(nodes)


def solve_sparse(conductance: Array, g_row: float, g_col: float) -> Array:
    """Solve by a sparse factorization of all nodes: slower than iteration, and always converges."""
    from scipy.sparse.linalg import splu

    rows, cols = conductance.shape
    matrix = _nodal_matrix(conductance, g_row, g_col)
    sense = np.zeros((2 * rows * cols, cols))  # unit vectors at the last node of every column
    sense[rows * cols + (rows - 1) * cols + np.arange(cols), np.arange(cols)] = 1
    voltages = splu(matrix).solve(sense)  # symmetric matrix: by reciprocity one solution per column gives all rows
    at_drivers = voltages[np.arange(rows) * cols]
    return np.asarray(at_drivers * g_row * g_col)


def _nodal_matrix(conductance: Array, g_row: float, g_col: float) -> sparse.csc_matrix:
    """Return the conductance matrix of the nodes: word line nodes (r, c) first, then bit line nodes (r, c)."""
    from scipy import sparse

    rows, cols = conductance.shape
    word = np.arange(rows * cols).reshape(rows, cols)
    bit = word + rows * cols
    edges = [
        (word[:, :-1], word[:, 1:], np.full((rows, cols - 1), g_row)),
        (bit[:-1], bit[1:], np.full((rows - 1, cols), g_col)),
        (word, bit, conductance),
    ]
    a = np.concatenate([e[0].ravel() for e in edges])
    b = np.concatenate([e[1].ravel() for e in edges])
    g = np.concatenate([np.broadcast_to(e[2], e[0].shape).ravel() for e in edges])
    grounds = np.concatenate([word[:, 0], bit[-1]])
    to_ground = np.concatenate([np.full(rows, g_row), np.full(cols, g_col)])
    entries = np.concatenate([-g, -g, g, g, to_ground])
    i, j = np.concatenate([a, b, a, b, grounds]), np.concatenate([b, a, a, b, grounds])
    size = 2 * rows * cols
    return sparse.coo_matrix((entries, (i, j)), shape=(size, size)).tocsc()
