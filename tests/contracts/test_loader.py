from pathlib import Path

import duckdb
import pytest

from appstream_export import resources
from appstream_export.contracts import load_contract, load_contracts
from appstream_export.contracts.loader import RENAMED_KEYS, SQL_KEYWORDS, convert_to_snake_case, list_outer_positions
from appstream_export.errors import ContractError
from tests.contracts.contract_files import GOOD, HEAD, IGNORED, ITEMS, PARTS, loaded, written

# Each key of version 0.3.0: a line of today, the same line as 0.3.0 had it, and the one line that follows.
RENAMED = {
    "singular": (
        'item_name = "thing"',
        'singular = "thing"',
        '"singular" is now called "item_name"; rename it',
    ),
    "born": (
        'created_at_column = "made"',
        'born = "made"',
        '[things]: "born" is now called "created_at_column"; rename it',
    ),
    "each": (
        'rows_from = "Parts"',
        'each = "Parts"',
        '[thing_parts]: "each" is now called "rows_from"; rename it',
    ),
}

# What is replaced in a good file, by what, and the one line that follows.
REFUSALS = {
    "unknown key of the file": (
        'item_name = "thing"',
        'item_name = "thing"\noperatoin = "x"',
        'unknown key "operatoin"; did you mean "operation"?',
    ),
    "list of tables": ("[thing_parts]", "[[thing_parts]]", "[[thing_parts]] is a list of tables; write [thing_parts]"),
    "ignored as a value": (
        GOOD,
        HEAD + "ignored = 3\n" + ITEMS,
        'ignored must be a table: [ignored], then "Path" = "reason" lines',
    ),
    "no doc of the file": ('doc = "Things."', "", 'doc is missing or not a text; add doc = "..."'),
    "doc is a number": ('doc = "Things."', "doc = 3", 'doc is missing or not a text; add doc = "..."'),
    "doc is blank": ('doc = "Things."', 'doc = "  "', 'doc is missing or not a text; add doc = "..."'),
    "doc of two lines": (
        '"Things."',
        r'"Thi\nngs."',
        "doc has a line break or a control character; write one line",
    ),
    "service is a path": (
        '"things"',
        '"../things"',
        'service = "../things" is not a service of botocore such as "appstream"',
    ),
    "operation is no word": (
        '"ListThings"',
        '"list things"',
        'operation = "list things" is not an operation such as "DescribeImageBuilders"',
    ),
    "items is no path": ('"Things"', '"Things[]"', 'items = "Things[]" is not a path such as "ImageBuilders"'),
    "singular is no name": (
        '"thing"',
        '"Thing"',
        'item_name = "Thing" is not lower_snake_case such as "image_builder"',
    ),
    "no table of items": (ITEMS, "", "no table [things]: the items' own table has the file's name"),
    "items with each": (
        'created_at_column = "made"',
        'rows_from = "Made"',
        "[things]: the items' own table has no rows_from; take it out",
    ),
    "no doc of a table": ('doc = "One row per thing."', "", '[things]: doc is missing or not a text; add doc = "..."'),
    "no key": (
        'key = ["name"]',
        "",
        '[things]: key is missing; add key = ["name"]: the columns that identify an item within a scope',
    ),
    "key is a text": (
        'key = ["name"]',
        'key = "name"',
        '[things]: key is missing; add key = ["name"]: the columns that identify an item within a scope',
    ),
    "key is empty": (
        'key = ["name"]',
        "key = []",
        '[things]: key is missing; add key = ["name"]: the columns that identify an item within a scope',
    ),
    "key names no column": (
        'key = ["name"]',
        'key = ["nam"]',
        '[things]: key names "nam", which is no column here; did you mean "name"?',
    ),
    "key names a table": ('key = ["name"]', "key = [{}]", '[things]: key names "{}", which is no column here'),
    "key is no text": (
        'key = ["name"]',
        'key = ["made"]',
        "[things]: key names made, which is a timestamp; it must be a string",
    ),
    "key twice": ('["name"]', '["name", "name"]', "[things]: key names name twice; take one out"),
    "key named as a column of changes": (
        'key = ["name"]',
        'key = ["change"]\nchange = { from = "Change", type = "string", doc = "Which." }',
        "[things]: key names change, which the table of changes has already; rename the column",
    ),
    "born names no column": (
        'created_at_column = "made"',
        'created_at_column = "mad"',
        '[things]: created_at_column names "mad", which is no column here; did you mean "made"?',
    ),
    "born is no column at all": (
        'created_at_column = "made"',
        "created_at_column = true",
        '[things]: created_at_column names "True", which is no column here',
    ),
    "born is no time": (
        'created_at_column = "made"',
        'created_at_column = "name"',
        "[things]: created_at_column names name, which is a string; it must be a timestamp",
    ),
    "table of other case": (
        "[thing_parts]",
        "[ThingParts]",
        "[ThingParts]: a table's name must be lower_snake_case",
    ),
    "table is a word of SQL": ("[thing_parts]", "[order]", "[order]: is a word of SQL; choose another name"),
    "table named as a history": (
        "[thing_parts]",
        "[things_history]",
        "[things_history]: views of the catalog have such names; choose another",
    ),
    "table named as a view": (
        "[thing_parts]",
        "[coverage]",
        "[coverage]: views of the catalog have such names; choose another",
    ),
    "ignored misspelt": (
        "[ignored]",
        "[ignore]",
        '[ignore]: is no table, for it has no rows_from; did you mean "ignored"?',
    ),
    "table without each": (
        'rows_from = "Parts"',
        "",
        '[thing_parts]: rows_from is missing or not a text; add rows_from = "..."',
    ),
    "each leads to elements": (
        '"Parts"',
        '"Parts[]"',
        '[thing_parts]: rows_from = "Parts[]" is not a path to a list such as "VpcConfig.SubnetIds" '
        'or "Groups[].Members", or to a map such as "Tags{}"',
    ),
    "each is no path": (
        '"Parts"',
        '"Parts..More"',
        '[thing_parts]: rows_from = "Parts..More" is not a path to a list such as "VpcConfig.SubnetIds" '
        'or "Groups[].Members", or to a map such as "Tags{}"',
    ),
    "each twice": (
        IGNORED,
        PARTS.replace("[thing_parts]", "[thing_pieces]"),
        '[thing_pieces]: rows_from = "Parts" is read by [thing_parts] already; keep one',
    ),
    "key of a child table": (
        'rows_from = "Parts"',
        'rows_from = "Parts"\nkey = ["part"]',
        "[thing_parts]: key belongs to [things] alone; a row here is identified by its position",
    ),
    "born of a child table": (
        'rows_from = "Parts"',
        'rows_from = "Parts"\ncreated_at_column = "part"',
        "[thing_parts]: created_at_column belongs to [things] alone; a row here is identified by its position",
    ),
    "column named as the parent's key": (
        "part = {",
        "thing_name = {",
        "[thing_parts] thing_name: the table has this column already; choose another name",
    ),
    "column named as the key that joins tables": (
        "part = {",
        "thing_key = {",
        "[thing_parts] thing_key: the catalog's views have this column already: account, region and key as one text; "
        "choose another name, or another item_name",
    ),
    "column of items named as the key that joins tables": (
        "made = {",
        'thing_key = { from = "Key", type = "string", doc = "Key." }\nmade = {',
        "[things] thing_key: the catalog's views have this column already: account, region and key as one text; "
        "choose another name, or another item_name",
    ),
    "column named as an outer position": (
        'rows_from = "Parts"\npart = {',
        'rows_from = "Boxes[].Parts"\nboxes_position = {',
        "[thing_parts] boxes_position: the table has this column already; choose another name",
    ),
    "no columns": (
        'part = { from = ".", type = "string", doc = "Part." }',
        "",
        "[thing_parts]: no columns; add name = { from = ..., type = ..., doc = ... }",
    ),
    "unknown key of a table": (
        'rows_from = "Parts"',
        'rows_form = "x"\nrows_from = "Parts"',
        '[thing_parts]: unknown key "rows_form"; did you mean "rows_from"?',
    ),
    "column is a boolean": (
        "part = {",
        "whole = true\npart = {",
        '[thing_parts]: unknown key "whole"; a column is whole = { from = ..., type = ..., doc = ... }',
    ),
    "column is a list": (
        "part = {",
        "whole = []\npart = {",
        '[thing_parts]: unknown key "whole"; a column is whole = { from = ..., type = ..., doc = ... }',
    ),
    "column named as a word of the grammar": (
        "part = {",
        "key = {",
        "[thing_parts] key: is a word of the grammar; give the column another name",
    ),
    "column of other case": ("part = {", "Part = {", "[thing_parts] Part: a column's name must be lower_snake_case"),
    "reserved column": (
        "part = {",
        "position = {",
        "[thing_parts] position: every table has this column already; choose another name",
    ),
    "column is a word of SQL": ("part = {", "order = {", "[thing_parts] order: is a word of SQL; choose another name"),
    "unknown key of a column": (
        'from = "."',
        'form = "."',
        '[thing_parts] part: unknown key "form"; did you mean "from"?',
    ),
    "column in a column": (
        'doc = "Part." }',
        'doc = "Part.", more = {} }',
        '[thing_parts] part: unknown key "more"',
    ),
    "no from": ('from = ".", ', "", '[thing_parts] part: from is missing or not a text; add from = "..."'),
    "no doc of a column": (
        ', doc = "Part."',
        "",
        '[thing_parts] part: doc is missing or not a text; add doc = "..."',
    ),
    "doc of a column is a table": (
        'doc = "Part."',
        "doc = {}",
        '[thing_parts] part: doc is missing or not a text; add doc = "..."',
    ),
    "no type": (
        ', type = "string", doc = "Part."',
        "",
        '[thing_parts] part: type is missing or not a text; add type = "..."',
    ),
    "bad type": (
        'type = "timestamp"',
        'type = "timestmp"',
        '[things] made: type "timestmp" is not one of string, integer, boolean, timestamp, number, json; '
        'did you mean "timestamp"?',
    ),
    "path through a list": (
        '"Made"',
        '"Parts[].Made"',
        '[things] made: from = "Parts[].Made" is not a path such as "VpcConfig.Name"; '
        "lists go into tables of their own (rows_from)",
    ),
    "element in the items' table": (
        '"Made"',
        '"."',
        '[things] made: from = "." means that the items are texts, which have no other fields; '
        "name a field, or make it the only column",
    ),
    "path twice": ('"Made"', '"Name"', '[things] made: from = "Name" is read by [things] name already; keep one'),
    "ignored without reason": (
        '= "why"',
        "= true",
        '[ignored] "Some.Leaf": needs a reason as text (quote a path with dots)',
    ),
    "ignored path without quotes": (
        '"Some.Leaf"',
        "Some.Leaf",
        '[ignored] "Some": needs a reason as text (quote a path with dots)',
    ),
    "ignored is no path": (
        '"Some.Leaf"',
        '"Some Leaf"',
        '[ignored] "Some Leaf": is not a path such as "Some.Leaf" or "Tags[].Key"',
    ),
}


