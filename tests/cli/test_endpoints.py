"""Endpoints that are not AWS's: keys go where they belong, nothing secret goes in the clear, and each is on record."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import boto3
import pytest

from appstream_export.contracts import iam
from appstream_export.errors import ConfigurationError, SettingsError
from appstream_export.extract.aws.endpoints import OWN_SERVICES, list_endpoints
from appstream_export.extract.aws.guard import create_guarded_session
from appstream_export.lake.storage.factory import open_store
from appstream_export.settings import S3Settings, Settings, parse_settings
from tests.export import Export
from tests.factories import image_builder

PLACE = "s3://lake/exports"
REAL = {
    "AWS_ACCESS_KEY_ID": "AKIAREALMACHINEKEY00",
    "AWS_SECRET_ACCESS_KEY": "real-secret-of-the-machine",
    "AWS_SESSION_TOKEN": "real-token-of-the-machine",
}
Told = Callable[..., tuple[int, str, str]]


class Listener:
    """A server that keeps what it is sent, and has nothing: a proxy, or an S3."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        ours = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                ours.heads.append(f"{self.requestline}\n{self.headers}")
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_PUT = do_POST = do_HEAD = do_CONNECT = answer

            def log_message(self, *_: object) -> None:
                """Nothing is said."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as listening:
        yield listening


@pytest.fixture
def machine(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with keys and a session token, and a proxy that listens."""
    for name, value in REAL.items():
        monkeypatch.setenv(name, value)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, listener.url)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


def of_bucket(**keys: Any) -> Settings:
    mapping = {"warehouse": PLACE, "regions": ["eu-west-1"], "accounts": [{"id": "111122223333"}]}
    return parse_settings(mapping | keys, Path("/nowhere/appstream-export.toml"))


def open_bucket(settings: Settings) -> None:
    """Open the warehouse as a run does; the bucket has nothing to show."""
    with pytest.raises(ConfigurationError):
        open_store(settings.warehouse, s3=settings.s3, create=True)


@pytest.mark.usefixtures("machine")
def test_the_bucket_of_an_emulator_gets_no_key_of_the_machine_and_no_proxy(listener: Listener) -> None:
    with Listener() as bucket:
        open_bucket(of_bucket(aws={"endpoint_url": bucket.url}))
        open_bucket(of_bucket(aws={"endpoint_url": bucket.url}, lake={"s3": {"profile": "machine"}}))

    assert listener.heads == [], "nothing went through the proxy"
    assert bucket.heads
    assert [word for word in REAL.values() if word in str(bucket.heads)] == []


