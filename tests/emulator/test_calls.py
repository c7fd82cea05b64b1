"""What unmodified boto3 gets from the emulated AWS."""

import http.client
import os
import socket
import threading
import time

import boto3
import pytest
from botocore.exceptions import ClientError

from appstream_export.emulator import Emulator, hooks, make_image_builder
from appstream_export.errors import ConfigurationError
from appstream_export.model import Scope
from tests.emulator.wire import ONE, OTHER, TARGET, UNKNOWN, client, post

NAMES = [f"b{n:03d}" for n in range(120)]


def names(page: dict) -> list[str]:
    return [item["Name"] for item in page["ImageBuilders"]]


def fill(aws: Emulator, scope: Scope = ONE, wanted: list[str] = NAMES) -> None:
    aws.put(scope, *({"Name": name, "State": "RUNNING"} for name in wanted))


def test_an_empty_scope_answers_with_an_empty_list(aws: Emulator) -> None:
    assert post(aws).json == {"ImageBuilders": []}


def test_pages_hold_fifty_items_in_order_of_insertion(aws: Emulator) -> None:
    fill(aws)
    pages = list(client(aws).get_paginator("describe_image_builders").paginate())

    assert [len(p["ImageBuilders"]) for p in pages] == [50, 50, 20]
    assert [n for p in pages for n in names(p)] == NAMES


@pytest.mark.parametrize("page_size", [1, 7, 119, 120, 121])
def test_no_page_size_loses_or_repeats_an_item(aws: Emulator, page_size: int) -> None:
    fill(aws)
    pages = client(aws).get_paginator("describe_image_builders").paginate(PaginationConfig={"PageSize": page_size})

    assert [n for p in pages for n in names(p)] == NAMES


def test_a_scan_can_start_at_a_token_it_was_given(aws: Emulator) -> None:
    fill(aws)
    token = post(aws, MaxResults=100).json["NextToken"]

    assert [i["Name"] for i in post(aws, NextToken=token).json["ImageBuilders"]] == NAMES[100:]


def test_a_token_of_nobody_or_of_another_region_is_refused(aws: Emulator) -> None:
    fill(aws)
    fill(aws, OTHER)
    foreign = post(aws, OTHER).json["NextToken"]

    for token in ("nonsense", "", "AAAA", "ü", foreign, foreign[:-4]):
        seen = post(aws, NextToken=token)
        assert (seen.status, seen.json["__type"]) == (400, "InvalidParameterCombinationException"), token


@pytest.mark.parametrize("size", [0, -1, "many"])
def test_a_page_size_that_is_no_positive_integer_is_refused(aws: Emulator, size: object) -> None:
    assert post(aws, MaxResults=size).json["__type"] == "ValidationException"


def test_names_pick_items(aws: Emulator) -> None:
    fill(aws)

    assert names(client(aws).describe_image_builders(Names=["b007", "b003"])) == ["b003", "b007"]


def test_one_unknown_name_fails_the_call_and_is_named(aws: Emulator) -> None:
    fill(aws)

    with pytest.raises(ClientError, match=r"ResourceNotFoundException.*nobody"):
        client(aws).describe_image_builders(Names=["b003", "nobody"])


def test_accounts_and_regions_see_only_their_own(aws: Emulator) -> None:
    scopes = [
        Scope(account, region) for account in ("111122223333", "004815162342") for region in ("eu-west-1", "us-east-1")
    ]
    for scope in scopes:
        fill(aws, scope, [str(scope).replace("/", "-")])

    assert aws.list_scopes() == sorted(scopes)
    for scope in scopes:
        assert names(client(aws, scope).describe_image_builders()) == [str(scope).replace("/", "-")]