def test_a_good_file_loads(tmp_path: Path) -> None:
    contract = loaded(tmp_path)

    assert [t.name for t in (*contract.tables, contract.changes_table)] == ["things", "thing_parts", "thing_changes"]
    assert contract.item_table.key == ("account_id", "region", "name")
    assert contract.child_tables[0].key == ("account_id", "region", "thing_name", "position")
    assert contract.ignored == {"Some.Leaf": "why"}


@pytest.mark.parametrize(("old", "new", "message"), REFUSALS.values(), ids=REFUSALS)
def test_what_breaks_the_grammar_is_refused_in_one_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD

    with pytest.raises(ContractError) as refused:
        loaded(tmp_path, GOOD.replace(old, new, 1))

    assert str(refused.value) == f"things.toml: {message}"


@pytest.mark.parametrize(("today", "before", "message"), RENAMED.values(), ids=RENAMED)
def test_a_key_of_an_earlier_version_is_answered_with_its_name_of_today(
    tmp_path: Path, today: str, before: str, message: str
) -> None:
    assert {*RENAMED} == {*RENAMED_KEYS}
    assert today in GOOD

    with pytest.raises(ContractError) as refused:
        loaded(tmp_path, GOOD.replace(today, before, 1))

    assert str(refused.value) == f"things.toml: {message}"


