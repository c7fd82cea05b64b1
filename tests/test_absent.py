"""Who tries pandas or numpy is remembered, and goes on as where they are not installed."""

import os
import subprocess
import sys
from pathlib import Path

from tests.absent import wanted, without

HIDDEN = """
import pyarrow
pyarrow.array([1])
def f():
    try:
        from pandas import DataFrame
    except ImportError:
        return
f()
"""


def test_an_import_that_hides_in_a_function_is_found_and_pyarrows_own_is_not(tmp_path: Path) -> None:
    (tmp_path / "hidden.py").write_text(HIDDEN)
    environment = without(tmp_path / "absent", os.environ)
    subprocess.run([sys.executable, "hidden.py"], cwd=tmp_path, env=environment, check=True)

    assert wanted(tmp_path / "absent") == ["pandas by __main__"]
