"""What is wrong in a settings file is said in the file's own words: all of it at once, each with its line and fix."""

import re
from pathlib import Path

import pytest
from msgspec import Struct

from appstream_export import settings
from appstream_export.errors import SettingsError, SettingsErrors
from appstream_export.settings import read_settings
from appstream_export.user_text import find_key_lines

ACCOUNT = 'regions = ["us-east-1"]\n[[accounts]]\nid = "111122223333"\n'


def complaints(folder: Path, text: str | bytes) -> list[str]:
    """Each line that refuses the file, without the file's name."""
    file = folder / "appstream-export.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SettingsError) as refused:
        read_settings(file, {})
    return [line.removeprefix(f"{file} ").removeprefix(f"{file}: ") for line in refused.value.lines]


# A mistake, and the one line that follows: the words of the file, what is allowed, the line.
SECTIONS: dict[str, type[Struct]] = {
    "": settings.Settings, "organization": settings.OrganizationSettings, "aws": settings.AwsSettings,
    "extract": settings.ExtractSettings, "lake": settings.LakeSettings, "lake.retention": settings.RetentionSettings,
    "lake.s3": settings.S3Settings, "feeds": settings.FeedsSettings, "dagster": settings.DagsterSettings,
    "[accounts]": settings.AccountSettings,
}  # fmt: skip
MISTAKES = {
    'warehouse = 5\n': 'line 1: warehouse: 5 is not a string; write it in quotes: "5"',
    'regions = "us-east-1"\n[[accounts]]\nid = "111122223333"\n#': 'line 1: regions: "us-east-1" is not "auto" or a '
    'list such as ["us-east-1", "eu-*"]; write regions = ["us-east-1"]',
    "[extract]\nworkers = 0\n": "line 2: [extract] workers: 0 is not a whole number from 1 to 256",
    "[extract]\nworkers = 1.5\n": "line 2: [extract] workers: 1.5 is not a whole number from 1 to 256",
    '[extract]\nworkers = "8"\n': 'line 2: [extract] workers: "8" is not a whole number from 1 to 256; '
    "write it without quotes",
    "[extract]\nworkers = true\n": "line 2: [extract] workers: true is not a whole number from 1 to 256",
    "[extract]\nmax_items = 0\n": "line 2: [extract] max_items: 0 is not a whole number from 1",
    "[extract]\nmax_failed_ratio = 5\n": "line 2: [extract] max_failed_ratio: 5 is not a number from 0 to 1",
    "[extract]\nmax_failed_ratio = nan\n": "line 2: [extract] max_failed_ratio: nan is not a number from 0 to 1",
    "[extract]\nrun_timeout_s = 0\n": "line 2: [extract] run_timeout_s: 0 is not a number above 0",
    "[extract]\nrun_timeout_s = inf\n": "line 2: [extract] run_timeout_s: inf is not a finite number",
    '[extract]\nnames = "a"\n': 'line 2: [extract] names: "a" is not a list of strings such as ["a", "b"]; '
    'write names = ["a"]',
    '[extract]\nnames = [\n  "a",\n  5,\n]\n': 'line 4: [extract] names: 5 is not a string; write it in quotes: "5"',
    '[lake]\nfreshness_interval = "0h"\n': 'line 2: [lake] freshness_interval: "0h" is not a duration above 0 '
    'such as "90m", "24h" or "7d"',
    "[lake]\nfreshness_interval = 24\n": "line 2: [lake] freshness_interval: 24 is not a duration above 0 such "
    'as "90m", "24h" or "7d"; write it in quotes: "24"',
    '[lake]\nfile_mode = 640\n': 'line 2: [lake] file_mode: 640 is not one of "0600", "0640", "0644", "0660", "0664"; '
    'did you mean "0640"?',
    '[feeds]\ncsv = "yes"\n': 'line 2: [feeds] csv: "yes" is not true or false',
    '[feeds]\ncsv = "true"\n': 'line 2: [feeds] csv: "true" is not true or false; write it without quotes',
    '[dagster]\nexecutor = "daks"\n': 'line 2: [dagster] executor: "daks" is not one of "celery", "dask", '
    '"in_process", "kubernetes", "multiprocess"; did you mean "dask"?',
    '[dagster]\nexecutor_config = "x"\n': 'line 2: [dagster] executor_config: "x" is not a section',
    'lake = "x"\n': 'line 1: lake: "x" is not a section',
    "lake.retention.hourly_days = -1\n": "line 1: [lake.retention] hourly_days: -1 is not a whole number from "
    "0 to 36500",
    '[lake.s3]\nkms_key_id = ""\n': 'line 2: [lake.s3] kms_key_id: "" is not a string that is not empty',
    '[extract]\nregions = ["us-east-1"]\n': 'line 2: [extract] unknown key "regions"; it belongs at the top of the '
    "file, above the first [section], or in [[accounts]]",
    '[extract]\nca_bundle = "x"\n': 'line 2: [extract] unknown key "ca_bundle"; it belongs in [aws] or in [lake.s3]',
    '"a=b" = 1\n': 'line 1: unknown key "a=b"; known keys: account_labels_file, accounts, aws, contracts, dagster, '
    "extract, feeds, heartbeat, lake, metrics, organization, regions, sql, warehouse",
    "[feeds]\nzzz = 1\n": 'line 2: [feeds] unknown key "zzz"; known keys: account_labels, csv, file_mode, '
    "history_days, keep_generations, platform_support, prices, publish, report, tags, versions, xlsx",
    '[lake]\nguard_percent = 5\n': 'line 2: [lake] "guard_percent" is now called "max_drop_percent"; rename it',
    "cron = 2026-01-31\n": 'line 1: unknown key "cron"; it belongs in [dagster]',
    "warehouse = 2026-01-31\n": 'line 1: warehouse: 2026-01-31 is not a string; write it in quotes: "2026-01-31"',
    '[aws]\nendpoint_url = "http://[::1"\n': 'line 2: [aws] endpoint_url: "http://[::1" is not a URL such as '
    "http://127.0.0.1:4599",
}  # fmt: skip
ACCOUNTS = {
    '[accounts]\nid = "111122223333"\n': "line 1: accounts: a section is not a list of sections; write [[accounts]], "
    "with two brackets on each side",
    'accounts = ["111122223333"]\n': 'line 1: accounts: "111122223333" is not a section',
    "[[accounts]]\nid = 111122223333\n": "line 2: [[accounts]] number 1 id: 111122223333 is not a string; "
    'write it in quotes: "111122223333"',
    '[[accounts]]\nname = "x"\n': "line 1: [[accounts]] number 1: id is missing; add it",
    '[[accounts]]\nid = "111122223333"\nexternal_id = 12345\n': "line 3: [[accounts]] number 1 external_id: *** is not "
    "a string; write it in quotes",
    '[organization]\nrolename = "x"\n': 'line 2: [organization] unknown key "rolename"; did you mean "role_name"?',
    '[organization]\nexternal_id = "x"\n': "line 1: [organization]: role_name is missing; add it",
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_value_is_one_line_with_place_and_what_is_allowed(mistake: str, tmp_path: Path) -> None:
    text = mistake if mistake.endswith("#") else f"{mistake}[organization]\nrole_name = 'reader'\n"

    assert complaints(tmp_path, text) == [MISTAKES[mistake]]


@pytest.mark.parametrize("mistake", ACCOUNTS)
def test_so_is_a_wrong_account(mistake: str, tmp_path: Path) -> None:
    assert complaints(tmp_path, mistake) == [ACCOUNTS[mistake]]


def test_everything_that_is_wrong_in_a_file_is_said_at_once_in_the_order_of_its_lines(tmp_path: Path) -> None:
    text = """\
warehouse = 5
regions = [
  "us-east-1",  # not a section: [x]
  "useast",
]
[extract]
workers = 0
max_atempts = 3
[[accounts]]
id = 111122223333
[[accounts]]
id = "11"
regions = "eu-west-1"
[dagster]
cron = "daily"
keep_runs_days = 0
timezone = "Europe/Berlni"
"""

    assert [line.partition(":")[0] for line in complaints(tmp_path, text)] == [
        f"line {n}" for n in (1, 4, 7, 8, 10, 12, 13, 15, 16, 17)
    ]


def test_a_consequence_of_another_mistake_is_not_said_too(tmp_path: Path) -> None:
    assert len(complaints(tmp_path, 'regions = 5\n[[accounts]]\nid = "111122223333"\n')) == 1
    assert len(complaints(tmp_path, f"warehouse = 5\n{ACCOUNT}[lake.s3]\nprofile = 'x'\n")) == 1
    assert len(complaints(tmp_path, "[organization]\nrole_name = 5\n")) == 1


def test_a_thousand_mistakes_are_twenty_lines_and_their_number(tmp_path: Path) -> None:
    text = 'regions = ["us-east-1"]\n' + '[[accounts]]\nid = "11"\n' * 1000
    found = complaints(tmp_path, text)

    assert (len(found), found[-1]) == (21, "and 980 more like these")


def test_an_error_of_many_lines_is_one_text_where_one_line_is_all_there_is(tmp_path: Path) -> None:
    file = tmp_path / "appstream-export.toml"
    file.write_text("workers = 1\nwarehouse = 5\n" + ACCOUNT)

    with pytest.raises(SettingsErrors) as refused:
        read_settings(file, {})

    assert "\n" not in str(refused.value)
    assert str(refused.value).count(f"{file} line ") == 2


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_file_of_any_editor_is_read(encoding: str, line_end: str, tmp_path: Path) -> None:
    file = tmp_path / "appstream-export.toml"
    text = ("warehouse = 'wärme'\n" + ACCOUNT).replace("\n", line_end)
    mark = "\ufeff" if encoding in ("utf-16-le", "utf-16-be") else ""
    file.write_bytes((mark + text).encode(encoding))

    assert read_settings(file, {}).warehouse == str(tmp_path / "wärme")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("a = 1\nwarehouse = 'wärme'\n".encode("latin-1"), "line 2 is not in UTF-8: save it in UTF-8"),
        ("a = 1\n".encode("utf-16-le"), "it holds binary data, or text in UTF-16 without a byte order mark"),
        (b"regions = [\n", "Unclosed array"),
    ],
)
def test_a_file_that_is_no_text_is_one_line(content: bytes, complaint: str, tmp_path: Path) -> None:
    if "Unclosed" in complaint:
        complaint = ""  # Python's words, which change
    (only,) = complaints(tmp_path, content)

    assert only.startswith(f"not readable as TOML: {complaint}")