@pytest.mark.parametrize("name", RENAMED_KEYS)
def test_a_column_may_have_the_name_of_an_earlier_key(tmp_path: Path, name: str) -> None:
    text = GOOD.replace("made = {", f"{name} = {{").replace('_column = "made"', f'_column = "{name}"')

    contract = loaded(tmp_path, text.replace("part = {", f"{name} = {{"))

    assert contract.item_table.created_at_column == name
    assert [[c.name for c in table.source_columns] for table in contract.tables] == [["name", name], [name]]


@pytest.mark.parametrize(
    ("service", "operation"),
    [("appstream", "DeleteImageBuilder"), ("ecr", "GetAuthorizationToken"), ("sts", "GetSessionToken"), ("x", "Lists")],
)
def test_only_an_operation_that_reads_is_loaded(tmp_path: Path, service: str, operation: str) -> None:
    text = GOOD.replace('service = "things"', f'service = "{service}"').replace("ListThings", operation)

    with pytest.raises(ContractError, match=f'operation = "{operation}" is no read'):
        loaded(tmp_path, text)


def test_a_refusal_has_its_fix_apart_from_its_text(tmp_path: Path) -> None:
    with pytest.raises(ContractError) as refused:
        loaded(tmp_path, GOOD.replace('"timestamp"', '"timestmp"'))

    message = (
        'things.toml: [things] made: type "timestmp" is not one of string, integer, boolean, timestamp, number, json'
    )
    assert (refused.value.message, refused.value.fix) == (message, 'did you mean "timestamp"?')


