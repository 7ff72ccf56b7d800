"""scikit-learn, watched: each fit of a model is recorded, within the current training run or as one of its own.

Only what the user calls is recorded, not the fits that scikit-learn makes within it. Whatever goes wrong here is logged;
the fit, its result and its errors are the user's.
"""

from __future__ import annotations

import functools
import logging
import sys
import threading
import weakref
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

from headwater.digests import columns_of
from headwater.estimators import sklearn_document
from headwater.runs import TrainingRun, current_run

if TYPE_CHECKING:
    from headwater.client import Client

log = logging.getLogger("headwater")

_FITS = ("fit", "fit_predict", "fit_transform")
_LONGEST_TEXT = 500

_lock = threading.Lock()
_patched: list[tuple[type, str, Any]] = []
_settings: dict[str, Any] = {}
_runs: weakref.WeakKeyDictionary[Any, TrainingRun] = weakref.WeakKeyDictionary()
"""Of estimators, the run that they were fitted in: for the scores that follow."""


def autolog(client: Client | None = None, model: str | None = None, disable: bool = False) -> None:
    """Records every fit of a scikit-learn model from now on: parameters, the columns it was fitted on, what it uses of them.

    It belongs to the current `training_run`; without one, it is a run of its own, which makes a version of `model`, absent:
    of a model named after the estimator's class. A `score` that is asked for later is a metric. Transformers alone are not
    recorded, and no process but this one is watched. `client` absent: one of its own, made when it is needed.

    >>> autolog(client)
    >>> from sklearn.linear_model import LinearRegression
    >>> with client.training_run("risk/fraud", "7") as run:
    ...     fitted = LinearRegression().fit([[1.0], [2.0]], [1.0, 2.0])
    >>> autolog(disable=True)
    >>> client.asset(run.version_key).title
    '7'
    """
    with _lock:
        while _patched:
            owner, name, original = _patched.pop()
            setattr(owner, name, original)
        _settings.clear()
        if disable:
            return
        _settings.update(client=client, model=model)
        for owner in _owners():
            for name in (*_FITS, "score"):
                if name in vars(owner):
                    original = vars(owner)[name]
                    _patched.append((owner, name, original))
                    setattr(owner, name, _Watched(original, _scored if name == "score" else _fitted))


def _owners() -> list[type]:
    """Each class of scikit-learn that a public estimator is or derives from."""
    from sklearn.utils import all_estimators  # noqa: PLC0415  only who has it calls this

    found: dict[type, None] = {}
    for _, estimator in all_estimators():
        found.update({each: None for each in estimator.__mro__ if each.__module__.partition(".")[0] == "sklearn"})
    return list(found)


class _Watched:
    """A method, of which every call by an instance is told of afterwards. By its class it is what it was."""

    def __init__(self, original: Any, tell: Callable[[Any, Any, Any], None]) -> None:
        self.original = original
        self.tell = tell
        self.__doc__ = original.__doc__

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        bound = self.original.__get__(instance, owner)
        if instance is None:
            return bound
        tell = self.tell

        @functools.wraps(bound)
        def method(*args: Any, **kwargs: Any) -> Any:
            outermost = not _within_scikit_learn()
            result = bound(*args, **kwargs)
            if outermost:
                try:
                    tell(instance, result, kwargs.get("X", args[0] if args else None))
                except Exception as error:  # noqa: BLE001  a training never fails for what is told of it
                    log.warning("the fit of a %s is not recorded: %s", type(instance).__name__, error)
            return result

        return method


def _within_scikit_learn() -> bool:
    """Some caller is scikit-learn: also in the threads that it works in, whose first frames are its own."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith("sklearn."):
            return True
        frame = frame.f_back
    return False


def _fitted(estimator: Any, _: Any, data: Any) -> None:
    if not callable(getattr(estimator, "predict", None)):
        return
    run = current_run()
    if run is not None:
        _record(run, estimator, data)
        return
    client = _client()
    with TrainingRun(client, _settings.get("model") or f"sklearn/{type(estimator).__name__}") as own:
        _record(own, estimator, data)


def _record(run: TrainingRun, estimator: Any, data: Any) -> None:
    run.log_parameters(_parameters(estimator))
    columns = columns_of(data)
    frame = data if columns is not None and hasattr(data, "dtypes") and hasattr(data, "columns") else None
    run._log_document(sklearn_document(estimator, "model", "version", data=frame))
    _runs[estimator] = run


def _scored(estimator: Any, score: Any, _: Any) -> None:
    run = _runs.get(estimator)
    if run is None:
        return
    run.log_metrics(score=float(score))
    if run.failed is False:  # it was told without
        run._tell()


def _client() -> Client:
    with _lock:
        if _settings.get("client") is None:
            from headwater.client import Client  # noqa: PLC0415  which knows of runs, too

            _settings["client"] = Client()
        found: Client = _settings["client"]
        return found


def _parameters(estimator: Any) -> dict[str, Any]:
    """Those that are plain values, of its steps too."""
    return {
        name: value
        for name, value in sorted(estimator.get_params(deep=True).items())
        if value is None
        or isinstance(value, bool | int | float)
        or (isinstance(value, str) and len(value) <= _LONGEST_TEXT)
    }