def test_a_folder_where_a_file_should_be_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is a folder, not a file"):
        read_settings(tmp_path, {})


TOML = '''\
# [not.a.section]
top = "a # b"
"quoted key" = 1
many = [
  "x", # ]
  ["y", "z"],

  "w" ]
text = """
[no]
a = 1
"""
literal = \'\'\'
[[no]]\'\'\'
a.b.c = { x = [1,
  2] }
[section."with.dot"]
k = 1
[[list]]
k = 1
inline = [{ id = 1 },
  { id = 2 }]
[list.sub]
k = 2
[[list]]
k = 3
'''


def test_each_key_is_found_on_its_line() -> None:
    found = find_key_lines(TOML)

    assert {".".join(map(str, path)): line for path, line in found.items()} == {
        "top": 2, "quoted key": 3, "many": 4, "many.0": 5, "many.1": 6, "many.2": 8, "text": 9, "literal": 13,
        "a": 15, "a.b": 15, "a.b.c": 15, "section.with.dot": 17, "section.with.dot.k": 18,
        "list.0": 19, "list.0.k": 20, "list.0.inline": 21, "list.0.inline.0": 21, "list.0.inline.1": 22,
        "list.0.sub": 23, "list.0.sub.k": 24, "list.1": 25, "list.1.k": 26,
    }  # fmt: skip


