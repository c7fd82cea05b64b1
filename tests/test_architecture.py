"""The house holds: names follow the rules, folders know only what they may, faces export what is used.

import-linter checks the imports (`pyproject.toml`); what it cannot see is checked here.
"""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from itertools import groupby
from pathlib import Path
from statistics import quantiles
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = ROOT / "pipelines" / "appstream_export"
FACES = sorted(SOURCES.rglob("__init__.pyi"))
SQL = re.compile(
    r"\s*(select\s.*\bfrom\b|with\s.*\bas\s*\(|insert into|create (or replace )?(view|table)|copy \()", re.S
)
FUNCTION_LINES_MAX, FUNCTION_LINES_P90_MAX = 40, 15

VERBS = frozenset(
    """abort accept add advance answer append apply assign assume attach avoid batch bind build cache call chain
    change check choose classify clear close collect combine commit compact compare complete compute configure connect
    convert copy count create cycle decide decode delete derive describe diff disable discard discover dispatch drain
    draw drop duplicate enable encode end erase escape estimate evict execute exit expand expire explain
    export extract fail fall fetch fill filter find finish flatten flush format generalize generate get group
    guard guess handle heal ingest insert install interleave iterate join keep launch leave limit lint list load
    lock log make map mark match materialize measure merge move monitor mute normalize occupy open override overstate
    pad parse pick plan play pop populate post prefix prepare preview print probe process propose provide prune
    publish put qualify quote raise read receive record redirect reduce refresh refuse register reject release reload
    remove rename render renew repair repeat replace report republish request requeue require reserve reset
    resolve restart restore restrict retain
    return reuse reveal rewrite run sanitize seal select send serve set share shorten show shut skip slugify
    sign sort split stage start stop store stream strip style suggest summarize sweep symlink sync take target
    terminate trace translate truncate try unite unnest update vacuum validate verify wait walk warn wrap write
    yield""".split()  # noqa: SIM905
)
QUESTIONS = ("is", "has", "can", "should", "needs")  # what returns a bool
CONVERSIONS = ("to", "from", "as", "on")  # to_table, from_contract, as_dagster_failure; on_page of a listener
RIDDLES = frozenset(  # participles, prepositions and pronouns, which say nothing alone
    """after anew asked at before below beyond built carried drawn each found given heard held into kept known listed
    looked made met none of one other others own said seen shown so sworn taken told under until what where
    who whose with within""".split()  # noqa: SIM905
)
DICTATED = frozenset(  # by logging, argparse, io, fsspec, werkzeug, Dagster, DuckDB, and pathlib (exists)
    """connect defs emit error exists feed fileno glob info isatty isdir log ls main modified query relation scaffold
    seek setup size table tell writable""".split()  # noqa: SIM905
)


class Function(NamedTuple):
    """A function of the package, where it stands and how long it is."""

    place: str
    name: str
    lines: int
    decorators: str

    @property
    def is_property(self) -> bool:
        """Whether it reads as a value."""
        return "property" in self.decorators

    @property
    def is_dagster_key(self) -> bool:
        """Whether its name is the key of an asset, op, job, sensor or schedule."""
        return (
            re.search(
                r"\bdg\.(op|job|multi_asset(_check)?|asset|sensor|schedule|executor|definitions)\b",
                self.decorators,
            )
            is not None
        )


@cache
def functions() -> tuple[Function, ...]:
    return tuple(find_functions())