def test_threads_of_two_accounts_never_see_each_other(aws: Emulator) -> None:
    scopes = [ONE, Scope("444455556666", "eu-west-1")]
    for scope in scopes:
        fill(aws, scope, [scope.account_id])
    seen: dict[str, set[str]] = {scope.account_id: set() for scope in scopes}

    def ask(scope: Scope) -> None:
        for _ in range(50):
            seen[scope.account_id].add(post(aws, scope).json["ImageBuilders"][0]["Name"])

    threads = [threading.Thread(target=ask, args=(scope,)) for scope in scopes * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert seen == {scope.account_id: {scope.account_id} for scope in scopes}


def test_items_reach_the_wire_as_they_were_put(aws: Emulator) -> None:
    item = make_image_builder("São-Paulo", scope=ONE, complete=True, Description="東京", CreatedTime=1767225600.123456)
    aws.put(ONE, item)

    assert post(aws).json["ImageBuilders"] == [item] == aws.list_items(ONE)
    assert client(aws).describe_image_builders()["ImageBuilders"][0]["CreatedTime"].microsecond == 123456


def test_an_item_put_again_is_replaced_where_it_stands(aws: Emulator) -> None:
    fill(aws, wanted=["a", "b", "c"])
    aws.put(ONE, {"Name": "b", "State": "STOPPED"})
    aws.remove(ONE, "a")

    assert aws.list_items(ONE) == [{"Name": "b", "State": "STOPPED"}, {"Name": "c", "State": "RUNNING"}]


def test_what_is_held_cannot_be_changed_from_outside(aws: Emulator) -> None:
    item = {"Name": "a", "VpcConfig": {"SubnetIds": ["subnet-1"]}}
    aws.put(str(ONE), item)
    item["VpcConfig"]["SubnetIds"].append("subnet-2")  # type: ignore[index]
    aws.list_items(ONE)[0]["VpcConfig"]["SubnetIds"].append("subnet-3")

    assert aws.list_items(ONE) == [{"Name": "a", "VpcConfig": {"SubnetIds": ["subnet-1"]}}]


def test_other_operations_that_list_can_be_filled_too(aws: Emulator) -> None:
    aws.put(ONE, {"Name": "fleet", "State": "RUNNING"}, operation="DescribeFleets")

    assert [f["Name"] for f in client(aws).describe_fleets()["Fleets"]] == ["fleet"]
    assert client(aws).describe_image_builders()["ImageBuilders"] == []


def test_an_operation_that_is_not_emulated_is_refused(aws: Emulator) -> None:
    with pytest.raises(ClientError, match="UnknownOperationException"):
        client(aws).delete_image_builder(Name="a")


def test_a_disabled_region_knows_no_token_and_its_neighbours_do(aws: Emulator) -> None:
    fill(aws)
    aws.disable_region(ONE.account_id, ONE.region)

    with pytest.raises(ClientError, match="security token included in the request is invalid") as refused:
        client(aws).describe_image_builders()
    assert refused.value.response["Error"]["Code"] == "UnrecognizedClientException"
    assert names(client(aws, OTHER).describe_image_builders()) == []
    aws.enable_region(ONE.account_id, ONE.region)
    assert len(names(client(aws).describe_image_builders())) == 50


def test_the_organization_lists_exactly_its_accounts(aws: Emulator) -> None:
    accounts = {"123456789012": "management", "004815162342": "shared"} | {
        f"2000000000{n:02d}": f"a{n}" for n in range(30)
    }
    aws.create_organization(accounts)
    organizations = boto3.client("organizations", "us-east-1", endpoint_url=aws.endpoint_url, **UNKNOWN)
    pages = list(organizations.get_paginator("list_accounts").paginate(PaginationConfig={"PageSize": 20}))

    assert {a["Id"]: a["Name"] for p in pages for a in p["Accounts"]} == accounts
    assert [len(p["Accounts"]) for p in pages] == [20, 12]
    assert {(a["State"], a["Status"]) for p in pages for a in p["Accounts"]} == {("ACTIVE", "ACTIVE")}
    assert organizations.describe_organization()["Organization"]["MasterAccountId"] == "123456789012"


def test_a_management_account_of_its_own_choice_lists_with_its_own_keys(aws: Emulator) -> None:
    aws.create_organization({"111122223333": "root", "444455556666": "leaf"})

    assert len(client(aws, ONE, service="organizations").list_accounts()["Accounts"]) == 2


def test_sts_says_whose_session_it_is(aws: Emulator) -> None:
    assert client(aws, ONE, service="sts").get_caller_identity()["Account"] == ONE.account_id


@pytest.mark.slow
def test_regions_come_from_ec2_and_ssm(aws: Emulator) -> None:
    path = "/aws/service/global-infrastructure/services/appstream/regions"
    ssm = client(aws, OTHER, service="ssm").get_paginator("get_parameters_by_path").paginate(Path=path)

    assert {"us-east-1", "eu-west-1"} <= {p["Value"] for page in ssm for p in page["Parameters"]}
    assert len(client(aws, OTHER, service="ec2").describe_regions()["Regions"]) > 10


@pytest.mark.slow
def test_s3_keeps_objects_and_refuses_to_overwrite_them_when_asked(aws: Emulator) -> None:
    s3 = client(aws, OTHER, service="s3")
    s3.create_bucket(Bucket="warehouse")
    s3.put_object(Bucket="warehouse", Key="a/ü.bin", Body=bytes(range(256)) * 5000, IfNoneMatch="*")

    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket="warehouse", Key="a/ü.bin", Body=b"again", IfNoneMatch="*")
    assert s3.get_object(Bucket="warehouse", Key="a/ü.bin")["Body"].read() == bytes(range(256)) * 5000


