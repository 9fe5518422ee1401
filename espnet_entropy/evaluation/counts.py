"""Counts per utterance that add up: what figures and their bootstrap are made from.

Legend: U utterances, R resamples.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclasses.dataclass(frozen=True)
class SummedCounts:
    """Base of dataclasses whose every field is a count (``bootstrap.Counts``).

    Fields are scalars, or arrays with one element per utterance or resample. Counts add up over
    utterances, figures do not: pool first, then read a figure.
    """

    def columns(self) -> list[Any]:
        """The counts in the order of the attributes."""
        return [getattr(self, field.name) for field in dataclasses.fields(self)]

    def pooled(self) -> Self:
        """The sum over utterances."""
        return type(self)(*(np.sum(column) for column in self.columns()))

    def weighted(self, weights: np.ndarray) -> Self:
        """Sums over weighted utterances.

        Args:
            weights: (R, U), how often resample r holds utterance u.

        Returns:
            Counts whose every element is (R,) float64.
        """
        return type(self)(*(weights @ np.stack(self.columns(), axis=1)).T)


def ratio(above: Any, below: Any) -> Any:
    """``above / below``, NaN where there is nothing to divide by."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.divide(np.asarray(above, np.float64), np.asarray(below, np.float64))
    return np.where(np.isfinite(found), found, np.nan)[()]
