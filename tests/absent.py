"""pandas and numpy as packages that are not there, and remember who wanted them all the same.

Where they are not installed, nothing that looks at `sys.modules` could find somebody who tries them; where they are,
pyarrow takes them by itself. So a child process is given these in their place.
"""

import os
from collections.abc import Mapping
from pathlib import Path

PACKAGES = ("pandas", "numpy")
_RECORD = "asked.txt"
_STUB = """
import linecache, pathlib, sys
frame = sys._getframe(1)
while frame.f_code.co_filename.startswith("<frozen importlib"):
    frame = frame.f_back
who = frame.f_globals.get("__name__", "")
# pyarrow's compiled parts have no frame: whoever called them seems to ask, in a line that imports nothing.
is_statement = "import" in linecache.getline(frame.f_code.co_filename, frame.f_lineno)
if is_statement and not who.startswith("pyarrow"):
    with pathlib.Path(__file__).with_name("asked.txt").open("a") as record:
        record.write(f"{__name__} by {who}\\n")
raise ModuleNotFoundError(f"No module named {__name__!r}", name=__name__)
"""


def without(folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child that finds them in `folder`, before any that are installed."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in PACKAGES:
        (folder / f"{name}.py").write_text(_STUB)
    others = [environ["PYTHONPATH"]] if environ.get("PYTHONPATH") else []
    return {**environ, "PYTHONPATH": os.pathsep.join([str(folder), *others])}


def wanted(folder: Path) -> list[str]:
    """Who wanted which, such as `pandas by appstream_export.run.ingest`."""
    record = folder / _RECORD
    return record.read_text().splitlines() if record.exists() else []
