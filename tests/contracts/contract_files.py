"""Contract files for tests: one that is well-formed, and what is changed in it."""

from pathlib import Path

from appstream_export.contracts import Contract, load_contract

HEAD = """doc = "Things."
service = "things"
operation = "ListThings"
items = "Things"
item_name = "thing"
"""
ITEMS = """[things]
doc = "One row per thing."
key = ["name"]
created_at_column = "made"
name = { from = "Name", type = "string", doc = "Name." }
made = { from = "Made", type = "timestamp", doc = "When." }
"""
PARTS = """[thing_parts]
doc = "One row per part."
rows_from = "Parts"
part = { from = ".", type = "string", doc = "Part." }
"""
IGNORED = """[ignored]
"Some.Leaf" = "why"
"""
GOOD = "\n".join((HEAD, ITEMS, PARTS, IGNORED))


def written(folder: Path, text: str = GOOD, name: str = "things") -> Path:
    """The text as a file of that name."""
    file = folder / f"{name}.toml"
    file.write_text(text, "utf-8")
    return file


def loaded(folder: Path, text: str = GOOD, name: str = "things") -> Contract:
    """The text as a contract."""
    return load_contract(written(folder, text, name))
