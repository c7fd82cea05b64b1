"""A warehouse in a bucket: one winner, lost answers, hints, uploads cut off, refusals; over the wire to moto's S3."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import botocore.session
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import appstream_export
from appstream_export.errors import ConfigurationError, ExportError, QueryError, StorageFailed
from appstream_export.lake.catalog import setup_sql
from appstream_export.lake.catalog.connect import connect_warehouse, publish_catalog
from appstream_export.lake.catalog.query import run_query
from appstream_export.lake.snapshots.manifest import load_head, load_history
from appstream_export.lake.storage import paths
from appstream_export.lake.storage.factory import open_store
from appstream_export.lake.storage.fsspec_bridge import BLOCK_BYTES
from appstream_export.lake.storage.s3 import HEAD_HINT_FILE, PART_BYTES, S3Store
from appstream_export.settings import S3Settings
from tests.lake.buckets import NAME, Bucket, Cut, Fault, Halve, Lose, Plan, Refuse, Seen, first
from tests.lake.lakes import A, B, Lake, builder, failed, ok
from tests.lake.test_query import HOSTILE, OUTSIDE

pytestmark = pytest.mark.slow
DENIED = Refuse(403, "AccessDenied")
BEFORE, AFTER = datetime(2010, 1, 1, tzinfo=UTC), datetime(2011, 1, 1, tzinfo=UTC)  # moto's uploads begin in 2010


@pytest.fixture
def lake(bucket: Bucket) -> Lake:
    """An empty warehouse in the bucket."""
    return Lake(bucket.place(), s3=bucket.settings)


def test_of_many_who_create_one_object_one_wins(bucket: Bucket) -> None:
    store = bucket.open()
    start = threading.Barrier(8)

    def create(number: int) -> bool:
        start.wait()
        return store.put_if_absent("commits/1.json", str(number).encode())

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(create, range(8)))

    assert won.count(True) == 1
    assert store.read_bytes("commits/1.json") == str(won.index(True)).encode()


@pytest.mark.parametrize(
    "fault",
    [Lose(), Cut(), Refuse(503, "SlowDown"), Refuse(500, "InternalError"), Refuse(409, "ConditionalRequestConflict")],
    ids=["answer lost", "request lost", "busy", "broken", "conflict"],
)
def test_a_commit_stands_whatever_happens_to_its_manifest_on_the_way(lake: Lake, bucket: Bucket, fault: Fault) -> None:
    bucket.wire.plan = first(1, fault, "PUT", key="000000000001.json")

    manifest = lake.commit(ok(A, builder("a")))

    assert (load_head(lake.store), lake.names(), len(load_history(lake.store))) == (manifest, ["a"], 1)


def test_a_commit_stands_although_the_answer_to_each_of_its_writes_is_lost_once(lake: Lake, bucket: Bucket) -> None:
    heard: set[str] = set()

    def plan(_: int, seen: Seen) -> Fault | None:
        is_new = seen.method == "PUT" and seen.key not in heard
        heard.add(seen.key)
        return Lose() if is_new else None

    bucket.wire.plan = plan
    manifest = lake.commit(ok(A, builder("a")))

    assert (load_head(lake.store), lake.names(), len(load_history(lake.store))) == (manifest, ["a"], 1)
    assert lake.files() == {f.path for t in manifest.tables.values() for f in t.files}


def test_a_commit_whose_answer_never_comes_is_found_by_reading_back(lake: Lake, bucket: Bucket) -> None:
    lost: list[bool] = []

    def plan(_: int, seen: Seen) -> Fault | None:
        """The manifest lands, its answer is lost, and all further tries are refused."""
        if seen.method == "PUT" and seen.key.endswith("000000000001.json"):
            lost.append(True)
            return Lose() if len(lost) == 1 else DENIED
        return None

    bucket.wire.plan = plan
    manifest = lake.commit(ok(A, builder("a")))

    assert (len(lost), load_head(lake.store)) == (2, manifest)


def test_a_rivals_manifest_is_not_taken_for_ours(lake: Lake, bucket: Bucket) -> None:
    store = bucket.open(lake.store.root)
    store.put_if_absent("commits/000000000001.json", b"theirs")
    bucket.wire.plan = first(1, Lose(), "PUT", key="000000000001.json")

    assert store.put_if_absent("commits/000000000001.json", b"ours") is False


@pytest.mark.long
def test_credentials_that_end_at_any_request_leave_the_old_or_the_new_snapshot(lake: Lake, bucket: Bucket) -> None:
    old = lake.commit(ok(A, builder("a", subnets=["s"])), ok(B, builder("b")))
    healthy, minute = lake.store, lake.minute
    for n in range(1, 200):
        lake.store, lake.minute = bucket.open(healthy.root), minute
        bucket.calm()
        bucket.wire.plan = lambda number, _, n=n: Refuse(403, "ExpiredToken") if number >= n else None
        told = outcome(lambda: lake.commit(ok(A, builder("a2")), failed(B)))
        bucket.calm()
        lake.store = healthy
        if load_head(healthy) != old:
            break
        assert told is None or "ExpiredToken" in told
        if n % 8 == 0:
            assert lake.names() == ["a"]

    assert n > 20
    assert (lake.names(A), lake.names(B), [m.seq for m in load_history(healthy)]) == (["a2"], ["b"], [1, 2])


def outcome(call: Callable[[], object]) -> str | None:
    """What a failure said, in one line; None when all went well."""
    try:
        call()
    except ExportError as error:
        said = str(error)
    else:
        return None
    assert "\n" not in said
    return said


@pytest.mark.parametrize(
    "hint", [None, b"", b"\xff\x00", b"000000000001.json", b"000000000099.json", b"head", b"z" * 99]
)
def test_the_head_is_found_whatever_the_hint_says(lake: Lake, bucket: Bucket, hint: bytes | None) -> None:
    for number in range(1, 4):
        lake.store.put_if_absent(paths.build_manifest_path(number), str(number).encode())
    key = f"{lake.store.root.rpartition('/')[2]}/commits/{HEAD_HINT_FILE}"
    if hint is None:
        bucket.client.delete_object(Bucket=NAME, Key=key)
    else:
        bucket.client.put_object(Bucket=NAME, Key=key, Body=hint)

    assert lake.store.list_tail("commits")[-1] == "000000000003.json"


def test_a_good_hint_spares_the_older_names(lake: Lake, bucket: Bucket) -> None:
    for number in range(1, 4):
        lake.store.put_if_absent(paths.build_manifest_path(number), b"")

    assert list(lake.store.list_tail("commits")) == ["000000000003.json"]
    assert len(lake.store.list_folder("commits")) == 3
    assert "000000000003" in str(bucket.wire.seen[-2].query["start-after"])


def test_a_hint_that_cannot_be_left_does_not_undo_the_commit(lake: Lake, bucket: Bucket) -> None:
    bucket.wire.plan = first(99, DENIED, "PUT", key=HEAD_HINT_FILE)

    manifest = lake.commit(ok(A, builder("a")))

    assert (load_head(lake.store), lake.names()) == (manifest, ["a"])


def test_large_files_go_up_and_come_back_in_pieces(bucket: Bucket) -> None:
    store = bucket.open()
    content = os.urandom(2 * PART_BYTES + 12345)
    bucket.wire.plan = first(1, Lose(), "POST", query="uploadId")  # and the upload has ended when we ask again
    with store.open_output("tables/t/a.bin") as sink:
        for start in range(0, len(content), 1 << 20):
            sink.write(content[start : start + (1 << 20)])

    file = store.get_filesystem().open(store.resolve_uri("tables/t/a.bin"))
    spans = [(0, 10), (len(content) - 5, 100), (3 * BLOCK_BYTES, 2 * BLOCK_BYTES), (12345 - 1, 2), (len(content), 1)]
    for start, size in spans:
        file.seek(start)
        assert (file.read(size), file.tell()) == (content[start : start + size], min(start + size, len(content)))
    assert (store.read_bytes("tables/t/a.bin"), sink.size) == (content, len(content))
    assert store.abort_uploads(AFTER) == []


def test_threads_that_share_a_file_do_not_disturb_each_other(bucket: Bucket, tmp_path: Path) -> None:
    """DuckDB 2 seeks and reads one handle from many threads: fsspec's own files give it bytes of another place."""
    store = bucket.open()
    rows = 300_000
    table = pa.table({"a": range(rows), "b": [f"{n * 7919 % 100_003}-{n}" for n in range(rows)]})
    with store.open_output("tables/t/a.parquet") as sink:
        pq.write_table(table, sink, row_group_size=10_240, compression="zstd")
    pq.write_table(table, tmp_path / "a.parquet")

    def read(place: str) -> list[tuple[object, ...]]:
        with duckdb.connect() as con:
            con.register_filesystem(store.get_filesystem())
            con.execute("set threads = 8")
            return con.execute(f"select sum(a), count(distinct b), max(b), sum(hash(b)) from '{place}'").fetchall()

    assert all(read(store.resolve_uri("tables/t/a.parquet")) == read(str(tmp_path / "a.parquet")) for _ in range(5))