def test_calls_are_counted_with_who_asked_what_where(aws: Emulator) -> None:
    boto = client(aws)
    boto.describe_image_builders()
    aws.fail(ONE, "deny")
    with pytest.raises(ClientError):
        boto.describe_image_builders()

    assert [(c.service, c.operation, c.account_id, c.region) for c in aws.calls] == [
        ("sts", "AssumeRole", "111122223333", "us-east-1"),
        ("appstream", "DescribeImageBuilders", "111122223333", "eu-west-1"),
        ("appstream", "DescribeImageBuilders", "111122223333", "eu-west-1"),
    ]
    assert aws.calls[0].at <= aws.calls[-1].at
    aws.reset_calls()
    assert aws.calls == []


def test_one_connection_serves_many_calls(aws: Emulator) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", int(aws.endpoint_url.rpartition(":")[2]))
    key = aws.create_credentials(ONE.account_id)["aws_access_key_id"]
    signed = f"AWS4-HMAC-SHA256 Credential={key}/20260101/eu-west-1/appstream/aws4_request, Signature=0"
    headers = {"X-Amz-Target": TARGET, "Content-Type": "application/x-amz-json-1.1", "Authorization": signed}
    sockets = set()
    for _ in range(5):
        connection.request("POST", "/", b"{}", headers)
        assert connection.getresponse().read() == b'{"ImageBuilders":[]}'
        sockets.add(connection.sock)
    connection.close()

    assert len(sockets) == 1
    assert None not in sockets


OWN_NAMES = (
    "127.0.0.1",
    "localhost",
    "bucket.localhost",
    "appstream2.eu-west-1.amazonaws.com",
    "STS.cn-north-1.amazonaws.com.cn",
)
OTHER_NAMES = (
    "evil.example",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "amazonaws.com.evil.example",
    "evilamazonaws.com",
    "192.168.0.1",
    "motoapi.amazonaws.com",
    "127.0.0.1, evil.example",
    "",
)


@pytest.mark.parametrize("suffix", ["", ":{port}"])
def test_it_answers_to_its_own_names_alone(aws: Emulator, suffix: str) -> None:
    own = {name: status_of(aws, Host=f"{name}{suffix}") for name in OWN_NAMES}
    others = {name: status_of(aws, Host=f"{name}{suffix}") for name in OTHER_NAMES}

    assert (set(own.values()), set(others.values())) == ({200}, {403}), (own, others)


def test_it_answers_no_page_in_a_browser(aws: Emulator) -> None:
    pages = ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1"},
             {"Sec-Fetch-Site": "cross-site"})  # fmt: skip

    assert {status_of(aws, **headers) for headers in pages} == {403}
    assert status_of(aws, target="/", signed=False, Origin="https://evil.example") == 403


@pytest.mark.parametrize(
    "target",
    ["/moto-api", "/moto-api/data.json", "//moto-api/reset", "/moto%2Dapi/reset", "/Moto-API/", "/moto-api?x",
     "http://motoapi.amazonaws.com/moto-api/reset", "http://evil.example/"],
)  # fmt: skip
@pytest.mark.parametrize("signed", [True, False])
def test_motos_own_api_is_out_of_reach(aws: Emulator, target: str, signed: bool) -> None:
    fill(aws)

    assert status_of(aws, method="POST", target=target, signed=signed) == 403
    assert len(aws.list_items(ONE)) == len(NAMES), "nothing was reset"


