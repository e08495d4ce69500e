"""Every way in which the factory refuses.

There are few kinds and many codes: a class for each thing that a caller would do differently, and a stable
code for each promise that was not kept. ``docs/codes.md`` lists the codes and what to do about them.

>>> import model_factory as mf
>>> try:
...     mf.documents.schema("oracle")
... except mf.errors.ModelFactoryError as error:
...     error.code
<Code.PARAMETER_INVALID: 'PARAMETER_INVALID'>
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from model_factory import _shown
from model_factory.codes import EXIT_STATUS, Code

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "Code",
    "DataError",
    "EvidenceError",
    "ExecutionError",
    "FeatureSchemaError",
    "ImmutabilityError",
    "InputAdmissionError",
    "LeakageError",
    "ModelFactoryError",
    "NotFittedError",
    "Problem",
    "PublishError",
    "PublishNotEligible",
    "RegistryError",
    "ResolutionError",
]


class Problem(TypedDict):
    """One place that is not as it should be; shows shapes, never values."""

    pointer: str
    expected: str
    found: str


class ModelFactoryError(Exception):
    """A refusal with its stable code.

    Attributes
    ----------
    code : Code
        Which promise was not kept.
    category : str
        The group of the code: what kind of action it asks for.
    retryable : bool
        Whether the same call may succeed later with nothing changed.
    detail : str
        What happened, in a sentence.
    problems : list of dict
        Every place found wrong, each with ``pointer``, ``expected`` and ``found``.
    hint : str
        What to do about it.
    """

    def __init__(
        self,
        message: str,
        *,
        code: Code,
        category: str,
        retryable: bool,
        detail: str,
        problems: Sequence[Problem],
        hint: str,
    ) -> None:
        # Tracebacks are written to terminals; the detail stays as it was recorded.
        super().__init__(_shown.lines(message))
        self.code = code
        self.category = category
        self.retryable = retryable
        self.detail = detail
        self.problems = list(problems)
        self.hint = hint

    @property
    def exit_status(self) -> int:
        """Status that the command line exits with."""
        return EXIT_STATUS[self.category]

    def __reduce__(self) -> tuple[object, ...]:
        """Exceptions cross processes, as in scikit-learn's parallel searches."""
        said = (self.detail, self.problems, self.hint)
        return build, (str(self), self.code.value, self.category, self.retryable, *said)


class InputAdmissionError(ModelFactoryError, ValueError):
    """What was handed in cannot be taken: mend the request, document, argument or data."""


class NotFittedError(InputAdmissionError, AttributeError):
    """The estimator has no model yet; an ``AttributeError`` too, as in scikit-learn."""


class ResolutionError(ModelFactoryError):
    """Something that is referred to is not there, not what was pinned, or does not fit together."""


class FeatureSchemaError(ResolutionError, ValueError):
    """The features at hand are not those that are asked for."""


class LeakageError(ModelFactoryError):
    """Knowledge from the future, or of the test rows, would reach the training."""


class EvidenceError(ModelFactoryError):
    """What should prove a result is missing, changed or says otherwise: do not trust it."""


class ImmutabilityError(ModelFactoryError):
    """Other bytes already stand where something should go; nothing was changed."""


class ExecutionError(ModelFactoryError):
    """The work itself could not be done."""


class DataError(ExecutionError, ValueError):
    """The values at hand cannot be worked on: one class alone, or numbers that are none."""


class PublishError(ModelFactoryError):
    """The bundle was not published."""


class PublishNotEligible(PublishError):  # noqa: N818 - a verdict, not a malfunction
    """The gate said FAIL; its receipt names the criteria."""


class RegistryError(ModelFactoryError):
    """The registry refuses the change, or has nothing to answer with."""


_BY_CATEGORY: dict[str, type[ModelFactoryError]] = {
    "INPUT_ADMISSION": InputAdmissionError,
    "RESOLUTION": ResolutionError,
    "LEAKAGE": LeakageError,
    "EVIDENCE": EvidenceError,
    "IMMUTABILITY": ImmutabilityError,
    "EXECUTION": ExecutionError,
    "PUBLISH": PublishError,
    "REGISTRY": RegistryError,
}
_BY_CODE: dict[Code, type[ModelFactoryError]] = {
    Code.DEGENERATE_LABELS: DataError,
    Code.FEATURE_SCHEMA_INCOMPATIBLE: FeatureSchemaError,
    Code.NON_FINITE_INPUT: DataError,
    Code.NOT_FITTED: NotFittedError,
    Code.PUBLISH_NOT_ELIGIBLE: PublishNotEligible,
}


def build(  # noqa: PLR0917 - the native module calls it by position
    message: str,
    code: str,
    category: str,
    retryable: bool,  # noqa: FBT001
    detail: str,
    problems: Sequence[Problem],
    hint: str,
) -> ModelFactoryError:
    """Make the exception for a failure of the core; for the native module."""
    stable = Code(code)
    kind = _BY_CODE.get(stable, _BY_CATEGORY[category])
    return kind(
        message,
        code=stable,
        category=category,
        retryable=retryable,
        detail=detail,
        problems=problems,
        hint=hint,
    )