@pytest.mark.parametrize("fault", [Halve(), Refuse(503, "SlowDown"), Cut()], ids=["half a body", "busy", "cut"])
def test_reads_are_asked_again(lake: Lake, bucket: Bucket, fault: Fault) -> None:
    lake.commit(ok(A, builder("a")))
    bucket.wire.plan = first(1, fault, "GET", key=".parquet")

    assert lake.names() == ["a"]


def test_a_file_that_is_gone_is_told_in_one_line(lake: Lake) -> None:
    manifest = lake.commit(ok(A, builder("a")))
    lake.store.remove(manifest.tables["image_builders"].files[0].path)

    with pytest.raises(StorageFailed, match=r"^there is no such object: 's3://\S+image_builders/\S+\.parquet'$"):
        lake.names()


def test_an_upload_that_is_killed_is_out_of_sight_and_is_collected(lake: Lake, bucket: Bucket) -> None:
    old = lake.commit(ok(A, builder("a")))
    script = (
        "import sys, time; from appstream_export.settings import S3Settings\n"
        "from appstream_export.lake.storage.factory import open_store\n"
        "store = open_store(sys.argv[1], create=True, s3=S3Settings(endpoint_url=sys.argv[2]))\n"
        f"with store.open_output('tables/t/killed.parquet') as sink:\n"
        f"    sink.write(bytes({PART_BYTES + 1})); print('sent', flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script, lake.store.root, bucket.wire.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "sent\n"
        run.kill()

    assert (load_head(lake.store), lake.names()) == (old, ["a"])
    assert lake.files() == {f.path for t in old.tables.values() for f in t.files}
    assert lake.store.abort_uploads(BEFORE) == [], "it may still be on its way"
    [due] = lake.store.abort_uploads(AFTER, dry_run=True)
    assert [f.path for f in lake.store.abort_uploads(AFTER)] == [due.path] == ["tables/t/killed.parquet"]
    assert lake.store.abort_uploads(AFTER) == []


LOST_ONCE: dict[str, Callable[[], Plan]] = {
    "part": lambda: first(1, Lose(), "PUT", query="partNumber"),
    "end": lambda: each("POST", "uploadId", Lose(), Refuse(404, "NoSuchUpload")),  # asked again, it has long ended
}


def each(method: str, query: str, *faults: Fault) -> Plan:
    """A fault for each request of that kind, in turn."""
    left = list(faults)
    return lambda _, seen: left.pop(0) if left and seen.method == method and query in seen.query else None


@pytest.mark.parametrize("lost", LOST_ONCE.values(), ids=LOST_ONCE)
def test_a_large_file_is_there_although_an_answer_to_its_upload_is_lost(
    bucket: Bucket, lost: Callable[[], Plan]
) -> None:
    store, content = bucket.open(), os.urandom(PART_BYTES + 1)
    bucket.wire.plan = lost()

    with store.open_output("tables/t/large.bin") as sink:
        sink.write(content)

    assert store.read_bytes("tables/t/large.bin") == content


def test_uploads_of_others_in_the_bucket_are_left_alone(bucket: Bucket) -> None:
    place = bucket.place()
    key = f"{place.removeprefix(f's3://{NAME}/')}/backups/large.tar"
    upload = bucket.client.create_multipart_upload(Bucket=NAME, Key=key)

    assert bucket.open(place).abort_uploads(AFTER) == []
    still = bucket.client.list_multipart_uploads(Bucket=NAME, Prefix=key)["Uploads"]
    assert [found["UploadId"] for found in still] == [upload["UploadId"]]
    bucket.client.abort_multipart_upload(Bucket=NAME, Key=key, UploadId=upload["UploadId"])


def test_every_object_is_encrypted_with_the_key_that_the_settings_name(bucket: Bucket) -> None:
    place = bucket.place()
    lake = Lake(place, s3=S3Settings(endpoint_url=bucket.wire.url, kms_key_id="alias/lake"))
    lake.commit(ok(A, builder("a")))
    with lake.store.open_output("tables/t/large.bin") as sink:
        sink.write(bytes(PART_BYTES + 1))
    with lake.store.open_subfolder("feeds", file_mode=0o640).open_output("v1/current.json") as sink:
        sink.write(b"{}")

    creating = [seen for seen in bucket.wire.seen if seen.method == "PUT" or "uploads" in seen.query]
    headers = {k.lower(): v for seen in creating if "partNumber" not in seen.query for k, v in seen.headers.items()}
    unencrypted = [
        stored.path
        for stored in lake.store.list_all()
        if "SSEKMSKeyId" not in bucket.client.head_object(Bucket=NAME, Key=f"{place.rpartition('/')[2]}/{stored.path}")
    ]
    assert headers["x-amz-server-side-encryption-aws-kms-key-id"] == "alias/lake"
    assert headers["x-amz-server-side-encryption"] == "aws:kms"
    assert unencrypted == []


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Refuse(404, "NoSuchBucket"), "NoSuchBucket: .*; create the bucket, or correct its name"),
        (DENIED, "AccessDenied: .*; allow the operations that docs/operations.md lists"),
        (Refuse(400, "ExpiredToken"), "ExpiredToken: .*; renew the credentials"),
        (Refuse(403, "InvalidAccessKeyId"), "check the access key"),
        (Refuse(400, "AuthorizationHeaderMalformed"), "set region in .lake.s3., or AWS_REGION, to the bucket's region"),
        (Refuse(403, "RequestTimeTooSkewed"), "set the machine's clock"),
    ],
    ids=lambda value: value.code if isinstance(value, Refuse) else "",
)
def test_a_bucket_that_is_not_for_us_is_refused_before_anything_is_asked(
    bucket: Bucket, fault: Refuse, says: str
) -> None:
    bucket.wire.plan = lambda *_: fault

    with pytest.raises(ConfigurationError, match=says) as refused:
        bucket.open("s3://lake/w")
    assert refused.value.exit_code == 2
    assert "\n" not in str(refused.value)


