"""Text that people read uses plain words: one word for one concept, the one that the field uses."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PLAIN = {
    r"told|tells?|telling": "report, say, show, return",
    r"heard": "answered, received",
    r"anew": "again",
    r"who(?:m|so)?ever": "a user, a reader, any process",
    r"nobody|somebody": "none, a user",
    r"(?:of|is|are) ours": "our",
    r"lets? go|letting go": "expire, release",
    r"st(?:and|ands|ood) in": "replace, be in",
    r"mend(?:s|ed|ing)?": "fix, repair",
    r"doors?": "way, credentials",
    r"business": "task",
    r"dies|died": "end, is killed",
    r"ask(?:s|ed|ing)?": "request",
    r"retell(?:s|ing)?|retold": "rewrite",
    r"set(?:s|ting)? aside": "discard",
    r"by design": "expected",
    r"upkeep": "maintenance",
    r"be(?:come|comes|came|ing) visible": "commit",
}
# Names in code are not text: attributes, keys in quotes, definitions and aliases of columns.
WORDS = re.compile(rf"(?<![\w.\"'-])(?<!def )(?<!as )(?:{'|'.join(PLAIN)})(?![\w-])", re.IGNORECASE)
FOLDERS = ("pipelines", "docs", "sql", "schemas", "deploy", "README.md", "CHANGELOG.md", "justfile", "pyproject.toml")
SUFFIXES = {".py", ".pyi", ".md", ".sql", ".toml", ".html", ".js", ".yaml", ".yml", ""}
BUILT = ("page.js", "page.licenses.txt", "package-lock.json")


def list_files() -> Iterator[Path]:
    listed = subprocess.run(["git", "ls-files", *FOLDERS], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.suffix in SUFFIXES and path.name not in BUILT and path.exists():
            yield path


def test_text_that_people_read_uses_plain_words() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match[0]!r} in {line.strip()[:100]}"
        for path in list_files()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        for match in WORDS.finditer(line)
    ]

    assert found == []


def test_the_words_are_found_where_they_are_used_and_not_in_names() -> None:
    used = "Whoever is told to ask anew: nobody's business"

    assert [match[0] for match in WORDS.finditer(used)] == ["Whoever", "told", "ask", "anew", "nobody", "business"]
    assert WORDS.search("tasks_asked, mask, --ask-for, retold_x") is None
