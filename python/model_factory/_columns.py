"""Columns as callers name them, by position or by name, as the positions that the native module takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from model_factory import _arrays, _native

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Columns:
    """The columns of a fit, which hyper-parameters name by position or, of a dataframe, by name."""

    def __init__(self, names: NDArray[np.object_] | None, count: int) -> None:
        self._positions = {} if names is None else {name: at for at, name in enumerate(names)}
        self._count = count

    def directions(self, given: Any) -> dict[str, int]:
        """Give the direction of each column that has one, by position."""
        if isinstance(given, dict):
            if not all(isinstance(name, str) for name in given):
                raise _native.refusal("PARAMETER_INVALID", "monotonic_cst", "names of columns", "other keys")
            pairs = [(self._position(name, "monotonic_cst"), each) for name, each in given.items()]
        else:
            found = np.asarray(given)
            if found.shape != (self._count,):
                shape = f"an array of shape {found.shape}"
                raise _native.refusal("PARAMETER_INVALID", "monotonic_cst", "one for each column", shape)
            pairs = [(str(at), each) for at, each in enumerate(found.tolist())]
        return {at: _arrays.whole(each, "monotonic_cst", -1, 1) for at, each in pairs}

    def groups(self, given: Any) -> list[list[str]]:
        """Give groups of positions without repetitions, as the core takes them."""
        name, expected = "interaction_cst", '"pairwise", "no_interactions", or groups of columns'
        try:
            groups = [list(group) for group in given]
        except TypeError:
            raise _native.refusal("PARAMETER_INVALID", name, expected, "something else") from None
        positions = {tuple(sorted({self._position(key, name) for key in group})) for group in groups}
        return [list(group) for group in sorted(positions)]

    def several(self, given: Any, parameter: str) -> list[str]:
        """Give the positions of different columns, which may be given as a mask of all columns too."""
        keys = np.asarray(given, dtype=object)
        expected = f"different ones of {self._count} columns, by position or by name, or a mask of all"
        if keys.ndim != 1:
            raise _native.refusal("PARAMETER_INVALID", parameter, expected, "something else")
        if len(keys) == self._count and all(isinstance(key, (bool, np.bool_)) for key in keys):
            return [str(at) for at in np.flatnonzero(keys)]
        positions = [self._position(key, parameter) for key in keys]
        if len(set(positions)) < len(positions):
            raise _native.refusal("PARAMETER_INVALID", parameter, expected, "one twice")
        return positions

    def _position(self, key: Any, parameter: str) -> str:
        at = self._positions.get(key) if isinstance(key, str) else key
        if isinstance(at, (int, np.integer)) and not isinstance(at, bool) and 0 <= at < self._count:
            return str(int(at))
        expected = f"columns of X, by name where it has names, or from 0 to {self._count - 1}"
        raise _native.refusal("PARAMETER_INVALID", parameter, expected, "another")