def test_keys_that_end_at_any_request_of_a_query_come_with_their_fix(bucket: Bucket) -> None:
    place = bucket.place()
    Lake(place, s3=bucket.settings).commit(ok(A, builder("a")))
    errors: dict[str, str] = {}
    for n in range(1, 40):
        bucket.calm()
        bucket.wire.plan = lambda number, _, n=n: Refuse(400, "ExpiredToken") if number >= n else None
        try:
            with connect_warehouse(place, s3=bucket.settings) as con:
                run_query(con, "select name, arn from image_builders")
            break
        except ExportError as error:
            errors[type(error).__name__] = str(error)

    assert len(errors) > 1, "the store's own reads, and those through DuckDB"
    assert [text for text in errors.values() if "; renew the credentials" not in text] == []


def test_who_may_read_but_not_write_learns_it_at_the_start(bucket: Bucket) -> None:
    place = bucket.place()
    Lake(place, s3=bucket.settings).commit(ok(A, builder("a")))
    bucket.wire.plan = first(99, DENIED, "PUT")

    with pytest.raises(ConfigurationError, match="AccessDenied"):
        bucket.open(place)
    assert run_query(connect_warehouse(place, s3=bucket.settings), "select name from image_builders").to_pylist() == [
        {"name": "a"}
    ]


