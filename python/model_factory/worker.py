"""A worker that serves: takes up jobs, carries out runs, and tells what it does."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from model_factory import _arrays, _native
from model_factory._context import Defaults, Place, login_user, threads_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike
    from typing import Literal

__all__ = ["News", "Worker"]


@dataclass(frozen=True)
class News:
    """What a worker did or met.

    Attributes
    ----------
    kind : str
        ``"job"`` for a job that was answered, ``"run"`` for a run that was carried out as far as it went, and
        ``"trouble"`` for something that was away or lies in the inbox and is no job; the worker goes on after
        each of them.
    document : dict
        Of a job its ``job`` and the ``invocation`` that answers it; of a run its ``train_run_id``, its
        ``state`` in the ledger (None where that cannot be read) and the ``failure`` that stopped it (None
        where nothing did); of trouble the ``error_response``.
    """

    kind: Literal["job", "run", "trouble"]
    document: dict[str, Any]


class Worker:
    """A worker for the factory at a place, which it opens for itself.

    :meth:`model_factory.factory.Factory.worker` makes one, and :meth:`at` one for a place that may be away.
    It makes no factory. It serves once: who wants to go on after it stopped makes another.
    """

    def __init__(
        self, place: Place, defaults: Defaults, *, concurrency: int = 1, threads: int | None = None
    ) -> None:
        lanes = _arrays.whole(concurrency, "concurrency", 1, 1_000)
        self._native = _native.Worker(
            place.root,
            defaults.worker,
            defaults.run_config,
            lanes,
            ledger=place.ledger,
            keys=place.keys,
            threads=threads,
        )
        self._served = threading.Lock()

    @classmethod
    def at(
        cls,
        root: str | PathLike[str],
        *,
        ledger: str | PathLike[str] | None = None,
        keys: str | PathLike[str] | None = None,
        threads: int | None = None,
        platform_run_id: str = "local",
        concurrency: int = 1,
    ) -> Worker:
        """Make a worker without opening the factory: store and ledger may be away until it serves, and then.

        Parameters
        ----------
        root, ledger, keys, threads, platform_run_id
            As :func:`model_factory.open` takes them.
        concurrency : int
            Runs that it carries out at the same time, each on so many ``threads``.

        Raises
        ------
        InputAdmissionError
            ``PARAMETER_INVALID`` or ``RUN_SCOPE_INVALID`` for arguments of another form.
        """
        defaults = Defaults(platform_run_id, login_user())
        place = Place(root, ledger, keys)
        return cls(place, defaults, concurrency=concurrency, threads=threads_of(threads))

    def serve(self, tell: Callable[[News], None] | None = None) -> None:
        """Serve until :meth:`stop` is called, from another thread or a signal's handler; or was, before.

        A store or a ledger that is away is waited for, from the beginning on, and each look at it told as
        trouble. Runs that fail do not end it; each failure is in the ledger with its code. An exception, of
        Ctrl-C or from ``tell``, stops the runs at their next step, puts them back to be claimed again, and is
        raised. After Ctrl-C what became of these runs is told first; a ``tell`` that failed is not called
        again.

        Parameters
        ----------
        tell : callable, optional
            Called in this thread with each piece of :class:`News`.

        Raises
        ------
        ExecutionError
            ``INVALID_TRANSITION`` where it serves already, or did.
        ModelFactoryError
            What waiting cannot mend, such as ``SIGNING_KEY_UNAVAILABLE``, ``LEDGER_CORRUPT`` or
            ``SOURCE_UNREADABLE`` for a place that holds no factory, and at the beginning
            ``STORE_UNAVAILABLE`` or ``LEDGER_UNAVAILABLE`` for credentials that are refused, for a database
            that is not there and for a ledger that can only be read.
        """
        if not self._served.acquire(blocking=False):
            hint = "A worker serves once: make another."
            raise _native.refusal(
                "INVALID_TRANSITION", "serve", "called for the first time", "called before", hint=hint
            )

        def told(kind: Literal["job", "run", "trouble"], text: str) -> None:
            if tell is not None:
                tell(News(kind, json.loads(text)))

        self._native.serve(told)

    def stop(self) -> None:
        """Ask it to finish the runs that it holds and to claim no more, for good; before it serves too."""
        self._native.stop()
