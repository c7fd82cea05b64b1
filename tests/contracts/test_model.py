"""Contracts against the installed botocore. Lint's findings are whole lines, as a user reads them."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import botocore
import pytest

from appstream_export import resources
from appstream_export.contracts import Contract, Table, load_contracts
from appstream_export.contracts.arrow_schema import build_arrow_schema
from appstream_export.contracts.botocore_model import (
    extract_first_sentence,
    lint_contract,
    lint_contracts,
    load_enum_values,
    mark_sensitive_fields,
)
from appstream_export.contracts.botocore_propose import propose_contract
from appstream_export.contracts.fields import Field, OperationOutput
from appstream_export.contracts.lint import find_field_problems
from appstream_export.contracts.naming import choose_column_names, choose_table_name, guess_singular
from appstream_export.contracts.propose import render_proposed_contract
from appstream_export.errors import ContractError
from tests.contracts.contract_files import loaded

BUILDERS = (resources.find_resource_folder("schemas") / "image_builders.toml").read_text("utf-8")
MODEL = f"botocore {botocore.__version__}"


def linted(folder: Path, old: str, new: str) -> list[str]:
    """Findings in the contract of image builders after one change, without the file's name."""
    assert old in BUILDERS
    found = lint_contract(loaded(folder, BUILDERS.replace(old, new, 1), "image_builders"))
    assert all(line.startswith("image_builders.toml: ") for line in found)
    return [line.removeprefix("image_builders.toml: ") for line in found]


def line_of(column: str) -> str:
    """That column's line in the contract of image builders."""
    return next(line for line in BUILDERS.splitlines() if re.match(rf"{column} *=", line)) + "\n"


def test_our_contracts_are_clean() -> None:
    assert lint_contracts(load_contracts()) == []


def test_a_field_that_no_column_reads_is_named_with_the_line_to_add(tmp_path: Path) -> None:
    (found,) = linted(tmp_path, line_of("root_volume_size_gb"), "")

    assert found == (
        f"[image_builders]: {MODEL} has RootVolumeConfig.VolumeSizeInGb (integer), which no column reads; add: "
        'volume_size_in_gb = { from = "RootVolumeConfig.VolumeSizeInGb", type = "integer", '
        'doc = "The size of the root volume in GB." } or put "RootVolumeConfig.VolumeSizeInGb" = '
        '"<why>" under [ignored]'
    )


COLUMNS = re.findall(r"(?m)^(\w+) *= \{", BUILDERS)
INDISPENSABLE = ("name", "created_time", "subnet_id", "security_group_id", "ipv6_address")  # key, born, only column


@pytest.mark.parametrize("column", [c for c in COLUMNS if c not in INDISPENSABLE])
def test_the_line_that_lint_says_makes_it_clean(tmp_path: Path, column: str) -> None:
    (found,) = linted(tmp_path, line_of(column), "")
    added = re.search(r"add: (.*) or put ", found)

    assert added
    assert linted(tmp_path, line_of(column), added[1] + "\n") == []


def test_a_list_that_no_table_reads_is_named_with_its_each(tmp_path: Path) -> None:
    start = BUILDERS.index("[image_builder_subnets]")
    end = BUILDERS.index("[image_builder_security_groups]")

    (found,) = linted(tmp_path, BUILDERS[start:end], "")

    assert found.startswith(
        f'a new table with rows_from = "VpcConfig.SubnetIds": {MODEL} has VpcConfig.SubnetIds[] (string), '
        "which no column "
        'reads; add: subnet_id = { from = ".", type = "string", '
    )


@pytest.mark.parametrize("path", ["RootVolumeConfig.VolumeSizeInGb", "RootVolumeConfig"])
def test_an_ignored_field_is_fine(tmp_path: Path, path: str) -> None:
    assert linted(tmp_path, line_of("root_volume_size_gb") + "", "") != []
    text = BUILDERS.replace(line_of("root_volume_size_gb"), "") + f'\n[ignored]\n"{path}" = "why"\n'

    assert lint_contract(loaded(tmp_path, text, "image_builders")) == []