def test_an_endpoint_that_ignores_conditions_is_refused(bucket: Bucket) -> None:
    bucket.client.put_object(Bucket=NAME, Key="careless/x", Body=b"")

    def forgetful(_: int, seen: Seen) -> Fault | None:
        if seen.method == "PUT" and seen.key.endswith(paths.PROBE_FILE):
            bucket.client.delete_object(Bucket=NAME, Key="careless/probe")  # so that it is created each time
        return None

    bucket.wire.plan = forgetful
    with pytest.raises(ConfigurationError, match="ignores If-None-Match; two runs at once would overwrite each other"):
        bucket.open("s3://lake/careless")


def test_a_profile_that_does_not_exist_is_refused(bucket: Bucket) -> None:
    with pytest.raises(ConfigurationError, match=r'\[lake.s3\] profile "nobody" is not in the AWS config'):
        bucket.open(profile="nobody")


@pytest.mark.parametrize(
    "place", ["s3://", "s3://x", "s3://lake/a//b", "s3://lake/../b", "s3://lake/a b", "s3://lake/a=1"]
)
def test_places_that_cannot_be_warehouses_are_refused(place: str) -> None:
    with pytest.raises(ConfigurationError, match=r"not of the form s3://bucket/prefix|Hive partition"):
        open_store(place, create=True)


