"""What we lean on in botocore without its promise. Each test fails with a sentence that says what moved."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import botocore
import botocore.session
import pytest
from botocore.credentials import Credentials
from botocore.handlers import BUILTIN_HANDLERS
from botocore.loaders import Loader

from appstream_export.contracts import Contract, load_contracts
from appstream_export.contracts.botocore_model import get_botocore_loader
from appstream_export.errors import ConfigurationError, RetriableScopeError
from appstream_export.extract.aws import guard, request_template
from appstream_export.extract.aws.clients import ApiCall, Clients
from appstream_export.extract.scan.operation import ListOperation
from appstream_export.model import ScanOptions
from appstream_export.settings import AwsSettings, Settings
from tests.extract.asking import EU, A
from tests.extract.wire import Wire, page, refusal

VERSION = f"botocore {botocore.__version__}"
DESCRIBE = "appstream:DescribeImageBuilders"


def bare_client(wire: Wire, session: botocore.session.Session) -> Any:
    keys = {"aws_access_key_id": "client-wide", "aws_secret_access_key": "s"}
    return session.create_client("appstream", EU, endpoint_url=wire.url, **keys)


def contract() -> Contract:
    return next(c for c in load_contracts() if c.name == "image_builders")


def test_before_sign_lets_a_call_bring_its_own_credentials(wire: Wire) -> None:
    def sign(request: Any, **_: Any) -> None:
        request.context.setdefault("signing", {})["request_credentials"] = Credentials("per-call", "s", "t")

    session = botocore.session.Session()
    session.register("before-sign", sign)
    client = bare_client(wire, session)
    client.describe_image_builders()
    client.close()

    assert [c.key for c in wire.calls] == ["per-call"], (
        f"{VERSION} no longer signs with request_credentials set in before-sign: accounts cannot share a client"
    )


def test_before_parse_gives_the_raw_body_and_takes_another(wire: Wire) -> None:
    bodies: list[bytes] = []

    def read(response_dict: dict[str, Any], **_: Any) -> None:
        bodies.append(response_dict["body"])
        response_dict["body"] = b"{}"

    wire.script("000000000000/eu-west-1", page("a"))
    session = botocore.session.Session()
    session.register("before-parse", read)
    client = bare_client(wire, session)
    parsed = client.describe_image_builders()
    client.close()

    assert bodies == [b'{"ImageBuilders": [{"Name": "a"}]}'], f"{VERSION} no longer gives the raw body to before-parse"
    assert "ImageBuilders" not in parsed, f"{VERSION} no longer parses what before-parse leaves: all is parsed twice"


def test_needs_retry_can_be_refused(wire: Wire) -> None:
    wire.always("000000000000/eu-west-1", refusal("ThrottlingException"))
    client = bare_client(wire, botocore.session.Session())
    client.meta.events.register_first("needs-retry.appstream", lambda **_: False)
    with pytest.raises(client.exceptions.ClientError):
        client.describe_image_builders()
    client.close()

    assert len(wire.calls) == 1, f"{VERSION} retries although needs-retry was answered False: max_attempts cannot hold"


@pytest.mark.parametrize("resource", load_contracts(), ids=lambda c: c.name)
def test_the_protocol_is_json(resource: Contract) -> None:
    model = botocore.session.Session().get_service_model(resource.service)

    assert model.resolved_protocol == "json", f"{VERSION} chose {model.resolved_protocol}: our reader is for JSON"


@pytest.mark.parametrize("event", ["before-sign", "before-parse", "before-send"])
def test_an_event_that_no_longer_fires_is_noticed_in_the_first_call(
    event: str, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    register = botocore.session.Session.register
    monkeypatch.setattr(
        botocore.session.Session,
        "register",
        lambda self, name, handler: None if name == event else register(self, name, handler),
    )
    if event == "before-parse":  # templates do without it
        monkeypatch.setattr(request_template, "PROTOCOLS", ())
    running = Clients(Settings(aws=AwsSettings(endpoint_url=wire.url)), [DESCRIBE])
    listing = ListOperation.from_contract(contract(), running.session)

    with pytest.raises(ConfigurationError, match=f"{VERSION} no longer fires {event}, which the export needs to"):
        running.call_operation(
            "appstream", EU, "DescribeImageBuilders", {}, ApiCall(Credentials("k", "s"), read=listing.read_page)
        )
    running.close()


def test_another_protocol_is_refused_before_anything_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appstream_export.extract.scan.operation.PROTOCOLS", ("carrier-pigeon",))

    with pytest.raises(
        ConfigurationError, match=f"{VERSION} uses the protocol json, but the export reads only carrier-pigeon"
    ):
        ListOperation.from_contract(contract(), botocore.session.Session())


def test_an_operation_that_botocore_lacks_is_refused() -> None:
    renamed = replace(contract(), operation="DescribeNothing")

    with pytest.raises(ConfigurationError, match=r"appstream DescribeNothing: botocore .* does not know it"):
        ListOperation.from_contract(renamed, botocore.session.Session())


def test_a_page_size_is_refused_where_the_operation_takes_none() -> None:
    listing = ListOperation(
        "appstream", "DescribeFleets", ("Fleets",), ("Name",), None, "NextToken", "NextToken", None, True
    )

    with pytest.raises(ConfigurationError, match="DescribeFleets takes no page size"):
        listing.check_options(ScanOptions(page_size=10))


def test_no_other_operation_leaves_the_process(wire: Wire) -> None:
    running = Clients(Settings(aws=AwsSettings(endpoint_url=wire.url)), [DESCRIBE])
    call = ApiCall(Credentials("k", "s"))
    for operation, params in (("DeleteImageBuilder", {"Name": "a"}), ("DescribeFleets", {})):
        with pytest.raises(ConfigurationError, match=f"appstream:{operation} is not among the read operations"):
            running.call_operation("appstream", EU, operation, params, call)
    running.close()

    assert not wire.calls


def test_an_operation_that_changes_something_is_refused_also_where_it_is_on_the_list(wire: Wire) -> None:
    running = Clients(Settings(aws=AwsSettings(endpoint_url=wire.url)), ["appstream:DeleteImageBuilder"])
    with pytest.raises(ConfigurationError, match="appstream:DeleteImageBuilder is not among the read operations"):
        running.call_operation("appstream", EU, "DeleteImageBuilder", {"Name": "a"}, ApiCall(Credentials("k", "s")))
    running.close()

    assert not wire.calls


def test_the_token_of_an_operation_that_botocore_does_not_page_is_followed() -> None:
    unpaged = replace(contract(), operation="DescribeUsageReportSubscriptions", items="UsageReportSubscriptions")
    listing = ListOperation.from_contract(unpaged, botocore.session.Session())

    assert (listing.input_token, listing.output_token) == ("NextToken", "NextToken")


def test_members_of_an_answer_that_aws_calls_sensitive_are_not_handed_on_as_drift() -> None:
    accounts = replace(contract(), service="organizations", operation="ListAccounts", items="Accounts")
    listing = replace(ListOperation.from_contract(accounts, botocore.session.Session()), items=("Others",))

    found = listing.list_other_members({"Others": [], "Accounts": [{"Email": "secret@example.com"}], "IsPartial": True})

    assert found == {"$.IsPartial": True}


def test_an_answer_with_a_token_that_nobody_can_follow_is_malformed() -> None:
    listing = ListOperation("appstream", "DescribeThings", ("Things",), ("Name",), None, None, None, None, False)

    def read(**members: object) -> object:
        body = json.dumps({"Things": []} | members).encode()
        return listing.read_page({"status_code": 200, "body": body, "headers": {}})

    assert read(NextMarker="") == {"Things": [], "NextMarker": ""}
    with pytest.raises(RetriableScopeError, match="the operation should have only one page, but the answer holds Next"):
        read(NextMarker="2")


def test_with_an_endpoint_on_this_machine_no_other_host_is_asked() -> None:
    settings = Settings(aws=AwsSettings(endpoint_url="http://127.0.0.1:9"))
    session = guard.create_guarded_session(settings, {DESCRIBE})
    client = session.create_client("appstream", EU, aws_access_key_id="k", aws_secret_access_key="s")
    with pytest.raises(ConfigurationError, match=r"https://appstream2\.eu-west-1\.amazonaws\.com/: refused"):
        client.describe_image_builders()
    client.close()


def test_read_operations_are_these() -> None:
    proof = {"account:ListRegions", "ec2:DescribeRegions"}
    assert {"sts:AssumeRole", "sts:GetCallerIdentity", *proof} == guard.READ_OPERATIONS
    assert A not in str(guard.CREDENTIAL_OPERATIONS)


def test_contracts_and_clients_read_botocores_models_once_and_a_users_own_models_are_heard(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Loader, "CUSTOMER_DATA_PATH", str(tmp_path / "models"))
    shared = guard.create_guarded_session(Settings(), ()).get_component("data_loader")
    (tmp_path / "models").mkdir()
    own = guard.create_guarded_session(Settings(), ()).get_component("data_loader")
    (tmp_path / "models").rmdir()
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path))
    elsewhere = guard.create_guarded_session(Settings(), ()).get_component("data_loader")

    assert shared is get_botocore_loader()
    assert str(tmp_path / "models") in own.search_paths
    assert str(tmp_path) in elsewhere.search_paths


def test_sessions_share_botocores_handlers_and_none_of_their_own() -> None:
    def list_handlers(session: botocore.session.Session) -> dict[str, list[Any]]:
        emitter = session.get_component("event_emitter")
        aliased = {name: emitter._alias_event_name(name) for name, *_ in BUILTIN_HANDLERS}
        return {name: [*emitter._emitter._handlers.prefix_search(alias)] for name, alias in aliased.items()}

    whole = list_handlers(botocore.session.Session())
    one = guard.create_session_without_files()
    assert list_handlers(one) == whole, f"{VERSION}: a session no longer takes the handlers of `event_hooks`"
    one.register("before-send", lambda **_: None)
    assert list_handlers(guard.create_session_without_files()) == whole
