"""For the same moment, a request from a template is the request of botocore's client, byte for byte."""

import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import botocore.auth
import pytest
from botocore.compat import HAS_CRT
from botocore.credentials import Credentials

from appstream_export.extract.aws import clients as clients_module
from appstream_export.extract.aws.clients import Clients
from appstream_export.extract.aws.request_template import RequestTemplate, find_difference, read_headers
from appstream_export.settings import AwsSettings, Settings
from tests.extract.asking import EU, A, Asking
from tests.extract.wire import Wire, page

DESCRIBE, TAGS, ASSUME = (
    "appstream:DescribeImageBuilders",
    "resourcegroupstaggingapi:GetResources",
    "sts:AssumeRole",
)
ODD_TEXT = "a b+/=&%\"'\\\n\t é 東 \U0001f600 {}"
BODIES: dict[str, list[dict[str, Any]]] = {
    DESCRIBE: [
        {}, {"NextToken": "t" * 2000}, {"Names": ["a", ODD_TEXT], "MaxResults": 5}, {"NextToken": ODD_TEXT},
    ],
    TAGS: [
        {"ResourceTypeFilters": ["appstream:image-builder"], "ResourcesPerPage": 100},
        {"TagFilters": [{"Key": ODD_TEXT, "Values": []}], "PaginationToken": ODD_TEXT},
    ],
    ASSUME: [
        {"RoleArn": f"arn:aws:iam::{A}:role/reader", "RoleSessionName": "run", "DurationSeconds": 3600},
        {"RoleArn": f"arn:aws:iam::{A}:role/a+b", "RoleSessionName": "run", "ExternalId": ODD_TEXT, "Policy": "{}"},
    ],
}  # fmt: skip
LONG_TERM = Credentials("AKIAKEYS", "secret/+word")
SESSIONS = [
    Credentials("ASIAONE", "secret-é", "token/+=="),
    Credentials("ASIATWO", "s" * 40, "".join(map(chr, range(0x21, 0x7F)))),
]
REFUSED = [
    Credentials("ASIAODD", "s", token) for token in (" blank", "blank ", "two  blanks", "a\tb", "é", "{x}\u00a0")
]
REGIONS = (
    "us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-northeast-1", "ap-southeast-2", "sa-east-1",
    "us-gov-west-1", "us-gov-east-1", "cn-north-1", "cn-northwest-1", "eu-south-2", "mx-central-1",
)  # fmt: skip
SERVICES_SECTION = """[default]
services = own
[services own]
appstream =
  endpoint_url = https://appstream.example.com:8443
sts =
  endpoint_url = https://sts.example.com/
"""
PLACES: dict[str, dict[str, str]] = {
    "standard": {},
    "FIPS": {"AWS_USE_FIPS_ENDPOINT": "true"},
    "dual stack": {"AWS_USE_DUALSTACK_ENDPOINT": "true"},
    "FIPS and dual stack": {"AWS_USE_FIPS_ENDPOINT": "true", "AWS_USE_DUALSTACK_ENDPOINT": "true"},
    "proxy": {"HTTPS_PROXY": "http://user:word@proxy.example.com:3128"},
    "own endpoints": {"AWS_ENDPOINT_URL": "https://[fd00::1]:4443"},
    "a path": {"AWS_ENDPOINT_URL": "https://gateway.example.com/v1/aws"},
    "function": {"AWS_LAMBDA_FUNCTION_NAME": "f", "_X_AMZN_TRACE_ID": "Root=1-5759e988-bd862e3fe1be46a994272793"},
}


@pytest.fixture
def way() -> None:
    """Both ways are compared in each test."""


@pytest.fixture(params=["Python", pytest.param("CRT", marks=pytest.mark.skipif(not HAS_CRT, reason="awscrt"))])
def signer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The implementation with which botocore signs: awscrt's, where it is installed, or its own."""
    if request.param == "Python":
        monkeypatch.setitem(botocore.auth.AUTH_TYPE_MAPS, "v4", botocore.auth.SigV4Auth)
    return request.param


