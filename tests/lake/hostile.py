"""Statements that try to write, or to read beyond the warehouse: families, each with every way to say it.

`{data}` is a committed file as DuckDB names it for the connection, `{local}` the same file's path, `{warehouse}` and
`{outside}` are folders, `{scratch}` is where the connection spills.
"""

from collections.abc import Iterator
from itertools import product

CANARY = "canary-4711-of-the-outside"

_TARGETS = ("{data}", "{local}", "file://{local}", "{warehouse}/commits/000000000001.json", "{outside}/new.csv")
_COPY_TAILS = (
    "",
    " (use_tmp_file false)",
    " (format csv, use_tmp_file false)",
    " (format parquet, use_tmp_file false)",
)
_READERS = (
    "read_text", "read_blob", "read_csv", "read_csv_auto", "read_json", "read_json_auto", "read_json_objects",
    "read_ndjson", "read_ndjson_objects", "read_parquet", "parquet_scan", "parquet_metadata", "parquet_schema",
    "parquet_file_metadata", "parquet_kv_metadata", "sniff_csv", "glob", "read_duckdb",
)  # fmt: skip
_SOURCES = (
    "{outside}/secret.csv", "{outside}/*", "{warehouse}/../outside/secret.txt", "{outside}/secret.parquet",
    "{warehouse}/tables/planted.csv", "/etc/passwd", "/proc/self/environ", "file://{outside}/secret.csv",
    "{scratch}/../../../../../../../../..{outside}/secret.csv", "http://127.0.0.1:1/secret.csv", "s3://elsewhere/secret.csv",
)  # fmt: skip
_WRITES = (
    "copy (select 1) to '{local}' (use_tmp_file false)",
    "insert into lake.commits values (9, 'x', now(), true)",
    "delete from lake.commits",
    "update lake.commits set seq = 9",
)
# How SQL is hidden in a statement that calls itself a SELECT; `%s` is a literal of it.
_TEXT_RUNNERS = (
    "select * from query(%s)",
    "select * from json_execute_serialized_sql(json_serialize_sql(%s))",
    "select json_serialize_plan(%s)",
    "with q as (select * from query(%s)) select * from q",
    "select (select count(*) from query(%s))",
    "select * from (values (1)) v, lateral (select * from query(%s))",
    "select 1 where exists (from query(%s))",
    "explain analyze select * from query(%s)",
    "summarize select * from query(%s)",
    "select * from range(1) union all select 1 from query(%s)",
    "select 1 order by (select count(*) from query(%s))",
    "select 1 limit (select count(*) from query(%s))",
    "select list_transform([1], lambda x: (select count(*) from query(%s)))",
)
_SETTINGS = (
    "enable_external_access = true", "lock_configuration = false", "allowed_directories = ['/']",
    "allowed_paths = ['{outside}/secret.csv']", "temp_directory = '{outside}'", "home_directory = '{outside}'",
    "secret_directory = '{outside}'", "extension_directory = '{outside}'", "file_search_path = '{outside}'",
    "profiling_output = '{warehouse}/profile.json'", "log_query_path = '{warehouse}/log'",
    "max_temp_directory_size = '1TB'",
    "memory_limit = '1TB'", "allow_unsigned_extensions = true", "autoinstall_known_extensions = true",
    "python_enable_replacements = true", "max_execution_time = 0", "max_expression_depth = 1000000",
)  # fmt: skip
_PLAIN = r"""
attach '{outside}/x.duckdb'
attach '{outside}/x.duckdb' as x (read_only)
attach '{warehouse}/x.duckdb'
attach '{warehouse}/warehouse.duckdb' as again
attach 'sqlite:{outside}/x.db'
attach 'postgres:host=127.0.0.1 port=1' as pg (type postgres)
attach 'https://127.0.0.1:1/x.duckdb'
export database '{warehouse}/x'
export database '{outside}/x' (format parquet)
import database '{outside}'
install httpfs
force install httpfs
install httpfs from '{outside}'
install '{outside}/evil.duckdb_extension'
load httpfs
load '{outside}/evil.duckdb_extension'
update extensions
create persistent secret s (type http, bearer_token 'x')
create secret s (type s3, key_id 'x', secret 'y')
create table x as select * from read_text('{outside}/secret.txt')
create view x as select * from read_text('{outside}/secret.txt')
create macro x() as table select * from read_text('{outside}/secret.txt')
copy lake.commits from '{outside}/secret.csv'
copy from database warehouse to memory
checkpoint
force checkpoint
vacuum
call enable_logging(storage := 'file', storage_path := '{warehouse}/log')
call enable_logging('FileSystem', storage := 'file', storage_config := {{'path': '{outside}/log'}})
call enable_profiling(save_location := '{warehouse}/profile.json')
select * from enable_logging(storage := 'stdout')
select * from enable_profiling(save_location := '{outside}/profile.json')
pragma enable_profiling
pragma import_database('{outside}')
pragma copy_database('memory', '{outside}/x.duckdb')
call import_database('{outside}')
select * from checkpoint()
select * from force_checkpoint('warehouse')
select getenv('CANARY')
select "getenv"('CANARY')
select 'CANARY'.getenv()
select write_log('x')
select * from duckdb_secrets()
select * from which_secret('s3://x', 's3')
select * from query_table('{outside}/secret.csv')
select * from query_table(['{outside}/secret.csv'])
select * from histogram('{outside}/secret.csv', a)
select * from read_csv(getvariable('x'))
select * from read_text(['{outside}/secret.txt'])
select * from read_text('{outside}' || '/secret.txt')
select * from read_text(chr(47) || 'etc' || chr(47) || 'passwd')
select * from system.main.read_text('{outside}/secret.txt')
select * from "READ_TEXT"('{outside}/secret.txt')
SELECT * FROM ReAd_TeXt('{outside}/secret.txt')
select * from/**/read_text/**/('{outside}/secret.txt')
select * from\u00a0read_text('{outside}/secret.txt')
select * from read_text(E'{outside}/secret\x2etxt')
select * from read_text($$ {outside}/secret.txt $$)
describe '{outside}/secret.csv'
summarize '{outside}/secret.csv'
show '{outside}/secret.csv'
describe select * from '{outside}/secret.csv'
explain select * from '{outside}/secret.csv'
explain analyze copy (select 1) to '{local}'
explain (analyze) copy (select 1) to '{local}'
explain (format json) copy (select 1) to '{local}'
--\nexplain analyze copy (select 1) to '{local}'
/* explain */ explain analyze delete from lake.commits
table '{outside}/secret.csv'
from '{outside}'."secret.csv"
from "{outside}/secret"."csv"
from "secret"."csv"
from memory.main."{outside}/secret.csv"
pivot '{outside}/secret.csv' on a
unpivot '{outside}/secret.csv' on a
select * from (pivot (from '{outside}/secret.csv') on a in (1) using count(*))
with "{outside}/secret.csv" as (select 1) select * from (with x as (select 1) from x), '{outside}/secret.csv'
select * from (with "{outside}/secret.csv" as (select 1) select 1), "{outside}/secret.csv"
select * from 'https://127.0.0.1:1/secret.parquet'
select 1; copy (select 1) to '{local}' (use_tmp_file false)
select 1;; drop view image_builders
select '\'; copy (select 1) to '{local}' (use_tmp_file false) --'
select 1 /* */; /* */ delete from lake.commits
begin; delete from lake.commits; commit
prepare p as copy (select 1) to '{local}' (use_tmp_file false)
execute p
deallocate p
call pragma_version()
create or replace function f() as 1
create sequence q
create index i on lake.commits (seq)
create schema s
create type t as enum ('a')
alter table lake.commits add column x int
comment on view image_builders is 'x'
truncate lake.commits
merge into lake.commits using (select 1) s on true when matched then delete
set variable x = '{outside}/secret.csv'
use memory
detach warehouse
copy (select 1) to '{warehouse}/warehouse.duckdb' (format csv, use_tmp_file false)
copy (select 1) to '{warehouse}/warehouse.duckdb.wal' (format csv, use_tmp_file false)
drop view image_builders
drop schema lake cascade
"""


