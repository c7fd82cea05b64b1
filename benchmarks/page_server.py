"""A light AWS for scale runs, in a process of its own: precomputed pages, latency, throttles and faults on 127.0.0.1.

    python -m benchmarks.page_server --accounts 1000 --items 3 --latency-ms 30-80 --denied 0.01

The account is read from the access key that AssumeRole gave (it carries the account), the region from the SigV4 scope.
Answers DescribeImageBuilders, AssumeRole and GetCallerIdentity. Prints its URL on the first line and, on SIGTERM or when
its standard input closes, what it served as one JSON line. Deterministic in its seed: `truth()` says what it holds.
"""

import argparse
import asyncio
import contextlib
import json
import random
import re
import resource
import signal
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from urllib.parse import parse_qs

_CREDENTIAL = re.compile(rb"Credential=([^/,\s]+)/\d{8}/([^/]+)/([^/]+)/aws4_request")
_LENGTH = re.compile(rb"(?im)^content-length:\s*(\d+)")
_PADDING = "A" * 4
FAULTS = ("error500", "throttle", "truncated", "html", "empty_body", "reset", "null_list", "expired")


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What the server holds and how it behaves. Latency in milliseconds, rates as parts of 1."""

    accounts: int = 100
    items: int = 3
    """Image builders per account and region."""
    page_size: int = 50
    latency_ms: tuple[float, float] = (0.0, 0.0)
    denied: float = 0.0
    """Part of the scopes that are always denied; chosen by seed."""
    fault_rate: float = 0.0
    faults: tuple[str, ...] = FAULTS
    calls_per_s: float | None = None
    """Throttle: calls per second for each account and region, with a burst of the same size."""
    seed: int = 0

    def is_denied(self, account_id: str, region: str) -> bool:
        """Whether this scope is one of the denied; the same in every process."""
        return random.Random(f"{self.seed}/{account_id}/{region}").random() < self.denied  # noqa: S311

    def names(self, account_id: str, region: str) -> list[str]:
        """The builders of a scope: the truth to compare with."""
        return [] if self.is_denied(account_id, region) else [f"builder-{n:06d}" for n in range(self.items)]


@dataclass(slots=True)
class Served:
    """What a server did, for the record."""

    calls: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    faults: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    connections: int = 0
    cpu_s: float = 0.0
    peak_mb: float = 0.0


def account_id(number: int) -> str:
    """The id of the n-th account."""
    return f"{100_000_000_000 + number:012d}"


def image_builder(account: str, region: str, n: int) -> dict[str, object]:
    """One builder with every part that costs time to read: nested fields, two lists, a time with microseconds."""
    arn = f"arn:aws:appstream:{region}:{account}"
    return {
        "Name": f"builder-{n:06d}",
        "Arn": f"{arn}:image-builder/builder-{n:06d}",
        "ImageArn": f"arn:aws:appstream:{region}::image/AppStream-WinServer2022-06-17-2026",
        "Description": "Workstation image of the design team, monthly refresh",
        "DisplayName": f"Design {n}",
        "VpcConfig": {"SubnetIds": [f"subnet-{n % 97:017x}"], "SecurityGroupIds": [f"sg-{n % 89:017x}", "sg-0ff1ce"]},
        "InstanceType": "stream.standard.medium",
        "Platform": "WINDOWS_SERVER_2022",
        "IamRoleArn": f"arn:aws:iam::{account}:role/image-builder",
        "State": ("RUNNING", "STOPPED", "STOPPED", "PENDING")[n % 4],
        "CreatedTime": 1_750_000_000.123456 + n,
        "EnableDefaultInternetAccess": n % 2 == 0,
        "NetworkAccessConfiguration": {"EniPrivateIpAddress": f"10.0.{n % 256}.7", "EniId": f"eni-{n:017x}"},
        "ImageBuilderErrors": [],
        "AppstreamAgentVersion": "06-17-2026",
        "LatestAppstreamAgentVersion": "TRUE",
        "AccessEndpoints": [],
    }


class PageServer:
    """Serves a World. One event loop, no framework: the client under measurement must be the bottleneck."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.served = Served()
        self._pages: dict[tuple[str, str], list[bytes]] = {}
        self._bucket: dict[tuple[str, str], tuple[float, float]] = {}
        self._random = random.Random(world.seed)  # noqa: S311

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until the client leaves."""
        self.served.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                body = await reader.readexactly(int(length[1])) if length else b""
                await self._pause()
                answer = self._answer(head, body)
                if answer is None:
                    writer.transport.abort()
                    return
                writer.write(answer)
                await writer.drain()
        writer.close()

    async def _pause(self) -> None:
        low, high = self.world.latency_ms
        if high:
            await asyncio.sleep(self._random.uniform(low, high) / 1000)

    def _answer(self, head: bytes, body: bytes) -> bytes | None:
        credential = _CREDENTIAL.search(head)
        if not credential:
            return _http(403, b'{"__type":"MissingAuthenticationTokenException"}')
        key, region, service = (part.decode() for part in credential.groups())
        if service == "sts":
            return self._sts(key, body)
        self.served.calls["DescribeImageBuilders"] += 1
        fault = self._fault()
        return _damaged(fault) if fault else self._describe(_account_of(key), region, body)

    def _sts(self, key: str, body: bytes) -> bytes:
        asked = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        self.served.calls[asked["Action"]] += 1
        if asked["Action"] == "AssumeRole":
            return _http(200, _assumed(asked["RoleArn"].split(":")[4]), "text/xml")
        return _http(200, _identity(_account_of(key)), "text/xml")

    def _fault(self) -> str | None:
        if self._random.random() >= self.world.fault_rate:
            return None
        fault = self._random.choice(self.world.faults)
        self.served.faults[fault] += 1
        return fault

    def _describe(self, account: str, region: str, body: bytes) -> bytes:
        if self.world.is_denied(account, region):
            return _http(400, b'{"__type":"AccessDeniedException","Message":"not authorized to perform this"}')
        if not self._may_call((account, region)):
            self.served.calls["throttled"] += 1
            return _http(400, b'{"__type":"ThrottlingException","Message":"Rate exceeded"}')
        token = json.loads(body or b"{}").get("NextToken") or "0"
        return self._scope_pages(account, region)[int(token)]

    def _may_call(self, scope: tuple[str, str]) -> bool:
        rate = self.world.calls_per_s
        if rate is None:
            return True
        tokens, since = self._bucket.get(scope, (rate, monotonic()))
        tokens = min(rate, tokens + (monotonic() - since) * rate)
        self._bucket[scope] = (tokens - 1 if tokens >= 1 else tokens, monotonic())
        return tokens >= 1

    def _scope_pages(self, account: str, region: str) -> list[bytes]:
        if (account, region) not in self._pages:
            self._pages[account, region] = self._render(account, region)
        return self._pages[account, region]

    def _render(self, account: str, region: str) -> list[bytes]:
        items = [image_builder(account, region, n) for n in range(self.world.items)]
        size = self.world.page_size
        chunks = [items[n : n + size] for n in range(0, len(items), size)] or [[]]
        pages = []
        for n, chunk in enumerate(chunks):
            more = {"NextToken": str(n + 1)} if n + 1 < len(chunks) else {}
            pages.append(_http(200, json.dumps({"ImageBuilders": chunk} | more).encode()))
        return pages


def _account_of(key: str) -> str:
    return key[4:16] if key.startswith("ASIA") else account_id(0)


def _http(status: int, body: bytes, kind: str = "application/x-amz-json-1.1") -> bytes:
    head = (
        f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nx-amzn-RequestId: bench\r\n\r\n"
    )
    return head.encode() + body


def _damaged(fault: str) -> bytes | None:
    answers: dict[str, Callable[[], bytes]] = {
        "error500": lambda: _http(500, b'{"__type":"InternalFailure"}'),
        "throttle": lambda: _http(400, b'{"__type":"ThrottlingException","Message":"Rate exceeded"}'),
        "expired": lambda: _http(400, b'{"__type":"ExpiredTokenException","Message":"expired"}'),
        "truncated": lambda: _http(200, b'{"ImageBuilders": [{"Name": "b'),
        "html": lambda: _http(200, b"<html>proxy</html>", "text/html"),
        "empty_body": lambda: _http(200, b""),
        "null_list": lambda: _http(200, b'{"ImageBuilders": null}'),
    }
    return answers[fault]() if fault in answers else None


def _assumed(account: str) -> bytes:
    return (
        '<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>'
        f"<AccessKeyId>ASIA{account}{_PADDING}</AccessKeyId><SecretAccessKey>{'s' * 40}</SecretAccessKey>"
        "<SessionToken>token</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>"
        f"<AssumedRoleUser><AssumedRoleId>AROA:bench</AssumedRoleId>"
        f"<Arn>arn:aws:sts::{account}:assumed-role/reader/bench</Arn></AssumedRoleUser></AssumeRoleResult>"
        "<ResponseMetadata><RequestId>bench</RequestId></ResponseMetadata></AssumeRoleResponse>"
    ).encode()


def _identity(account: str) -> bytes:
    return (
        '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
        f"<Arn>arn:aws:iam::{account}:user/bench</Arn><UserId>AIDA</UserId><Account>{account}</Account>"
        "</GetCallerIdentityResult><ResponseMetadata><RequestId>bench</RequestId></ResponseMetadata>"
        "</GetCallerIdentityResponse>"
    ).encode()


async def serve(world: World, started: Callable[[str], None]) -> Served:
    """Serve until SIGTERM or end of standard input; `started` gets the URL."""
    page_server = PageServer(world)
    server = await asyncio.start_server(page_server.connection, "127.0.0.1", 0, backlog=1024)
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, done.set)
    loop.add_reader(sys.stdin.fileno(), lambda: done.set() if not sys.stdin.buffer.read1(1) else None)
    started(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    await done.wait()
    server.close()
    used = resource.getrusage(resource.RUSAGE_SELF)
    page_server.served.cpu_s, page_server.served.peak_mb = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
    return page_server.served


def main(argv: list[str] | None = None) -> None:
    """Read the world from flags, serve it, print the record."""
    parser = argparse.ArgumentParser(description="A light AWS for scale runs on 127.0.0.1.")
    parser.add_argument("--accounts", type=int, default=100)
    parser.add_argument("--items", type=int, default=3)
    parser.add_argument("--page-size", type=int, default=50)
    parser.add_argument("--latency-ms", default="0-0", help="such as 30-80")
    parser.add_argument("--denied", type=float, default=0.0)
    parser.add_argument("--fault-rate", type=float, default=0.0)
    parser.add_argument("--faults", default=",".join(FAULTS))
    parser.add_argument("--calls-per-s", type=float)
    parser.add_argument("--seed", type=int, default=0)
    flags = vars(parser.parse_args(argv))
    low, high = flags["latency_ms"].split("-")
    flags |= {"latency_ms": (float(low), float(high)), "faults": tuple(flags["faults"].split(","))}
    served = asyncio.run(serve(World(**flags), lambda url: print(url, flush=True)))  # noqa: T201
    print(json.dumps({name: getattr(served, name) for name in served.__slots__}))  # noqa: T201


if __name__ == "__main__":
    main()
