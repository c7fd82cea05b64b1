"""The page's JavaScript is shipped as built: from the packages that are pinned, with their licenses."""

import hashlib
import json
import re
from importlib.resources import files
from pathlib import Path

REPORT = files("appstream_export.feeds.report")
SOURCES = Path(str(REPORT)) / "javascript"


def test_the_bundle_is_the_one_of_these_sources() -> None:
    """`just javascript` builds it again. The order of the files is build.mjs's."""
    names = sorted(
        p.name for p in SOURCES.iterdir() if p.suffix in (".mjs", ".js", ".jsx") or p.name == "package-lock.json"
    )
    sources = b"".join((SOURCES / name).read_bytes() for name in names)

    recorded = re.match(r"/\* sources: sha256 (\w{64});", REPORT.joinpath("page.js").read_text("utf-8"))

    assert recorded is not None
    assert recorded[1] == hashlib.sha256(sources).hexdigest(), "page.js is stale: run `just javascript`"


def test_every_package_is_pinned_and_its_license_comes_along() -> None:
    manifest = json.loads((SOURCES / "package.json").read_text())
    licenses = REPORT.joinpath("page.licenses.txt").read_text("utf-8")

    pinned = manifest["dependencies"] | manifest["devDependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in pinned.values())
    for name, version in manifest["dependencies"].items():
        assert re.search(rf"^{re.escape(name)} {version} \((?:ISC|MIT)\)$", licenses, re.M)
    assert "no license file" not in licenses


def test_the_bundle_cannot_end_its_script_element_or_load_anything() -> None:
    bundle = REPORT.joinpath("page.js").read_text("utf-8")

    assert "</script" not in bundle.lower()
    assert "<!--" not in bundle
    assert not re.search(r"\beval\(|new Function\b", bundle), "the page forbids unsafe-eval"
    assert re.findall(r"(?:src|import)\s*\(?\s*[\"']https?://", bundle) == []