LINTS = {
    "unknown service": (
        '"appstream"',
        '"appstrem"',
        f'service = "appstrem" is unknown to {MODEL}; did you mean "appstream"?',
    ),
    "unknown operation": (
        "DescribeImageBuilders",
        "DescribeImageBuilder",
        f'operation = "DescribeImageBuilder" is unknown to {MODEL} for appstream; did you mean '
        '"DescribeImageBuilders"?',
    ),
    "unknown items": (
        'items     = "ImageBuilders"',
        'items     = "ImageBilders"',
        'items = "ImageBilders": there is no field "ImageBilders"; did you mean "ImageBuilders"?',
    ),
    "items are no list": (
        'items     = "ImageBuilders"',
        'items     = "NextToken"',
        'items = "NextToken": NextToken is no list but string; DescribeImageBuilders gives ImageBuilders',
    ),
    "unknown field": (
        '"RootVolumeConfig.VolumeSizeInGb"',
        '"RootVolumeConfig.VolumeSizeInGib"',
        '[image_builders] root_volume_size_gb: from = "RootVolumeConfig.VolumeSizeInGib": '
        "RootVolumeConfig has no field "
        '"VolumeSizeInGib"; did you mean "VolumeSizeInGb"?',
    ),
    "wrong type": (
        'from = "RootVolumeConfig.VolumeSizeInGb", type = "integer"',
        'from = "RootVolumeConfig.VolumeSizeInGb", type = "string"',
        '[image_builders] root_volume_size_gb: from = "RootVolumeConfig.VolumeSizeInGb": type is string, but AWS gives '
        'integer; write type = "integer"',
    ),
    "structure as a text": (
        '"RootVolumeConfig.VolumeSizeInGb", type = "integer"',
        '"RootVolumeConfig", type = "string"',
        '[image_builders] root_volume_size_gb: from = "RootVolumeConfig": it is a structure; read a field of it '
        "(VolumeSizeInGb) or take type json",
    ),
    "list as a text": (
        '"RootVolumeConfig.VolumeSizeInGb", type = "integer"',
        '"AccessEndpoints", type = "string"',
        '[image_builders] root_volume_size_gb: from = "AccessEndpoints": it is a list; its elements are '
        "rows of a table "
        'with rows_from = "AccessEndpoints"',
    ),
    "path through a list": (
        '"RootVolumeConfig.VolumeSizeInGb", type = "integer"',
        '"AccessEndpoints.VpceId", type = "string"',
        '[image_builders] root_volume_size_gb: from = "AccessEndpoints.VpceId": AccessEndpoints is a '
        "list; its elements "
        'are rows of a table with rows_from = "AccessEndpoints"',
    ),
    "path through a text": (
        '"RootVolumeConfig.VolumeSizeInGb", type = "integer"',
        '"Name.First", type = "string"',
        '[image_builders] root_volume_size_gb: from = "Name.First": Name is string, which has no field "First"',
    ),
    "unknown list": (
        '"VpcConfig.SubnetIds"',
        '"VpcConfig.Subnets"',
        '[image_builder_subnets]: rows_from = "VpcConfig.Subnets": VpcConfig has no field "Subnets"; did you '
        'mean "SubnetIds"?',
    ),
    "each is no list": (
        '"VpcConfig.SubnetIds"',
        '"VpcConfig"',
        '[image_builder_subnets]: rows_from = "VpcConfig": VpcConfig is no list but structure',
    ),
    "each through a list": (
        '"VpcConfig.SubnetIds"',
        '"AccessEndpoints.VpceId"',
        '[image_builder_subnets]: rows_from = "AccessEndpoints.VpceId": AccessEndpoints is a list on the way; '
        "write AccessEndpoints[]",
    ),
}


@pytest.mark.parametrize(("old", "new", "finding"), LINTS.values(), ids=LINTS)
def test_lint_names_place_and_fix(tmp_path: Path, old: str, new: str, finding: str) -> None:
    assert finding in linted(tmp_path, old, new)


def test_an_ignored_field_that_aws_no_longer_has_is_named(tmp_path: Path) -> None:
    found = linted(tmp_path, BUILDERS, BUILDERS + '\n[ignored]\n"VpcConfig.Old" = "why"\n')

    assert found == [
        f'[ignored] "VpcConfig.Old": VpcConfig has no field "Old"; {MODEL} does not have it: correct it '
        "or take the line out"
    ]


def test_a_field_that_is_ignored_and_read_is_named(tmp_path: Path) -> None:
    found = linted(tmp_path, BUILDERS, BUILDERS + '\n[ignored]\n"DomainJoinInfo" = "why"\n')

    assert found == [
        '[ignored] "DomainJoinInfo": [image_builders] directory_name reads it; take one of the two out',
        '[ignored] "DomainJoinInfo": [image_builders] organizational_unit_distinguished_name reads it; '
        "take one of the two out",
    ]


def test_json_takes_everything_below_a_path(tmp_path: Path) -> None:
    line = line_of("root_volume_size_gb")
    new = line.replace("RootVolumeConfig.VolumeSizeInGb", "RootVolumeConfig").replace('"integer"', '"json"')

    assert linted(tmp_path, line, new) == []


def test_known_values_are_the_enums_in_botocores_order() -> None:
    (contract,) = (c for c in load_contracts() if c.name == "image_builders")
    known = load_enum_values(contract)

    assert known["image_builder_agent_settings", "permission"] == ("ENABLED", "DISABLED")
    assert known["image_builders", "state"][:3] == ("PENDING", "UPDATING_AGENT", "RUNNING")
    assert ("image_builders", "name") not in known


