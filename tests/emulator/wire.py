"""Calls as bytes: what AWS's answer looks like before any client has touched it."""

import json
import socket
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config

from appstream_export.emulator import Emulator
from appstream_export.model import Scope

ONE, OTHER = Scope("111122223333", "eu-west-1"), Scope("111122223333", "us-east-1")
ONCE = Config(retries={"total_max_attempts": 1}, connect_timeout=120, read_timeout=120)
TARGET = "PhotonAdminProxyService.DescribeImageBuilders"


@dataclass
class Seen:
    """What a plain socket received: `reset` if TCP broke off, `length` as Content-Length promised."""

    status: int
    body: bytes
    reset: bool
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def length(self) -> int:
        return int(self.headers["content-length"])

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def keys(aws: Emulator, account_id: str) -> dict[str, str]:
    """Credentials of an account, got as any client gets them."""
    sts = boto3.client("sts", "us-east-1", endpoint_url=aws.endpoint_url, **UNKNOWN)
    role = sts.assume_role(RoleArn=f"arn:aws:iam::{account_id}:role/reader", RoleSessionName="test")["Credentials"]
    return {
        "aws_access_key_id": role["AccessKeyId"],
        "aws_secret_access_key": role["SecretAccessKey"],
        "aws_session_token": role["SessionToken"],
    }


UNKNOWN = {"aws_access_key_id": "AKIAUNKNOWN000000000", "aws_secret_access_key": "secret"}


def client(aws: Emulator, scope: Scope = ONE, *, service: str = "appstream", config: Config = ONCE) -> Any:
    """An unmodified boto3 client of an account, in a region."""
    return boto3.client(
        service, scope.region, endpoint_url=aws.endpoint_url, config=config, **keys(aws, scope.account_id)
    )


def post(aws: Emulator, scope: Scope = ONE, *, target: str = TARGET, **params: Any) -> Seen:
    """One signed-looking call over a bare socket."""
    key = aws.create_credentials(scope.account_id)["aws_access_key_id"]
    body = json.dumps(params).encode()
    head = (
        "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        f"X-Amz-Target: {target}\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: {len(body)}\r\n"
        f"Authorization: AWS4-HMAC-SHA256 Credential={key}/20260101/{scope.region}/appstream/aws4_request,"
        " SignedHeaders=host, Signature=0\r\n\r\n"
    )
    port = int(aws.endpoint_url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        connection.sendall(head.encode() + body)
        return _received(connection)


def _received(connection: socket.socket) -> Seen:
    raw, reset = b"", False
    try:
        while chunk := connection.recv(65536):
            raw += chunk
    except ConnectionResetError:
        reset = True
    head, _, body = raw.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return Seen(int(status.split()[1]) if status else 0, body, reset, headers)
