"""The pages' JavaScript is shipped as built: from the packages that are pinned, with their licenses."""

import hashlib
import json
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

FEEDS = Path(str(files("appstream_export.feeds")))
SOURCES = FEEDS / "report" / "javascript"
ENTRIES = {"report": "main.jsx", "query_page": "../../query_page/javascript/main.jsx"}
"""The entry of each page's bundle, from the folder of build.mjs."""
HEAD = re.compile(r"/\* sources: sha256 (\w{64}) of ([^;]+); licenses: page\.licenses\.txt \*/\n")
pytestmark = pytest.mark.parametrize("page", ENTRIES)


def read_bundle(page: str) -> str:
    return (FEEDS / page / "page.js").read_text("utf-8")


def list_sources(path: Path) -> Iterator[Path]:
    """A source, and those that it imports."""
    yield path
    for name in re.findall(r"from \"(\.[^\"]+)\"", path.read_text("utf-8")):
        yield from list_sources((path.parent / name).resolve())


def test_the_bundle_is_the_one_of_these_sources(page: str) -> None:
    """`just javascript` builds it again."""
    imported = {
        *list_sources((SOURCES / ENTRIES[page]).resolve()),
        SOURCES / "build.mjs",
        SOURCES / "package-lock.json",
    }

    recorded = HEAD.match(read_bundle(page))

    assert recorded is not None
    names = recorded[2].split(", ")
    assert {(SOURCES / name).resolve() for name in names} == imported, "page.js is stale: run `just javascript`"
    digest = hashlib.sha256(b"".join((SOURCES / name).read_bytes() for name in names)).hexdigest()
    assert recorded[1] == digest, "page.js is stale: run `just javascript`"


def test_every_package_is_pinned_and_its_license_comes_along(page: str) -> None:
    manifest = json.loads((SOURCES / "package.json").read_text())
    licenses = (FEEDS / page / "page.licenses.txt").read_text("utf-8")

    pinned = manifest["dependencies"] | manifest["devDependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in pinned.values())
    for name, version in manifest["dependencies"].items():
        assert re.search(rf"^{re.escape(name)} {version} \((?:ISC|MIT)\)$", licenses, re.M)
    assert "no license file" not in licenses


def test_the_bundle_cannot_end_its_script_element_or_load_anything(page: str) -> None:
    bundle = read_bundle(page)

    assert "</script" not in bundle.lower()
    assert "<!--" not in bundle
    assert not re.search(r"\beval\(|new Function\b", bundle), "the page forbids unsafe-eval"
    assert re.findall(r"(?:src|import)\s*\(?\s*[\"']https?://", bundle) == []
