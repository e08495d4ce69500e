"""Scoring with a bundle, its features checked against the bundle's schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from model_factory import _arrays, _tables
from model_factory.features import Feature
from model_factory.runs import Bundle

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from model_factory import _native
    from model_factory._context import Context

__all__ = ["Model"]


class Model:
    """A model that is loaded from its bundle and verified.

    Attributes
    ----------
    bundle : Bundle
        What it was loaded from.
    """

    def __init__(self, loaded: _native.LoadedModel, bundle: Bundle) -> None:
        self._loaded = loaded
        self.bundle = bundle

    @classmethod
    def load(cls, context: Context, reference: dict[str, str]) -> Model:
        """Load the bundle that a reference pins.

        Raises
        ------
        EvidenceError
            ``EVIDENCE_UNRESOLVED``, ``EVIDENCE_DIGEST_MISMATCH``, ``MODEL_INVALID``,
            ``GATE_DECISION_MISMATCH``.
        """
        return cls(context.native.load(**reference), Bundle.read(context, reference))

    def __repr__(self) -> str:
        return f"<Model of {self.bundle.id} over {len(self.feature_names)} features>"

    @property
    def feature_names(self) -> list[str]:
        """Names of the features, in the model's order."""
        return self._loaded.feature_names

    @property
    def features(self) -> list[Feature]:
        """How the features are computed, in the model's order: for ``model_factory.features.compute``.

        Their events are the history that the windows reach back to and those to be scored.
        """
        pinned = self.bundle.document["feature_definition_set"]["features"]
        definitions = {each["name"]: each["definition"] for each in pinned}
        return [Feature(name, definitions[name]) for name in self.feature_names]

    def predict_proba(self, features: Any) -> NDArray[np.float64]:
        """Give the probability of the positive class for each row, of shape (rows,).

        Parameters
        ----------
        features : dataframe, Arrow table, mapping of arrays, or array of shape (rows, features)
            Columns are found by name and others left out; those of an array stand in the model's order.
            Null and NaN are missing values.

        Raises
        ------
        ResolutionError
            ``FEATURE_SCHEMA_INCOMPATIBLE``, naming every feature that is absent or is no column of numbers.
        ExecutionError
            ``NON_FINITE_INPUT`` for an infinity, or a missing value where the model takes none.
        """
        if _arrays.is_plain(features):
            return self._loaded.score_matrix(features)
        named = isinstance(features, Mapping) or type(features).__module__.split(".")[0] == "pandas"
        if named or hasattr(features, "__arrow_c_stream__") or hasattr(features, "__arrow_c_array__"):
            return self._loaded.score_table(_tables.table(features, "features", self.feature_names))
        return self._loaded.score_matrix(_arrays.matrix(features, "features"))
