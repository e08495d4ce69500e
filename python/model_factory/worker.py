"""A worker that serves: takes up jobs, carries out runs, and tells what it does."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from model_factory import _arrays, _native

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from model_factory._context import Context

__all__ = ["News", "Worker"]


@dataclass(frozen=True)
class News:
    """What a worker did or met.

    Attributes
    ----------
    kind : str
        ``"job"`` for a job that was answered, ``"run"`` for a run that was carried out as far as it went, and
        ``"trouble"`` for something that was away; the worker goes on after each of them.
    document : dict
        Of a job its ``job`` and the ``invocation`` that answers it; of a run its ``train_run_id`` and either
        its ``state`` or the ``failure``; of trouble the ``error_response``.
    """

    kind: Literal["job", "run", "trouble"]
    document: dict[str, Any]


class Worker:
    """A worker of a factory; :meth:`model_factory.factory.Factory.worker` makes one."""

    def __init__(self, context: Context, concurrency: int) -> None:
        lanes = _arrays.whole(concurrency, "concurrency", 1, 1_000)
        defaults = context.defaults
        self._native = _native.Worker(
            context.native, defaults.worker, defaults.run_config, lanes, threads=context.threads
        )
        self._serving = threading.Lock()

    def serve(self, tell: Callable[[News], None] | None = None) -> None:
        """Serve until :meth:`stop` is called, from another thread or a signal's handler.

        Runs that fail do not end it; each failure is in the ledger with its code. An exception, of Ctrl-C or
        from ``tell``, stops the runs at their next step, puts them back to be claimed again, and is raised.

        Parameters
        ----------
        tell : callable, optional
            Called in this thread with each piece of :class:`News`.

        Raises
        ------
        ModelFactoryError
            What waiting cannot mend, such as ``SIGNING_KEY_UNAVAILABLE`` or ``LEDGER_CORRUPT``.
        """

        def told(kind: Literal["job", "run", "trouble"], text: str) -> None:
            if tell is not None:
                tell(News(kind, json.loads(text)))

        with self._serving:
            self._native.serve(told)

    def stop(self) -> None:
        """Ask it to finish the runs that it holds and to claim no more."""
        self._native.stop()