def test_known_values_do_without_a_field_that_botocore_lacks(tmp_path: Path) -> None:
    text = BUILDERS.replace('from = "State"', 'from = "StateOfTomorrow"')

    assert ("image_builders", "state") not in load_enum_values(loaded(tmp_path, text, "image_builders"))


PROPOSED = [
    ("appstream", "DescribeFleets"),
    ("appstream", "DescribeImages"),
    ("appstream", "DescribeStacks"),
    ("appstream", "DescribeImageBuilders"),
    ("workspaces", "DescribeWorkspaces"),
    ("workspaces", "DescribeWorkspaceDirectories"),
    ("logs", "DescribeLogGroups"),
    ("ecs", "DescribeClusters"),
    ("organizations", "ListAccounts"),  # `accounts` is an operational table
    ("glue", "ListGlossaries"),  # `items` is a word of the grammar
    ("sagemaker", "ListMonitoringAlertHistory"),  # `_history` is the name of a view
    ("ssm", "DescribeInstanceInformation"),
    ("dynamodb", "ListBackups"),
    ("route53domains", "ListDomains"),
    ("codepipeline", "ListActionTypes"),  # the key lies in a structure
    ("ce", "GetAnomalyMonitors"),  # a structure within itself
    ("dynamodb", "ListTables"),  # the items are texts
    ("lambda", "ListFunctions"),  # rest-json
    ("wafv2", "ListWebACLs"),  # a required enum
    ("resourcegroupstaggingapi", "GetResources"),  # IAM has another prefix
    ("mediaconvert", "ListQueues"),  # other names in JSON than in Python
]


def proposed(folder: Path, service: str, operation: str) -> Contract:
    """The proposal, saved as it says and loaded."""
    text = propose_contract(service, operation)
    name = re.search(r"Save as schemas/(\w+)\.toml", text)
    assert name
    (folder / f"{name[1]}.toml").write_text(text, "utf-8")
    (contract,) = load_contracts(folder)
    return contract


@pytest.mark.parametrize(("service", "operation"), PROPOSED)
def test_a_proposal_loads_and_is_clean(tmp_path: Path, service: str, operation: str) -> None:
    contract = proposed(tmp_path, service, operation)

    assert lint_contract(contract) == []
    assert [build_arrow_schema(table).names for table in contract.tables]


def test_a_proposal_of_image_builders_has_the_tables_that_a_person_wrote(tmp_path: Path) -> None:
    ours = next(c for c in load_contracts() if c.name == "image_builders")
    contract = proposed(tmp_path, "appstream", "DescribeImageBuilders")

    def read(table: Table) -> list[tuple[str, str]]:
        return sorted((c.source, c.type) for c in table.source_columns)

    assert (contract.item_key, contract.item_table.created_at_column) == (("name",), "created_time")
    assert {t.rows_from: read(t) for t in contract.tables} == {t.rows_from: read(t) for t in ours.tables}


def test_a_list_in_a_list_becomes_a_table(tmp_path: Path) -> None:
    contract = proposed(tmp_path, "appstream", "DescribeStacks")

    (domains,) = (t for t in contract.child_tables if t.rows_from == "StorageConnectors[].Domains")

    assert domains.name == "stack_domains"
    assert domains.key == ("account_id", "region", "stack_name", "storage_connectors_position", "position")
    assert [(c.name, c.source) for c in domains.source_columns] == [("domain", ".")]


def test_a_sensitive_field_that_a_contract_does_not_mention_is_ignored(tmp_path: Path) -> None:
    text = propose_contract("organizations", "ListAccounts").partition("[ignored]")[0]
    contract = loaded(tmp_path, text, re.findall(r"Save as schemas/(\w+)\.toml", text)[0])

    assert lint_contracts([contract]) == []
    assert set(mark_sensitive_fields(contract).sensitive) == {"Email", "Name"}


def test_a_required_id_is_the_key_before_an_id_and_an_id_before_a_name() -> None:
    def key(*fields: Field) -> str:
        item = Field(
            "", "structure", "structure", fields=(*fields, Field("Name", "string", "string", is_required=True))
        )
        text = render_proposed_contract(OperationOutput("things", "Things", "ListThings", "Things", item, "model"))
        return tomllib.loads(text)["things"]["key"][0]

    plain, required = Field("Id", "string", "string"), Field("ThingId", "string", "string", is_required=True)

    assert (key(plain, required), key(plain), key()) == ("thing_id", "id", "name")


def test_sensitive_fields_are_ignored_unless_a_person_says_otherwise() -> None:
    found = tomllib.loads(propose_contract("organizations", "ListAccounts"))

    assert set(found["ignored"]) == {"Email", "Name"}