def test_a_syntax_error_names_its_line(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"^things\.toml: not readable as TOML: .*at line 2, column \d+\)$"):
        loaded(tmp_path, 'doc = "Things."\nservice = \n')


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path)
    file.write_bytes(b"doc = \xff")

    with pytest.raises(ContractError, match=r"^things\.toml: not readable as TOML: "):
        load_contract(file)


def test_the_files_name_must_be_a_name(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r'^My-Things\.toml: "My-Things" is to be the resource\'s name'):
        loaded(tmp_path, name="My-Things")


def test_a_table_of_two_files_is_refused(tmp_path: Path) -> None:
    written(tmp_path)
    written(tmp_path, GOOD.replace("[things]", "[items2]"), "items2")

    with pytest.raises(ContractError) as refused:
        load_contracts(tmp_path)

    assert str(refused.value) == "things.toml: table [thing_parts] exists in items2.toml already; rename one"


@pytest.mark.parametrize("table", ["accounts", "scope_runs"])
def test_a_table_named_as_an_operational_one_is_refused(tmp_path: Path, table: str) -> None:
    written(tmp_path, GOOD.replace("[thing_parts]", f"[{table}]"))

    with pytest.raises(ContractError) as refused:
        load_contracts(tmp_path)

    assert str(refused.value) == f"things.toml: table [{table}] exists in operational tables already; rename one"


def test_a_table_named_as_the_table_of_changes_is_refused(tmp_path: Path) -> None:
    written(tmp_path, GOOD.replace("[thing_parts]", "[thing_changes]"))

    with pytest.raises(ContractError, match=r"table \[thing_changes\] exists in things.toml already"):
        load_contracts(tmp_path)


def test_a_folder_without_contracts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="no contract"):
        load_contracts(tmp_path)


def test_a_list_in_a_list_has_a_position_per_list(tmp_path: Path) -> None:
    text = GOOD.replace('rows_from = "Parts"', 'rows_from = "Boxes[].Parts"')

    (parts,) = loaded(tmp_path, text).child_tables

    assert parts.key == ("account_id", "region", "thing_name", "boxes_position", "position")


def test_lists_of_one_name_have_positions_of_their_own() -> None:
    assert list_outer_positions("Boxes[].Inner.Boxes[].Parts") == ("boxes_position", "boxes_2_position")


def test_words_of_sql_are_those_that_duckdb_does_not_take_for_names() -> None:
    con = duckdb.connect()
    words = [w for (w,) in con.execute("select keyword_name from duckdb_keywords()").fetchall()]

    def is_name(word: str) -> bool:
        try:
            con.execute(f"select {word} from (select 'mine' as \"{word}\") as t")
            return con.fetchall() == [("mine",)]
        except duckdb.Error:
            return False

    refused = {w for w in words if not is_name(w)}
    assert refused <= SQL_KEYWORDS | {"pivot_longer", "pivot_wider"}


def test_names_are_spelt_as_people_would() -> None:
    spelt = {
        "VolumeSizeInGb": "volume_size_in_gb",
        "DisableIMDSV1": "disable_imdsv1",
        "EniIpv6Addresses": "eni_ipv6_addresses",
        "EniIPv6Addresses": "eni_ipv6_addresses",
        "S3BucketArn": "s3_bucket_arn",
        "KMSKeyId": "kms_key_id",
        "SubnetIDs": "subnet_ids",
        "logGroupName": "log_group_name",
    }

    assert {name: convert_to_snake_case(name) for name in spelt} == spelt


def test_the_grammar_in_the_readme_is_one_that_loads(tmp_path: Path) -> None:
    readme = (resources.find_resource_folder("schemas") / "README.md").read_text("utf-8")
    example = readme.split("```toml\n")[1].split("```")[0]

    contract = loaded(tmp_path, example, "image_builders")

    names = [table.name for table in contract.tables]
    assert names == ["image_builders", "image_builder_subnets", "image_builder_labels"]