@pytest.mark.slow
@pytest.mark.parametrize("place", [*PLACES, "services section", "configured endpoint"])
def test_requests_are_botocores_own(place: str, signer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in PLACES.get(place, {}).items():
        monkeypatch.setenv(name, value)
    if place == "services section":
        (tmp_path / "config").write_text(SERVICES_SECTION)
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    url = "http://127.0.0.1:9" if place == "configured endpoint" else None
    running = Clients(Settings(aws=AwsSettings(endpoint_url=url)), [DESCRIBE, TAGS])

    compared = sum(compare_requests(running, operation, region) for operation in BODIES for region in REGIONS)

    running.close()
    assert compared == len(REGIONS) * (1 + 2) * sum(map(len, BODIES.values())), f"{place}, {signer}"


def compare_requests(running: Clients, operation: str, region: str) -> int:
    """Compare requests of all bodies and credentials with those of one template; return their number."""
    service, _, name = operation.partition(":")
    client = running._get_client(service, region, is_brief=False)
    compared = 0
    for group in ([LONG_TERM], SESSIONS):
        template = running._get_template(service, region, name, BODIES[operation][0], group[0])
        assert template is not None, (operation, region)
        for params in BODIES[operation]:
            for own in group:
                assert template.can_sign_with(own)
                made = clients_module._record_request(client, name, params, own)
                headers = read_headers(made.headers)
                again = template.build(params, own, headers["X-Amz-Date"], headers["amz-sdk-invocation-id"])
                assert find_difference(again, made) is None, (operation, region, params)
                compared += 1
        assert not any(template.can_sign_with(own) for own in REFUSED)
    return compared


def test_a_request_that_a_template_does_not_make_alike_is_made_by_the_client(
    wire: Wire, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here, the template signs another path than the client does."""
    made = RequestTemplate.build

    def build_wrongly(self: RequestTemplate, *input_: Any) -> Any:
        request = made(self, *input_)
        request.headers["Authorization"] = request.headers["Authorization"][:-1] + "x"
        return request

    monkeypatch.setattr(RequestTemplate, "build", build_wrongly)
    monkeypatch.setattr(RequestTemplate, "send", None)
    wire.script(f"{A}/{EU}", page("a", token="1"), page("b"))

    assert asking.run().names() == ["a", "b"]
    assert {call.key for call in wire.asked("DescribeImageBuilders")} == {f"ASIA-{A}-1"}


def test_sessions_and_pages_are_requested_by_templates(
    wire: Wire, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    send = RequestTemplate.send

    def record(self: RequestTemplate, request: Any) -> Any:
        sent.append(self.operation.name)
        return send(self, request)

    monkeypatch.setattr(RequestTemplate, "send", record)
    wire.script(f"{A}/{EU}", page("a", token="1"), page("b"))

    assert asking.run().names() == ["a", "b"]
    assert sent == [call.operation for call in wire.calls] == ["AssumeRole", *["DescribeImageBuilders"] * 2]


@pytest.mark.parametrize("url", ["https://gateway.example.com/a b/%7Eaws", "https://gateway.example.com/?a=b"])
def test_a_url_that_is_signed_in_another_form_has_no_template(url: str, signer: str) -> None:
    running = Clients(Settings(aws=AwsSettings(endpoint_url=url)), [DESCRIBE])

    assert running._get_template("appstream", EU, "DescribeImageBuilders", {}, LONG_TERM) is None, signer
    running.close()


@pytest.mark.parametrize("attribute", ["_serializer", "_endpoint"])
def test_a_botocore_that_has_moved_makes_its_requests_itself(attribute: str) -> None:
    running = Clients(Settings(), [DESCRIBE])
    client = running._get_client("appstream", EU, is_brief=False)
    made = clients_module._record_request(client, "DescribeImageBuilders", {}, LONG_TERM)
    delattr(client, attribute)

    assert RequestTemplate.derive(client, "DescribeImageBuilders", {}, LONG_TERM, made) is None


@pytest.mark.parametrize("own", REFUSED)
def test_a_token_that_signers_treat_differently_is_left_to_the_client(own: Credentials) -> None:
    running = Clients(Settings(), [DESCRIBE])
    running._get_template("appstream", EU, "DescribeImageBuilders", {}, SESSIONS[0])

    assert running._get_template("appstream", EU, "DescribeImageBuilders", {}, own) is None
    running.close()


@pytest.mark.parametrize(
    "operation", ["s3:ListBuckets", "ec2:DescribeRegions", "lambda:ListFunctions", "dynamodb:DescribeTable"]
)
def test_an_operation_of_another_form_has_no_template(operation: str) -> None:
    """REST and other protocols, and endpoints that depend on the input."""
    service, _, name = operation.partition(":")
    running = Clients(Settings(), [operation])
    params = {"TableName": "a"} if service == "dynamodb" else {}

    assert running._get_template(service, EU, name, params, LONG_TERM) is None
    running.close()


def test_nothing_is_sent_to_derive_a_template_and_no_secret_stays_in_it(wire: Wire) -> None:
    running = Clients(Settings(aws=AwsSettings(endpoint_url=wire.url)), [DESCRIBE])
    own = Credentials("ASIAKEY", "secret-word", "token-word")
    template = running._get_template("appstream", EU, "DescribeImageBuilders", {"NextToken": "page-2"}, own)
    running.close()

    assert not wire.calls
    assert not [word for word in ("ASIAKEY", "secret-word", "token-word", "page-2") if word in repr(template)]


def test_each_request_has_an_id_of_its_own_and_the_time_of_its_signature() -> None:
    running = Clients(Settings(), [DESCRIBE])
    template = running._get_template("appstream", EU, "DescribeImageBuilders", {}, LONG_TERM)
    running.close()
    assert template is not None

    one, other = (template.sign_request({}, LONG_TERM).headers for _ in range(2))

    ids = [headers["amz-sdk-invocation-id"] for headers in (one, other)]
    assert ids[0] != ids[1]
    assert [str(uuid.UUID(each)) for each in ids] == ids
    assert uuid.UUID(ids[0]).version == 4
    signed_at = datetime.strptime(one["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - signed_at).total_seconds() < 60