def list_hostile_statements() -> list[str]:
    """Return every statement, in an order in which none spoils those after it."""
    found = [*_list_copies(), *_list_readers(), *_list_hidden_texts(), *_list_dml_in_with(), *_list_settings()]
    found += [line.encode().decode("unicode_escape") if "\\u" in line or "\\n" in line else line
              for line in _PLAIN.strip().splitlines()]  # fmt: skip
    return list(dict.fromkeys(found))


def _list_copies() -> Iterator[str]:
    for target, tail in product(_TARGETS, _COPY_TAILS):
        yield f"copy (select 1 as a) to '{target}'{tail}"
        yield f"with x as (copy (select 1 as a) to '{target}'{tail}) select 1"
    for target in ("{warehouse}/tables", "{outside}"):
        yield f"copy (select 1 as a, 2 as b) to '{target}' (format parquet, partition_by a, overwrite)"
        yield f"copy (select 1 as a, 2 as b) to '{target}' (format csv, per_thread_output, overwrite_or_ignore)"


def _list_readers() -> Iterator[str]:
    for reader in _READERS:
        for source in _SOURCES if reader in ("read_text", "read_csv") else _SOURCES[:4]:
            yield f"select * from {reader}('{source}')"
    for source in _SOURCES:
        yield f"select * from '{source}'"
        yield f"select (select count(*) from '{source}')"


def _list_hidden_texts() -> Iterator[str]:
    hidden = (*_WRITES, *(f"with x as ({write} returning 1) select 1" for write in _WRITES[1:]))
    hidden += (f"with x as ({_WRITES[0]}) select 1", "select * from read_text('{outside}/secret.txt')")
    for number, (runner, sql) in enumerate(product(_TEXT_RUNNERS, hidden)):
        if runner not in _TEXT_RUNNERS[:2] and number % 3:
            continue  # each runner meets some, and the two plain ones meet all
        quoted = sql.replace("'", "''")
        yield runner.replace("%s", f"'{quoted}'")
    quoted = hidden[-1].replace("'", "''")
    for runner in _TEXT_RUNNERS:
        yield runner.replace("%s", f"'{quoted[:3]}' || '{quoted[3:]}'")
        yield runner.replace("%s", f"reverse(reverse('{quoted}'))")


def _list_dml_in_with() -> Iterator[str]:
    for write in _WRITES[1:]:
        yield write
        yield f"with x as ({write} returning *) select * from x"
        yield f"with recursive x as (select 1 union all ({write})) select * from x"
        yield f"select * from (with x as ({write} returning *) select * from x)"
        yield f"select exists (with x as ({write} returning *) select * from x)"
        yield f"explain analyze {write}"
        yield f"explain analyze with x as ({write} returning *) select 1"


def _list_settings() -> Iterator[str]:
    for setting in _SETTINGS:
        yield f"set {setting}"
        yield f"set global {setting}"
        yield f"pragma {setting}"
    yield from ("reset enable_external_access", "reset all", "reset lock_configuration", "reset temp_directory")
