"""Where `schemas/` and `sql/` lie: inside the installed package, or at the top of a checkout."""

from pathlib import Path

_HERE = Path(__file__).parent


def find_resource_folder(name: str) -> Path:
    """Return the installed folder of contracts (`schemas`) or SQL files (`sql`)."""
    installed = _HERE / f"_{name}"
    return installed if installed.is_dir() else _HERE.parents[1] / name