@pytest.mark.parametrize(
    ("service", "operation", "message"),
    [
        ("appstrem", "DescribeFleets", f'service = "appstrem" is unknown to {MODEL}; did you mean "appstream"?'),
        (
            "../appstream",
            "DescribeFleets",
            f'service = "../appstream" is unknown to {MODEL}; did you mean "appstream"?',
        ),
        (
            "appstream",
            "DescribeFleet",
            f'operation = "DescribeFleet" is unknown to {MODEL} for appstream; did you mean "DescribeFleets"?',
        ),
        ("ec2", "DescribeInstances", 'service = "ec2" speaks ec2: only json and rest-json are read'),
        (
            "appstream",
            "CreateFleet",
            'operation = "CreateFleet" is no read: only Describe, List and some Get operations are allowed',
        ),
        (
            "connect",
            "ListUsers",
            'operation = "ListUsers" needs InstanceId: give each a value by with = { InstanceId = ... }',
        ),
        (
            "organizations",
            "DescribeOrganization",
            'operation = "DescribeOrganization" gives no list and no map; look for another operation',
        ),
        (
            "network-firewall",
            "DescribeFirewall",
            f'operation = "DescribeFirewall" gives UpdateToken, but {MODEL} does not know how it pages: '
            "the export could not recognize its last page",
        ),
        (
            "ecr",
            "GetAuthorizationToken",
            'operation = "GetAuthorizationToken" is no read: only Describe, List and some Get operations are allowed',
        ),
    ],
)
def test_what_cannot_be_exported_is_refused_in_one_line(service: str, operation: str, message: str) -> None:
    with pytest.raises(ContractError) as refused:
        propose_contract(service, operation)

    assert str(refused.value) == message


def test_a_field_in_a_nested_list_is_placed_in_the_list_around_it(tmp_path: Path) -> None:
    text = """doc = "d"
service = "s"
operation = "ListThings"
items = "Things"
item_name = "thing"
[things]
doc = "d"
key = ["name"]
name = { from = "Name", type = "string", doc = "d" }
"""
    word = Field("Word", "string", "string")
    inner = Field("Words", "list", "list", element=word)
    group = Field("Groups", "list", "list", element=Field("", "structure", "structure", fields=(inner,)))
    item = Field("", "structure", "structure", fields=(Field("Name", "string", "string"), group))

    (found,) = find_field_problems(loaded(tmp_path, text), item, "a model")

    assert found.startswith('a new table with rows_from = "Groups[].Words": a model has Groups[].Words[] (string)')


def test_columns_of_one_name_get_the_steps_before_it() -> None:
    names = choose_column_names(
        ["Name", "A.Name", "A.B.Size", "Region", "A.Order", "Order", "A.Text"], ["text"], "thing"
    )

    assert names == {
        "Name": "name",
        "A.Name": "a_name",
        "A.B.Size": "b_size",
        "Region": "thing_region",
        "Order": "thing_order",
        "A.Order": "a_order",
        "A.Text": "a_text",
    }


def test_tables_of_one_name_get_the_steps_before_it() -> None:
    taken = {"things", "thing_changes"}

    paths = [
        "Vpc.SubnetIds",
        "Other.SubnetIds",
        "Changes",
        "ThingErrors",
        "Groups[].Members",
        "Alert.History",
        "TagList",
    ]

    assert [choose_table_name(path, "thing", taken) for path in paths] == [
        "thing_subnets",
        "thing_other_subnets",
        "thing_changes_2",
        "thing_errors",
        "thing_members",
        "thing_histories",
        "thing_tags",
    ]


@pytest.mark.parametrize(
    ("plural", "singular"),
    [
        ("fleets", "fleet"),
        ("policies", "policy"),
        ("addresses", "address"),
        ("aliases", "alias"),
        ("caches", "cache"),
        ("matches", "match"),
        ("statuses", "status"),
        ("databases", "database"),
        ("status", "status"),
        ("class", "class"),
    ],
)
def test_singulars_are_guessed(plural: str, singular: str) -> None:
    assert guess_singular(plural) == singular


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>The name of the fleet.</p>", "The name of the fleet."),
        ("<p>The state. More of it.</p>", "The state."),
        ("<p>The <code>Name</code> &amp; the\n   Id</p>", "The Name & the Id."),
        ("<p>One of:</p><ul><li>A</li></ul>", "One of."),
        ("<p>For example, e.g. This one. Next.</p>", "For example, e.g. This one."),
        ("", ""),
        (f"<p>{'word ' * 80}</p>", "word " * 39 + "word ..."),
    ],
)
def test_docs_are_the_first_sentence_in_plain_text(html: str, text: str) -> None:
    assert extract_first_sentence(html) == text


def test_loading_contracts_loads_no_botocore() -> None:
    code = (
        "import sys; from appstream_export.contracts import load_contracts, render\n"
        "load_contracts(); print('botocore' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
