"""Licences of the install are those of docs/licences.md, and the bill of materials names every part of it."""

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
# A new licence is a decision: read it, then add it here and, unless it is permissive, to the page's text.
ACCEPTED = {
    "0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "CNRI-Python", "ISC", "LGPL-3.0-or-later", "MIT",
    "MIT-0", "MPL-2.0", "PSF-2.0", "Unlicense", "Zlib", "ZPL-2.1",
}  # fmt: skip


@pytest.fixture(scope="module")
def page() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("list_licences", ROOT / "docs" / "list_licences.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = [*sys.path]
    spec.loader.exec_module(module)
    yield module
    sys.path[:] = before


def test_the_page_states_the_licence_of_what_is_installed(page: ModuleType) -> None:
    stated = {name: licence for name, (licence, _) in page.read_rows(page.PAGE.read_text("utf-8"))}
    found = {name: licence for name, (licence, _) in page.list_licences().items()}

    assert {name: stated.get(name) for name in found} == found, "run `just licences`"


def test_every_licence_is_one_that_was_accepted(page: ModuleType) -> None:
    stated = dict(page.read_rows(page.PAGE.read_text("utf-8")))
    words = {word for licence, _ in stated.values() for word in re.split(r" (?:AND|OR|WITH) |[()]", licence) if word}

    assert words - ACCEPTED == set()


def test_the_bill_of_materials_has_every_part_with_version_and_hash(page: ModuleType, tmp_path: Path) -> None:
    recipe = (ROOT / "justfile").read_text().partition("\nsbom ")[2].splitlines()[1]
    file = tmp_path / "sbom.json"
    command = recipe.strip().replace("{{file}}", str(file))
    subprocess.run(command.split(), cwd=ROOT, check=True)
    bill = json.loads(file.read_text())
    parts = {part["name"].lower().replace("_", "-"): part for part in bill["components"]}

    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    assert {name for name, _ in page.read_rows(page.PAGE.read_text("utf-8"))} - parts.keys() == set()
    assert [name for name, part in parts.items() if not (part["version"] and part.get("externalReferences"))] == []
