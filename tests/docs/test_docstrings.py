"""The examples in docstrings run and print what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import model_factory

# The command line's entry would run when it is imported; the native module has no Python docstrings.
MODULES = sorted(
    {module.name for module in pkgutil.iter_modules(model_factory.__path__)} - {"_native", "__main__"}
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    module = importlib.import_module(f"model_factory.{name}")
    assert doctest.testmod(module, optionflags=doctest.ELLIPSIS).failed == 0


def test_every_name_of_the_package_is_there() -> None:
    for name in model_factory.__all__:
        assert getattr(model_factory, name) is not None
    assert set(model_factory.__all__) <= set(dir(model_factory))
    with pytest.raises(AttributeError, match="oracle"):
        _ = model_factory.oracle