@pytest.mark.parametrize(("section", "kind"), SECTIONS.items())
@pytest.mark.parametrize("value", ["[[2026-01-31]]", "5", '""', "{ x = 1 }", "-0.5", "true"])
def test_no_key_is_refused_in_words_of_a_library(section: str, kind: type[Struct], value: str, tmp_path: Path) -> None:
    head = f"[{section}]\n" if section else ""
    text = "".join(f"{name} = {value}\n" for name in kind.__struct_fields__)

    for line in complaints(tmp_path, head + text):
        assert not re.search(r"`|[Ee]xpected|regex|\^|array|object|null|Struct|NoneType", line), line


@pytest.mark.parametrize("seconds", [settings.SESSION_MIN_S, settings.SESSION_MAX_S])
def test_the_shortest_and_the_longest_session_are_accepted(seconds: int, tmp_path: Path) -> None:
    file = tmp_path / "appstream-export.toml"
    file.write_text(f"{ACCOUNT}[aws]\nsession_duration_s = {seconds}\n")

    assert read_settings(file, {}).aws.session_duration_s == seconds


def test_the_buckets_own_ca_bundle_goes_before_that_of_aws() -> None:
    aws = settings.AwsSettings(ca_bundle="aws.pem")
    own = settings.LakeSettings(s3=settings.S3Settings(ca_bundle="bucket.pem"))

    assert settings.Settings(aws=aws, lake=own).s3.ca_bundle == "bucket.pem"
    assert settings.Settings(aws=aws).s3.ca_bundle == "aws.pem"


def test_a_variable_that_is_empty_is_no_secret() -> None:
    with pytest.raises(SettingsError, match="environment variable OUTER is not set"):
        settings.Secret("env:OUTER").reveal({"OUTER": ""})
