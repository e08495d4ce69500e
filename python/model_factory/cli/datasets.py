"""``dataset build``: Parquet files and a request in TOML or JSON become a dataset that can be named."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_factory import _requests
from model_factory import features as define
from model_factory.cli.answer import Answer, facts
from model_factory.cli.options import opened, refuse, verb

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from model_factory.cli.options import Options, Verbs
    from model_factory.datasets import Dataset

__all__ = ["add"]

DESCRIPTION = """\
Build a dataset of events and a timeline of label assertions, as of a cut.

SPEC holds the arguments of factory.datasets.build, and each feature as a table:

  event_id = "event_id"
  event_time = "time"
  label_asof = "2024-03-16T00:00:00Z"
  label_family = "card_fraud"
  maturity_days = 7
  features = [
    {column = "amount"},
    {window = "30d", entity = "customer", aggregate = "mean", column = "amount"},
    {window = "30d", entity = "terminal", aggregate = "rate", delay = "7d", name = "terminal_risk"},
    {weekend = true, name = "weekend"},
    {hours = [0, 6], name = "night"},
  ]
"""

ARGUMENTS = (
    "entities",
    "event_id",
    "event_time",
    "feature_set",
    "features",
    "label_asof",
    "label_columns",
    "label_family",
    "maturity_days",
    "naive_times_are_utc",
    "partition_rows",
    "privacy_classes",
    "slices",
    "weight",
)


def add(verbs: Verbs) -> None:
    """Add the verbs."""
    group = verbs.add_parser("dataset", help="build a dataset", description="Build a dataset.")
    inner = group.add_subparsers(title="commands", metavar="COMMAND", required=True)
    build = verb(inner, "build", _build, "build a dataset of Parquet files", description=DESCRIPTION)
    build.add_argument("spec", type=Path, metavar="SPEC", help="request as TOML or JSON")
    build.add_argument("--events", type=Path, nargs="+", required=True, metavar="FILE", help="Parquet files")
    build.add_argument("--labels", type=Path, nargs="+", required=True, metavar="FILE", help="Parquet files")
    build.add_argument("--threads", type=int, metavar="N", help="threads to use; all where it is left out")


def _build(options: Options) -> Answer:
    spec = _requests.mapping(options.spec, "SPEC")
    unknown = sorted(set(spec) - set(ARGUMENTS))
    if unknown:
        refuse("PARAMETER_INVALID", f"/{unknown[0]}", "one of " + ", ".join(ARGUMENTS), "another name")
    spec["features"] = _features(spec.get("features"))
    with opened(options, make=True, threads=options.threads) as factory:
        try:
            dataset = factory.datasets.build(events=options.events, labels=options.labels, **spec)
        except TypeError as error:
            refuse("PARAMETER_INVALID", "SPEC", "the arguments of factory.datasets.build", str(error))
    return _answer(dataset)


def _features(tables: object) -> list[define.Feature]:
    """Give the features of a request, each from its table."""
    if not isinstance(tables, list):
        refuse("PARAMETER_INVALID", "/features", "a list of tables", type(tables).__name__)
    return [_feature(table, f"/features/{place}") for place, table in enumerate(tables)]


def _feature(table: object, pointer: str) -> define.Feature:
    given: dict[str, Any] = dict(table) if isinstance(table, dict) else {}
    match given:
        case {"window": str(length), "entity": str(entity), "aggregate": str(aggregate)}:
            known = ("window", "entity", "aggregate", "delay", "column", "name")
            _only(given, known, pointer)
            window = define.window(entity, length, delay=str(given.get("delay", "0d")))
            return _aggregate(window, aggregate, given, pointer)
        case {"weekend": True}:
            _only(given, ("weekend", "name"), pointer)
            return define.weekend(given.get("name", "weekend"))
        case {"hours": [int(first), int(last)]}:
            _only(given, ("hours", "name"), pointer)
            return define.hours(first, last, given.get("name"))
        case {"column": str(column)}:
            _only(given, ("column", "name"), pointer)
            return define.column(column, given.get("name"))
    expected = "a feature's table, as `dataset build --help` shows"
    return refuse("PARAMETER_INVALID", pointer, expected, "another")


def _aggregate(
    window: define.Window, aggregate: str, given: Mapping[str, Any], pointer: str
) -> define.Feature:
    column, name = given.get("column"), given.get("name")
    alone = {"count": window.count, "rate": lambda name: window.rate("label", name)}
    alone["time_since_last"] = window.time_since_last
    of_column = {each: getattr(window, each) for each in ("sum", "mean", "min", "max", "std")}
    if column is None and aggregate in alone:
        return alone[aggregate](name)
    if column is not None and aggregate in of_column:
        made: define.Feature = of_column[aggregate](column, name)
        return made
    known = "count, rate, time_since_last, or with a column sum, mean, min, max, std"
    return refuse("PARAMETER_INVALID", f"{pointer}/aggregate", known, "another")


def _only(given: Mapping[str, Any], names: Sequence[str], pointer: str) -> None:
    unknown = sorted(set(given) - set(names))
    if unknown:
        refuse("PARAMETER_INVALID", f"{pointer}/{unknown[0]}", "one of " + ", ".join(names), "another name")


def _answer(dataset: Dataset) -> Answer:
    document = {
        "reference": dict(dataset.reference),
        "name": "dataset_manifest",
        "dataset_manifest_id": dataset.id,
        "rows": dataset.rows,
        "label_counts": dict(dataset.label_counts),
    }
    counted = ", ".join(f"{name} {value:,}" for name, value in dataset.label_counts.items())
    text = [("dataset", dataset.id), ("rows", f"{dataset.rows:,}"), ("labels", counted)]
    text += [("uri", dataset.reference["uri"]), ("digest", dataset.reference["digest"])]
    return Answer(document, facts(text))