def test_a_notebook_needs_only_the_environment(lake: Lake, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=r"no snapshot in s3://lake/warehouse-\d+ yet"):
        connect_warehouse(lake.store.root, s3=bucket.settings)
    lake.commit(ok(A, builder("a", state="STOPPED")))
    lake.commit(ok(A, builder("a", state="RUNNING")))
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", bucket.wire.url)

    with appstream_export.connect(f"{lake.store.root}/") as con:
        assert con.sql("select name, state from image_builders").fetchall() == [("a", "RUNNING")]
        assert con.sql("select state from image_builders_history order by snapshot_at").fetchall() == [
            ("STOPPED",),
            ("RUNNING",),
        ]
        assert con.sql("select current_setting('TimeZone')").fetchall() == [("UTC",)]
    assert publish_catalog(lake.store, lake.contracts) is None
    assert not lake.store.exists(paths.CATALOG_FILE)


def test_small_files_are_read_with_one_request_each_however_often(lake: Lake, bucket: Bucket) -> None:
    lake.commit(ok(A, builder("a", subnets=["s"])))
    con = lake.con
    bucket.wire.seen.clear()
    for _ in range(3):
        run_query(con, "select * from image_builders join image_builder_subnets on name = image_builder_name")

    asked = [seen.key for seen in bucket.wire.seen]
    assert len(asked) == len(set(asked)) <= 4