def find_functions() -> Iterator[Function]:
    for file in sorted(SOURCES.rglob("*.py")):
        texts = file.read_text("utf-8").splitlines()
        for node in walk_statements(parse(file)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = texts[node.lineno - 1 : node.end_lineno]
                lines = sum(not text.lstrip().startswith("#") for text in body)
                lines -= len((ast.get_docstring(node, clean=False) or "").splitlines())  # explanations are welcome
                decorators = " ".join(ast.unparse(decorator) for decorator in node.decorator_list)
                yield Function(f"{file.relative_to(SOURCES)}:{node.lineno}", node.name, lines, decorators)


def breaks_the_rule(function: Function) -> bool:
    name = function.name.strip("_")
    first = name.split("_")[0]
    if function.name.startswith("__") or function.is_dagster_key or name in DICTATED:
        return False
    if function.is_property:
        return name in RIDDLES
    is_noun_missing = name in (*QUESTIONS, *CONVERSIONS)
    return is_noun_missing or name in RIDDLES or first not in {*VERBS, *QUESTIONS, *CONVERSIONS}


def test_functions_are_verbs_and_values_are_nouns() -> None:
    assert [f"{f.place} {f.name}" for f in functions() if breaks_the_rule(f)] == []


@pytest.mark.parametrize("name", ["told", "rows", "fix_of", "of", "kept_rows", "until", "shown", "is"])
def test_the_rule_finds_the_names_of_before(name: str) -> None:
    assert breaks_the_rule(Function("x.py:1", name, 1, ""))


def test_functions_are_short() -> None:
    found = sorted(functions(), key=lambda f: f.lines)

    assert [f"{f.place} {f.name}: {f.lines} lines" for f in found if f.lines > FUNCTION_LINES_MAX] == []
    assert quantiles([f.lines for f in found], n=10)[-1] <= FUNCTION_LINES_P90_MAX


def exports(face: Path) -> dict[str, str]:
    """Names that a face exports, with the module that defines each."""
    tree = ast.parse(face.read_text("utf-8"))
    return {a.name: n.module or "" for n in tree.body if isinstance(n, ast.ImportFrom) for a in n.names}


def module_of(file: Path) -> str:
    parts = file.relative_to(SOURCES.parent if file.is_relative_to(SOURCES) else ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.slow
@pytest.mark.parametrize("face", FACES, ids=lambda face: str(face.parent.relative_to(SOURCES)))
def test_a_face_exports_what_others_import_and_no_name_of_a_module(face: Path) -> None:
    package = module_of(face)
    siblings = {path.stem for path in face.parent.iterdir()}
    sources = [*SOURCES.rglob("*.py"), *SOURCES.rglob("*.pyi"), *(ROOT / "tests").rglob("*.py")]
    others = [file for file in sources if not file.is_relative_to(face.parent)]
    used = {name for file in others for imported, name in list_imports(file) if imported == package}

    assert sorted(exports(face).keys() & siblings) == []
    assert sorted(exports(face).keys() - used) == []


@cache
def list_imports(file: Path) -> list[tuple[str, str]]:
    """Package and name of every `from ... import ...` of a file, at any depth."""
    found = [node for node in walk_statements(parse(file)) if isinstance(node, ast.ImportFrom)]
    return [(absolute(node, file), alias.name) for node in found for alias in node.names]


@cache
def parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"))


def walk_statements(tree: ast.AST) -> Iterator[ast.stmt]:
    """Every statement at any depth; no expression, of which there are many more, holds one."""
    for name in ("body", "orelse", "finalbody", "handlers", "cases"):
        for node in getattr(tree, name, ()):
            if isinstance(node, ast.stmt):
                yield node
            yield from walk_statements(node)


def absolute(node: ast.ImportFrom, file: Path) -> str:
    if not node.level:
        return node.module or ""
    package = module_of(file).split(".") if file.stem == "__init__" else module_of(file).split(".")[:-1]
    return ".".join([*package[: len(package) - node.level + 1], *([node.module] if node.module else [])])


def test_every_package_has_a_face() -> None:
    faceless = {  # folders of folders, the command line, which nothing imports, and moto's own
        "", "lake", "cli", "cli/commands", "emulator/plugin", "emulator/plugin/appstream",
    }  # fmt: skip
    packages = {str(file.parent.relative_to(SOURCES)).replace(".", "") for file in SOURCES.rglob("__init__.py")}

    assert packages - {str(face.parent.relative_to(SOURCES)) for face in FACES} <= faceless


def forbidden() -> dict[str, set[str]]:
    """What import-linter forbids, by the label of its contract."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    ending = " must not know"
    return {
        c["name"].removesuffix(ending): set(c["forbidden_modules"]) for c in contracts if c["name"].endswith(ending)
    }


def described() -> dict[str, set[str]]:
    """What docs/architecture.md says each folder must not know, by the same label."""
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    table = text.partition("| folder | does | must not know |")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {row[0].replace("`", ""): set(re.findall(r"`([\w.]+)`", row[2])) for row in rows if row[2]}


def test_the_architecture_says_word_for_word_what_import_linter_forbids() -> None:
    ours = {label: {m.removeprefix("appstream_export.") for m in modules} for label, modules in forbidden().items()}

    assert {label: modules - {"SQL"} for label, modules in described().items()} == ours


def test_the_walks_name_functions_and_classes_that_exist() -> None:
    walks = (ROOT / "docs" / "architecture.md").read_text("utf-8").partition("## Three walks")[2].partition("\n## ")[0]
    defined = {
        node.name
        for file in SOURCES.rglob("*.py")
        for node in walk_statements(parse(file))
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    named = set(re.findall(r"`(\w+)\(\)`", walks)) | set(re.findall(r"`([A-Z][A-Za-z]+[a-z])`", walks))

    assert len(named) > 25
    assert named - defined == set()


def test_the_picture_of_the_layers_is_up_to_date() -> None:
    script = ROOT / "docs" / "draw_layers.py"

    assert subprocess.run([sys.executable, str(script), "--check"], check=False).returncode == 0, f"run {script.name}"


def statements(file: Path) -> Iterator[tuple[int, str]]:
    """Texts of a module that are SQL; those that are handed to `format_command` are printed for users to copy."""
    tree = parse(file)
    printed = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("format_command")
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant | ast.JoinedStr)
            and id(node) not in printed
            and SQL.match(text := text_of(node))
        ):
            yield node.lineno, text[:60]


def text_of(node: ast.Constant | ast.JoinedStr) -> str:
    """A text as it is written, an f-string with a mark in the place of each value."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "?" for part in node.values)


def test_sql_stands_in_no_folder_that_must_not_know_it() -> None:
    labels = [label for label, modules in described().items() if "SQL" in modules]
    folders = [SOURCES / name.strip() for label in labels for name in label.split(",")]
    files = [
        f for folder in folders for f in (folder.rglob("*.py") if folder.is_dir() else [folder.with_suffix(".py")])
    ]

    assert len(labels) > 5
    assert [f"{f.relative_to(SOURCES)}:{line}: {text}" for f in files for line, text in statements(f)] == []


def test_no_public_name_has_two_meanings() -> None:
    """A public function or class is defined once. Aside: keys of Dagster, and what each module of commands has."""
    defined = [
        (node.name, str(file.relative_to(SOURCES)))
        for file in sorted(SOURCES.rglob("*.py"))
        for node in parse(file).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and node.name not in ("main", "add_parsers")
        if not any("dg." in ast.unparse(decorator) for decorator in node.decorator_list)
    ]
    twice = {name: [place for _, place in places] for name, group in groupby(sorted(defined), lambda d: d[0])
             if len(places := list(group)) > 1}  # fmt: skip

    assert twice == {}