@pytest.mark.usefixtures("machine")
def test_an_endpoint_of_its_own_gets_its_own_keys_past_the_proxy_of_this_machine(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {"access_key_id": "env:LAKE_ID", "secret_access_key": "env:LAKE_SECRET"}
    monkeypatch.setenv("LAKE_ID", "AKIAOFTHELAKE")
    monkeypatch.setenv("LAKE_SECRET", "of-the-lake")
    with Listener() as bucket:
        open_bucket(of_bucket(lake={"s3": {"endpoint_url": bucket.url} | keys}))

    assert (listener.heads, "Credential=AKIAOFTHELAKE/" in str(bucket.heads)) == ([], True)
    assert [word for word in REAL.values() if word in str(bucket.heads)] == []


URLS = {
    "[aws] endpoint_url": lambda url: {"aws": {"endpoint_url": url}},
    "[lake.s3] endpoint_url": lambda url: {"lake": {"s3": {"endpoint_url": url}}},
    "[dagster] dashboard_url": lambda url: {"dagster": {"dashboard_url": url}},
    "[dagster] ui_url": lambda url: {"dagster": {"ui_url": url}},
    "[dagster] alert_webhook": lambda url: {"dagster": {"alert_webhook": url}},
}


@pytest.mark.parametrize("setting", URLS)
@pytest.mark.parametrize(
    "url", ["https://me:hush@example.com/x", "https://hush@example.com", "http://:hush@127.0.0.1:1"]
)
def test_a_password_in_a_url_is_refused_and_not_repeated(setting: str, url: str) -> None:
    with pytest.raises(SettingsError) as refused:
        of_bucket(**URLS[setting](url))

    assert str(refused.value).count(f"{setting}: it contains a user or a password") == 1
    assert "hush" not in str(refused.value)


def test_every_setting_that_is_a_url_is_among_these() -> None:
    named = {f"[{section}] {key}" for section, key in walk_keys(Settings()) if key.endswith(("_url", "webhook"))}

    assert named == set(URLS)


def walk_keys(struct: Any, section: str = "") -> Iterator[tuple[str, str]]:
    """Sections and keys of the settings."""
    for key in struct.__struct_fields__:
        value = getattr(struct, key)
        if hasattr(value, "__struct_fields__"):
            yield from walk_keys(value, f"{section}.{key}".lstrip("."))
        else:
            yield section, key


@pytest.mark.parametrize("section", ["aws", "lake.s3"])
def test_http_beyond_this_machine_needs_a_word_in_the_settings(section: str) -> None:
    def build(**more: Any) -> dict[str, Any]:
        keys = {"endpoint_url": "http://minio.example.com:9000"} | more
        return {"aws": keys} if section == "aws" else {"lake": {"s3": keys}}

    with pytest.raises(SettingsError, match=rf"without TLS .*; use https, or set \[{section}\] allow_http = true"):
        of_bucket(**build())
    assert of_bucket(**build(allow_http=True)).warehouse == PLACE


def test_keys_of_the_bucket_stand_in_no_file_and_come_in_pairs() -> None:
    for keys, why in (
        (
            {"access_key_id": "AKIAREAL", "secret_access_key": "env:B"},
            "access_key_id: it must be the name of an environment variable",
        ),
        ({"access_key_id": "env:A"}, "secret_access_key is missing"),
        ({"access_key_id": "env:A", "secret_access_key": "env:B", "profile": "p"}, "profile: access_key_id and"),
    ):
        with pytest.raises(SettingsError, match=why) as refused:
            of_bucket(lake={"s3": keys})
        assert "AKIAREAL" not in str(refused.value)


SECTION = "[default]\nservices = elsewhere\n[services elsewhere]\n{service} =\n  endpoint_url = {url}\n"
SERVICES = ["appstream", *dict.fromkeys(OWN_SERVICES)]


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("place", ["variable", "services section"])
def test_each_services_endpoint_is_found_wherever_it_is_named(
    service: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name_endpoint(service, place, "https://elsewhere.example.com", tmp_path, monkeypatch)

    assert list_endpoints(of_bucket(), ["appstream"]) == {service: "https://elsewhere.example.com"}
    for url in ("https://me:hush@example.com", "http://elsewhere.example.com"):
        name_endpoint(service, place, url, tmp_path, monkeypatch)
        with pytest.raises(ConfigurationError, match=f"the endpoint of {service}, from the environment or") as refused:
            list_endpoints(of_bucket(), ["appstream"])
        assert "hush" not in str(refused.value)
    name_endpoint(service, place, "http://elsewhere.example.com", tmp_path, monkeypatch)
    assert list_endpoints(of_bucket(aws={"allow_http": True}), ["appstream"])


def name_endpoint(service: str, place: str, url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if place == "variable":
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service.upper()}", url)
    else:
        file = folder / "aws-config"
        file.write_text(SECTION.format(service=service, url=url))
        monkeypatch.setenv("AWS_CONFIG_FILE", str(file))


@pytest.mark.parametrize("place", ["variable", "services section"])
def test_the_buckets_endpoint_is_found_and_checked_wherever_it_is_named(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for url, why in (
        ("https://me:hush@example.com", "a user or a password"),
        ("http://minio.example.com", "allow_http"),
    ):
        name_endpoint("s3", place, url, tmp_path, monkeypatch)
        with pytest.raises(ConfigurationError, match=f"the endpoint of the warehouse's bucket: .*{why}") as refused:
            open_store(PLACE, s3=S3Settings())
        assert "hush" not in str(refused.value)


@pytest.mark.usefixtures("machine")
def test_nothing_is_sent_where_an_endpoint_appears_after_the_plan(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a process that sweeps a shard with another environment than the one that planned it."""
    for url in ("http://elsewhere.example.com", "https://me:hush@127.0.0.1:9"):
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
        client = create_guarded_session(of_bucket(), {iam.IDENTITY}).create_client("sts", "eu-west-1")
        with pytest.raises(ConfigurationError, match="nothing was sent") as refused:
            client.get_caller_identity()
        assert "hush" not in str(refused.value)
    assert listener.heads == []


def test_the_services_that_are_looked_at_are_those_that_are_asked() -> None:
    asked = {operation.partition(":")[0] for operation in (iam.ASSUME, *iam.DISCOVERY, *iam.REGION_PROOF)}

    assert set(OWN_SERVICES) == asked


@pytest.mark.slow
def test_endpoints_are_shown_by_plan_and_doctor_and_recorded_by_the_run(
    export: Export, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    export.aws.put("111122223333/eu-west-1", image_builder("a"))
    url = export.aws.endpoint_url
    boto3.client("s3", "us-east-1", endpoint_url=url, aws_access_key_id="k", aws_secret_access_key="s").create_bucket(
        Bucket="lake"
    )
    for service in ("STS", "APPSTREAM", "S3"):
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSM", "https://ssm.example.com")
    file = export.folder / "appstream-export.toml"
    file.write_text(
        f'warehouse = "{PLACE}"\nregions = ["eu-west-1"]\n[[accounts]]\nid = "111122223333"\n'
        'role_arn = "arn:aws:iam::111122223333:role/reader"\n'
    )
    text = f"appstream, s3, sts: {url}; ssm: https://ssm.example.com"

    plan = told("plan", "--config", str(file))
    doctor = json.loads(told("doctor", "--config", str(file), "--json")[1])
    run = told("run", "--config", str(file))
    query = ("sql", "--format", "ndjson", "select endpoint_url from snapshots")

    assert f"endpoints used instead of AWS: {text}" in " ".join(plan[1].split())
    assert [(f["verdict"], f["reason"]) for f in doctor if f["area"] == "endpoints"] == [
        ("warning", f"used instead of AWS: {text}")
    ]
    assert run[0] == 0, run
    assert json.loads(told(*query, "--config", str(file))[1]) == {"endpoint_url": text}


def test_a_bucket_on_this_machine_takes_credentials_of_a_role_that_are_fetched_elsewhere(
    listener: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    role = "role_arn = arn:aws:iam::111122223333:role/reader\nsource_profile = base"
    keys = "aws_access_key_id = AKIAREADER0000000000\naws_secret_access_key = secret"
    config.write_text(f"[profile base]\n{keys}\n[profile tunnel]\n{role}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "https://sts.invalid")  # no such host: only that it is tried counts

    with pytest.raises(ConfigurationError) as failed:
        open_store(PLACE, s3=S3Settings(endpoint_url=listener.url, profile="tunnel")).exists("x")

    assert "requests to other hosts are refused" not in str(failed.value)
    assert "sts.invalid" in str(failed.value)
    assert listener.heads == []