def status_of(aws: Emulator, *, method: str = "POST", target: str = "/", signed: bool = True, **headers: str) -> int:
    """The status of one request as bytes, so that nothing corrects it on the way."""
    key = aws.create_credentials(ONE.account_id)["aws_access_key_id"]
    by_default = {"Host": "127.0.0.1", "Connection": "close", "Content-Length": "2"}
    if signed:
        by_default |= {
            "Authorization": f"AWS4-HMAC-SHA256 Credential={key}/20260101/eu-west-1/appstream/aws4_request",
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": TARGET,
        }
    port = aws.endpoint_url.rpartition(":")[2]
    lines = [f"{method} {target} HTTP/1.1", *(f"{k}: {v}" for k, v in (by_default | headers).items())]
    with socket.create_connection(("127.0.0.1", int(port)), timeout=120) as connection:
        connection.sendall(("\r\n".join(lines).format(port=port) + "\r\n\r\n{}").encode())
        return int(connection.makefile("rb").readline().split()[1])


def test_emulators_follow_each_other_and_each_begins_empty() -> None:
    with Emulator() as first:
        fill(first)
        first.create_organization({ONE.account_id: "a"})
        port = int(first.endpoint_url.rpartition(":")[2])
        first.fail("*", "deny")
        boto = client(first)
    with Emulator(port) as second:
        assert (second.list_scopes(), second.calls) == ([], [])
        second.create_organization({ONE.account_id: "a"})
        # An old client's open connection was cut; its keys mean nothing any more.
        assert boto.describe_image_builders()["ImageBuilders"] == []


def test_two_emulators_at_once_are_refused(aws: Emulator) -> None:
    with pytest.raises(ConfigurationError, match="stop it first"):
        Emulator().start()
    assert aws.list_scopes() == []


def test_a_port_that_is_taken_is_one_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1:{port}"):
            Emulator(port).start()


def test_an_account_forced_on_moto_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_ACCOUNT_ID", "111122223333")

    with pytest.raises(ConfigurationError, match="unset MOTO_ACCOUNT_ID"):
        Emulator().start()


def test_stop_does_not_wait_for_slow_answers_or_idle_connections() -> None:
    with Emulator() as aws:
        aws.fail(ONE, "slow", delay_s=60)
        slow = threading.Thread(target=lambda: post(aws))
        slow.start()
        idle = socket.create_connection(("127.0.0.1", int(aws.endpoint_url.rpartition(":")[2])))
        while not aws.calls:
            time.sleep(0.01)
        begin = time.monotonic()
    slow.join()
    idle.close()

    assert time.monotonic() - begin < 30


def test_nothing_is_printed(aws: Emulator, capfd: pytest.CaptureFixture[str]) -> None:
    client(aws).describe_image_builders()
    client(aws, OTHER, service="s3").list_buckets()

    assert capfd.readouterr() == ("", "")


def test_moto_still_has_the_hooks_that_the_plug_in_hangs_on() -> None:
    assert hooks.find_moved_hooks() == [], (
        "moto moved these: adapt pipelines/appstream_export/emulator/hooks.py, or pin an older moto"
    )


def test_a_moto_without_a_hook_is_named_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("moto.backend_index.backend_url_patterns")

    with pytest.raises(ConfigurationError, match=r"moto\.backend_index\.backend_url_patterns moved"):
        Emulator().start()


def test_motos_own_server_serves_the_plug_in(aws: Emulator) -> None:
    """The short way past moto's dispatcher and the long way through it give the same answers."""
    from moto.server import ThreadedMotoServer

    fill(aws)
    moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    moto.start()
    try:
        host, port = moto.get_host_and_port()
        long_way = boto3.client(
            "appstream", ONE.region, endpoint_url=f"http://{host}:{port}", **aws.create_credentials(ONE.account_id)
        )
        pages = list(long_way.get_paginator("describe_image_builders").paginate())
        with pytest.raises(long_way.exceptions.ResourceNotFoundException):
            long_way.describe_image_builders(Names=["nobody"])
    finally:
        moto.stop()

    assert [n for p in pages for n in names(p)] == NAMES
    assert "MOTO_ACCOUNT_ID" not in os.environ
