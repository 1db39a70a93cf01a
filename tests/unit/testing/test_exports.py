"""``simpleflow.testing`` gives what it promises, and costs nothing until something is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from simpleflow import testing


@pytest.mark.parametrize("name", testing.__all__)
def test_every_name_is_there(name: str) -> None:
    found = getattr(testing, name)
    assert found.__name__ == name
    assert name in dir(testing)
    assert testing._HOME[name] == found.__module__


def test_the_names_are_one_list() -> None:
    assert testing.__all__ == sorted(testing._HOME)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = testing.Nothing


def test_importing_it_imports_nothing_else() -> None:
    program = (
        "import sys, simpleflow.testing, simpleflow.testing.plugin\n"
        "heavy = {'boto3', 'moto', 'msgspec', 'greenlet', 'simpleflow.engine'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
