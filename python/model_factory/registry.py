"""The registry: what is published, what is ACTIVE, and the verbs that change it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from model_factory import _arguments, _native
from model_factory.runs import Bundle, id_of
from model_factory.scoring import Model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from model_factory._context import Context

__all__ = ["Registry", "Resolution"]


@dataclass(frozen=True)
class Resolution:
    """What serves a scope, with the proof.

    Attributes
    ----------
    document : dict
        The ``resolution`` document.
    """

    document: dict[str, Any]
    _context: Context = field(repr=False, compare=False)

    def __repr__(self) -> str:
        serves = ", ".join(self.reason_codes) if self.bundle_id is None else self.bundle_id
        return f"<Resolution {self.outcome}: {serves}>"

    @property
    def outcome(self) -> str:
        """``RESOLVED``, ``SAFE_FALLBACK`` or ``FAIL_CLOSED``."""
        return str(self.document["outcome"])

    @property
    def reason_codes(self) -> list[str]:
        """Why the scope's own bundle does not serve; empty where it does."""
        return list(self.document["reason_codes"])

    @property
    def bundle_id(self) -> str | None:
        """The bundle that serves."""
        return cast("str | None", self.document["bundle_id"])

    @property
    def generation(self) -> int | None:
        """Place in the scope's history of the event that made the bundle active."""
        return cast("int | None", self.document["generation"])

    def load(self) -> Model:
        """Load the model that serves.

        Raises
        ------
        RegistryError
            ``NO_ACTIVE_BUNDLE`` where nothing is active.
        ModelFactoryError
            The code of why an active bundle may not serve: ``EVIDENCE_DIGEST_MISMATCH``,
            ``SIGNATURE_INVALID``, ``BUNDLE_INCOMPATIBLE`` and the like.
        """
        reference = self.document["bundle"]
        if reference is None:
            barred = [code for code in self.reason_codes if code != "NO_ACTIVE_BUNDLE"]
            code = barred[0] if barred else "NO_ACTIVE_BUNDLE"
            raise _native.refusal(code, "scope", "a bundle that may serve", ", ".join(self.reason_codes))
        return Model.load(self._context, reference)


class Registry:
    """The registry of a factory. Every verb gives the event that it recorded.

    A scope is ``environment/mode/bundle_slot``, optionally ``/tenant``; an actor is the factory's principal
    where none is named; a reason is 1 to 2,000 characters of one line, without control characters.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._native = context.native.registry

    def __repr__(self) -> str:
        return f"<Registry of the factory in {str(self._context.place.root)!r}>"

    def approve(self, bundle: Bundle | str, *, reason: str, actor: str | None = None) -> dict[str, Any]:
        """Vouch for a published bundle.

        Raises
        ------
        RegistryError
            ``BUNDLE_NOT_FOUND``, ``BUNDLE_RETIRED``, ``ACTOR_NOT_ALLOWED``, ``FOUR_EYES_VIOLATION``.
        """
        return _event(self._native.approve(*self._act(bundle, actor, reason)))

    def promote(self, bundle: Bundle | str, *, reason: str, actor: str | None = None) -> dict[str, Any]:
        """Make a published bundle the ACTIVE one of its scope.

        Raises
        ------
        RegistryError
            ``BUNDLE_NOT_FOUND``, ``BUNDLE_RETIRED``, ``ACTOR_NOT_ALLOWED``, ``APPROVAL_MISSING``,
            ``FOUR_EYES_VIOLATION``, ``SCOPE_CONFLICT``.
        ExecutionError
            ``INVALID_TRANSITION`` where it is ACTIVE already: a verb is an event, and this would be none.
        """
        return _event(self._native.promote(*self._act(bundle, actor, reason)))

    def retire(self, bundle: Bundle | str, *, reason: str, actor: str | None = None) -> dict[str, Any]:
        """Take a bundle out of service for good.

        Raises
        ------
        RegistryError
            ``BUNDLE_NOT_FOUND``, ``BUNDLE_RETIRED``, ``ACTOR_NOT_ALLOWED``, ``SCOPE_CONFLICT``.
        """
        return _event(self._native.retire(*self._act(bundle, actor, reason)))

    def rollback(self, scope: str, *, reason: str, actor: str | None = None) -> dict[str, Any]:
        """Make the bundle that was ACTIVE before the present one was promoted ACTIVE again.

        Done again it goes further back, never to what was rolled back from; retired bundles are left out.
        Under four eyes the bundle's approver cannot bring it back.

        Raises
        ------
        RegistryError
            ``NO_ACTIVE_BUNDLE`` where there is none to return to, ``ACTOR_NOT_ALLOWED``,
            ``FOUR_EYES_VIOLATION``, ``SCOPE_CONFLICT``.
        """
        return _event(
            self._native.rollback(
                _arguments.text(scope, "scope"), *self._context.defaults.acting(actor, reason)
            )
        )

    def history(self, scope: str) -> list[dict[str, Any]]:
        """Give the scope's events, oldest first, checked as a chain."""
        return [_event(event) for event in self._native.history(_arguments.text(scope, "scope"))]

    def resolve(
        self,
        scope: str,
        *,
        fallback: Bundle | str | None = None,
        available: Sequence[str] | None = None,
    ) -> Resolution:
        """Say what serves a scope: its ACTIVE bundle, for a tenant else the one for all, else the fallback.

        Parameters
        ----------
        scope : str
            Such as ``prod/card/primary``.
        fallback : Bundle or str, optional
            Published bundle that serves where the scope has none: of the same environment, of no other
            tenant, not retired, and approved where its profile asks for an approval.
        available : sequence of str, optional
            Features at hand; a bundle that needs others does not serve.
        """
        named = None if fallback is None else id_of(fallback)
        names = None if available is None else _arguments.texts(available, "available")
        answer = self._native.resolve(_arguments.text(scope, "scope"), named, names)
        return Resolution(json.loads(answer), self._context)

    def find(self, bundle_id: str) -> Bundle:
        """Give a published bundle by its id.

        Raises
        ------
        RegistryError
            ``BUNDLE_NOT_FOUND``.
        """
        return Bundle.read(self._context, json.loads(self._native.find(id_of(bundle_id))))

    def _act(self, bundle: Bundle | str, actor: str | None, reason: str) -> tuple[str, str, str, str]:
        """Give scope, bundle, actor and reason as the native verbs take them."""
        found = bundle if isinstance(bundle, Bundle) else self.find(bundle)
        return found.scope, found.id, *self._context.defaults.acting(actor, reason)


def _event(text: str) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(text))
