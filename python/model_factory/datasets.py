"""Datasets that can be named: built from events, label assertions and an as-of cut."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from model_factory import _display, _tables
from model_factory._progress import reporting

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from model_factory._context import Context
    from model_factory.features import Feature

__all__ = ["Dataset", "Datasets"]


@dataclass(frozen=True)
class Dataset:
    """A dataset by its manifest, which pins every byte.

    Attributes
    ----------
    manifest : dict
        The ``dataset_manifest`` document.
    reference : dict
        ``uri`` and ``digest`` of the manifest: what a request names.
    """

    manifest: dict[str, Any] = field(repr=False)
    reference: dict[str, str]

    def __repr__(self) -> str:
        return f"<Dataset {self.id}: {self.rows:,} rows>"

    @property
    def id(self) -> str:
        """Identity of the data: equal content, equal id."""
        return str(self.manifest["dataset_manifest_id"])

    @property
    def rows(self) -> int:
        """Number of events."""
        return sum(int(partition["rows"]) for partition in self.manifest["partitions"])

    @property
    def label_counts(self) -> dict[str, int]:
        """Number of events by what is known of their label at the cut."""
        basis = self.manifest["label_basis"]
        return {name: basis[name] for name in ("positive", "negative", "censored", "conflicting", "immature")}

    @property
    def feature_names(self) -> list[str]:
        """Names of the features, in column order."""
        return [feature["name"] for feature in self.manifest["feature_definition_set"]["features"]]

    def _repr_html_(self) -> str:
        return _display.html("dataset_html", self.manifest)


class Datasets:
    """The datasets of a factory."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def build(  # noqa: PLR0913 - each with a name
        self,
        *,
        events: Any,
        labels: Any,
        event_id: str,
        event_time: str,
        label_asof: str | datetime,
        features: Sequence[Feature],
        label_family: str = "label",
        maturity_days: int = 0,
        feature_set: tuple[str, str] = ("features", "1"),
        entities: Iterable[str] = (),
        slices: Iterable[str] = (),
        weight: str | None = None,
        privacy_classes: Mapping[str, str] | None = None,
        naive_times_are_utc: bool = False,
        partition_rows: int | None = None,
        label_columns: tuple[str, str, str, str] = ("event_id", "value", "effective_time", "observed_time"),
        positive_values: Iterable[int] = (1,),
        negative_values: Iterable[int] = (0,),
    ) -> Dataset:
        """Build a dataset: the same rows and arguments give the same dataset, whatever held the rows.

        Parameters
        ----------
        events : dataframe, Arrow table, mapping of arrays, or Parquet paths
            One row an event.
        labels : dataframe, Arrow table, mapping of arrays, or Parquet paths
            One row an assertion about an event's label; see ``label_columns``.
        event_id, event_time : str
            Columns of the events' names and times.
        label_asof : str or datetime
            The cut: nothing observed after it is used. Such as ``"2018-08-15T00:00:00Z"``.
        features : sequence of Feature
            In column order; see ``model_factory.features``.
        label_family : str
            What is labelled, such as ``"card_fraud"``.
        maturity_days : int
            Days that a label needs before it counts as final.
        feature_set : tuple of str
            Name and version of the features.
        entities, slices : iterable of str
            Further columns that are kept: of entities, and of numbers to group rows by in reports.
        weight : str, optional
            Column that says how much each row counts.
        privacy_classes : mapping, optional
            What columns say about a person: ``"none"``, ``"pseudonymous"``, ``"personal"``, ``"sensitive"``.
        naive_times_are_utc : bool
            Whether times without a zone are UTC; they are refused otherwise.
        partition_rows : int, optional
            Most rows of one Parquet file.
        label_columns : tuple of str
            Columns of the labels: event id, value, when it became true, when it became known.
        positive_values, negative_values : iterable of int
            Label values that make an event positive, and negative; true and false count as 1 and 0.

        Raises
        ------
        InputAdmissionError, LeakageError, ExecutionError
            Naming the table and column, with nothing written: ``PARAMETER_INVALID``, ``COLUMN_MISSING``,
            ``COLUMN_TYPE_INVALID``, ``NULL_NOT_ALLOWED``, ``DATASET_EMPTY``, ``SHAPE_MISMATCH``,
            ``SOURCE_UNREADABLE``, ``NON_FINITE_INPUT``, ``DUPLICATE_EVENT``, ``LABEL_ASOF_IN_FUTURE``,
            ``FEATURE_AFTER_EVENT``,
            ``RESOURCE_EXHAUSTED``.
        """
        set_id, set_version = feature_set
        spec: dict[str, Any] = {
            "platform_run_id": self._context.defaults.platform_run_id,
            "event_id": event_id,
            "event_time": event_time,
            "naive_times_are_utc": naive_times_are_utc,
            "entities": sorted(set(entities)),
            "labels": _tables.label_spec(
                label_columns,
                (positive_values, negative_values),
                _tables.moment(label_asof, "label_asof"),
                maturity_days=maturity_days,
                family=label_family,
            ),
            "feature_definition_set": {"feature_set_id": set_id, "feature_set_version": set_version},
            "features": [feature.document() for feature in features],
            "slices": sorted(set(slices)),
            "weight": weight,
            "privacy_classes": dict(privacy_classes or {}),
            "config_revision": self._context.defaults.config_revision,
        }
        if partition_rows is not None:
            spec["partition_rows"] = partition_rows
        with reporting(self._context.progress) as report:
            manifest, reference = self._context.native.build_dataset(
                json.dumps(spec),
                _tables.table(events, "events", _event_columns(spec)),
                _tables.table(labels, "labels", label_columns),
                progress=report,
            )
        return Dataset(json.loads(manifest), json.loads(reference))

    def open(self, uri: str, digest: str) -> Dataset:
        """Open a dataset by reference and digest; "latest" does not exist.

        Raises
        ------
        ResolutionError
            ``MANIFEST_UNRESOLVED``, ``MANIFEST_DIGEST_MISMATCH``, ``MANIFEST_INVALID``.
        """
        manifest = self._context.native.document("dataset_manifest", uri, digest)
        return Dataset(json.loads(manifest), {"uri": uri, "digest": digest})


def _event_columns(spec: Mapping[str, Any]) -> list[str]:
    """Columns of the events that a request needs."""
    of_features = [
        feature["definition"].get(key) for feature in spec["features"] for key in ("entity", "column")
    ]
    named = [spec["event_id"], spec["event_time"], spec["weight"]]
    return [name for name in (*named, *spec["entities"], *of_features, *spec["slices"]) if name is not None]