def test_hostile_statements_reach_nothing_beyond_the_prefix(lake: Lake, bucket: Bucket, tmp_path: Path) -> None:
    lake.commit(ok(A, builder("a")))
    (tmp_path / "secret.csv").write_text("a\nsecret\n")
    bucket.client.create_bucket(Bucket="other")
    for place in ({"Bucket": "other", "Key": "secret.csv"}, {"Bucket": NAME, "Key": "outside/secret.csv"}):
        bucket.client.put_object(**place, Body=b"a\nsecret\n")
    con = lake.con
    bucket.wire.seen.clear()
    run_query(con, "from image_builders")
    before = lake.store.list_all()

    for outside in (str(tmp_path), "s3://other", "S3://other", "s3://lake/outside", f"{bucket.wire.url}/other"):
        for statement in (*HOSTILE, *OUTSIDE, "select * from read_text('{warehouse}/*')"):
            text = statement.format(warehouse=lake.store.root, outside=outside)
            refused = outcome(lambda text=text: run_query(con, text))
            assert refused is None or "secret\n" not in refused
            if refused is None:
                assert run_query(con, text).num_rows == 0, text
    prefix = lake.store.root.removeprefix(f"s3://{NAME}/")
    assert {seen.key.partition("/")[0] for seen in bucket.wire.seen if seen.key} <= {prefix}
    places = [seen.query.get("prefix") for seen in bucket.wire.seen]
    assert {place[0] for place in places if place} == {f"{prefix}/"}
    assert lake.store.list_all() == before
    with pytest.raises(QueryError, match="read_text is not allowed here"):
        run_query(con, f"from read_text('{lake.store.root}/nothing')")


def test_only_what_was_removed_or_replaced_is_an_old_version(bucket: Bucket) -> None:
    place = bucket.place()
    store = bucket.open(place)
    assert store.list_old_versions() == []
    bucket.keep_versions()
    for content in (b"first", b"second"):
        with store.open_output("tables/t/x.bin") as sink:
            sink.write(content)

    [old] = store.list_old_versions() or ()
    assert (old.path, store.read_version(old), store.read_bytes("tables/t/x.bin")) == (
        "tables/t/x.bin", b"first", b"second"
    )  # fmt: skip
    bucket.wire.plan = first(1, DENIED, "GET", query="versions")
    assert store.list_old_versions() is None, "nobody says that there are none"
    bucket.wire.plan = first(99, Refuse(501, "NotImplemented"), "GET", query="versions")
    assert store.list_old_versions() == ()
    bucket.calm()
    bucket.forget_versions(place)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "url_style 'path', use_ssl false"),
        ({"region": "eu-central-1"}, "region 'eu-central-1'"),
    ],
)
def test_a_duckdb_of_ones_own_is_told_where_the_bucket_is(bucket: Bucket, settings: dict[str, str], said: str) -> None:
    store = bucket.open(**settings)
    told = list(setup_sql.render_setup_lines(store, S3Settings(**settings), []))

    assert said in told[5]
    assert f"endpoint '{bucket.wire.url.removeprefix('http://')}'" in told[5]


def test_a_duckdb_of_ones_own_finds_credentials_where_boto3_does() -> None:
    store = S3Store("lake", "w", botocore.session.Session().create_client("s3", region_name="eu-west-1"))
    told = list(setup_sql.render_setup_lines(store, S3Settings(profile="lake's"), []))

    assert told[5] == (
        "create or replace secret appstream_export (type s3, provider credential_chain,"
        " scope 's3://lake/w', region 'eu-west-1', profile 'lake''s');"
    )


def test_the_lines_make_the_same_views(lake: Lake) -> None:
    lake.commit(ok(A, builder("a", state="STOPPED")))
    lake.commit(ok(A, builder("a", state="RUNNING")))
    told = list(setup_sql.render_setup_lines(lake.store, S3Settings(), lake.contracts))
    with duckdb.connect() as con:
        con.register_filesystem(lake.store.get_filesystem())  # in place of the extension, which tests cannot download
        for statement in told[6:]:
            con.execute(statement)

        assert con.sql("select state from image_builders").fetchall() == [("RUNNING",)]
        assert con.sql("select count(*) from image_builders_history").fetchall() == [(2,)]
        assert con.sql("select count(*) from image_builders_as_of('2100-01-01')").fetchall() == [(1,)]
