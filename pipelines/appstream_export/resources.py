"""Where packaged files lie: `schemas/`, `sql/` and `docs/` are at the top of a checkout, but inside a package."""

from pathlib import Path

_HERE = Path(__file__).parent


def find_resource_folder(name: str) -> Path:
    """Return the installed folder of contracts (`schemas`), SQL files (`sql`) or pages (`docs`)."""
    installed = _HERE / f"_{name}"
    return installed if installed.is_dir() else _HERE.parents[1] / name


def read_dagster_template() -> str:
    """Return the `dagster.yaml` for a DAGSTER_HOME on one machine."""
    return (_HERE / "dagster.yaml").read_text("utf-8")
