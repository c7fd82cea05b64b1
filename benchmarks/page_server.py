"""A light AWS for scale runs, in a process of its own: pages, latency, throttles and faults on 127.0.0.1.

    python -m benchmarks.page_server --accounts 1000 --items 3 --latency-ms 30-80 --denied 0.01

The account is read from the access key that AssumeRole gave (it carries the account), the region from the SigV4 scope.
Answers DescribeImageBuilders, AssumeRole, GetCallerIdentity and SSM's list of regions. Prints its URL on the first
line. A line of JSON on its standard input, such as {"denied": 0.01}, changes those fields of the World; it answers with
the record of what it served since the last change, as one JSON line. It ends with the last record on SIGTERM or when
its input closes.
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import resource
import signal
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from time import monotonic
from typing import Any
from urllib.parse import parse_qs

from benchmarks.children import peak_mb
from benchmarks.faults import ALL_FAULTS, FAULTS, Fault, http, refusal, reset, xml
from benchmarks.findings import say
from benchmarks.world import World, account_id

_CREDENTIAL = re.compile(rb"Credential=([^/,\s]+)/\d{8}/([^/]+)/([^/]+)/aws4_request")
_LENGTH = re.compile(rb"(?im)^content-length:\s*(\d+)")
_TOKEN = re.compile(rb"(?im)^x-amz-security-token:\s*(\S+)")
_KEY = re.compile(r"A[KS]IA(\d{12})")
_DENIED = refusal("AccessDeniedException", "not authorized to perform this")[0]
_THROTTLED = refusal("ThrottlingException", "Rate exceeded")[0]
_NOT_ENABLED = refusal("UnrecognizedClientException", "The security token included in the request is invalid.")[0]
_MIXED = refusal("UnrecognizedClientException", "the security token is not of this access key")[0]


@dataclass(slots=True)
class Served:
    """What the server did since the last change, for the record."""

    calls: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    in_a_row: Counter[str] = field(default_factory=Counter)
    """`account/region` (STS: the account alone) → most faults in a row that one of its calls met."""
    throttled: int = 0
    mixed_credentials: int = 0
    """Calls signed with one session's key and another's token."""
    connections: int = 0
    asked_latency_s: float = 0.0
    """The latency that the World wants, over all calls."""
    held_s: float = 0.0
    """What calls really spent here: above asked_latency_s, the server was the bottleneck."""
    cpu_s: float = 0.0
    wall_s: float = 0.0
    peak_mb: float = 0.0


class PageServer:
    """Serves a World. One event loop, no framework: the client under measurement must be the bottleneck."""

    def __init__(self, world: World) -> None:
        self._sessions, self._drawn = 0, 0.0
        self.change(world)

    def change(self, world: World) -> None:
        """Serve another World from now on, and begin a new record."""
        self.world = world
        self.served = Served()
        self._began, self._cpu_s = monotonic(), _cpu_s()
        self._bucket: dict[tuple[str, str], tuple[float, float]] = {}
        self._asked: Counter[str] = Counter()
        self._failing: Counter[str] = Counter()

    def record(self) -> dict[str, Any]:
        """What was served since the last change."""
        self.served.cpu_s, self.served.wall_s = _cpu_s() - self._cpu_s, monotonic() - self._began
        self.served.peak_mb = peak_mb()
        return {each.name: getattr(self.served, each.name) for each in fields(Served)}

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until the client leaves."""
        self.served.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            while await self._exchange(reader, writer):
                pass
        writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; False when the connection is to end."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        body = await reader.readexactly(int(length[1])) if length else b""
        arrived, served = monotonic(), self.served
        answer, fault = self._answer(head, body)
        latency_s = self._latency_s() + (fault.delay_s if fault else 0.0)
        if latency_s:
            await asyncio.sleep(latency_s)
        writer.write(answer)
        served.asked_latency_s += latency_s
        served.held_s += monotonic() - arrived
        if fault and fault.then == "reset":
            reset(writer.get_extra_info("socket"))
        await writer.drain()
        return fault is None or fault.then == "keep"

    def _latency_s(self) -> float:
        low, high = self.world.latency_ms
        self._drawn = (self._drawn + 0.618033988749895) % 1  # the golden ratio spreads evenly
        return (low + (high - low) * self._drawn) / 1000

    def _answer(self, head: bytes, body: bytes) -> tuple[bytes, Fault | None]:
        credential = _CREDENTIAL.search(head)
        if not credential:
            return refusal("MissingAuthenticationTokenException", "who are you?")[0], None
        key, region, service = (part.decode() for part in credential.groups())
        if service == "sts":
            return self._sts(key, body)
        if service == "ssm":
            self.served.calls["GetParametersByPath"] += 1
            return _list_regions(self.world), None
        self.served.calls["DescribeImageBuilders"] += 1
        if not _is_one_session(key, _TOKEN.search(head)):
            self.served.mixed_credentials += 1
            return _MIXED, None
        return self._describe(_account_of(key), region, body)

    def _sts(self, key: str, body: bytes) -> tuple[bytes, Fault | None]:
        asked = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        action = asked["Action"]
        self.served.calls[action] += 1
        account = asked["RoleArn"].split(":")[4] if action == "AssumeRole" else _account_of(key)
        fault = self._fault(account, account)
        if fault and fault.sts is not None:
            return fault.sts, fault
        self._sessions += 1
        account = self.world.neighbour(account) if fault and fault.foreign else account
        return xml(200, _assumed(account, self._sessions) if action == "AssumeRole" else _identity(account)), fault

    def _describe(self, account: str, region: str, body: bytes) -> tuple[bytes, Fault | None]:
        if region in self.world.closed:
            return _NOT_ENABLED, None
        if self.world.is_denied(account, region):
            return _DENIED, None
        if not self._may_call((account, region)):
            self.served.throttled += 1
            return _THROTTLED, None
        number = json.loads(body or b"{}").get("NextToken") or "0"
        fault = self._fault(f"{account}/{region}", f"{account}/{region}/{number}")
        if fault and fault.page is not None:
            return fault.page, fault
        account = self.world.neighbour(account) if fault and fault.foreign else account
        return http(200, self.world.page(account, region, int(number))), fault

    def _fault(self, scope: str, call: str) -> Fault | None:
        """The fault that this call meets: decided by what is asked and how often it was asked before."""
        if not self.world.fault_rate:
            return None
        self._asked[call] += 1
        kind = self.world.fault(call, self._asked[call])
        if kind is None:
            self._failing[call] = 0
            return None
        self.served.faults[kind] += 1
        self._failing[call] += 1
        self.served.in_a_row[scope] = max(self.served.in_a_row[scope], self._failing[call])
        return ALL_FAULTS[kind]

    def _may_call(self, scope: tuple[str, str]) -> bool:
        rate = self.world.calls_per_s
        if rate is None:
            return True
        now = monotonic()
        tokens, since = self._bucket.get(scope, (rate, now))
        tokens = min(rate, tokens + (now - since) * rate)
        self._bucket[scope] = (tokens - 1 if tokens >= 1 else tokens, now)
        return tokens >= 1


def key_of(account: str) -> str:
    """An access key that belongs to an account for good, as a profile has it."""
    return f"AKIA{account}"


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _account_of(key: str) -> str:
    """The account that an access key carries; a stand-in key is the first one's."""
    found = _KEY.match(key)
    return found[1] if found else account_id(0)


def _is_one_session(key: str, token: re.Match[bytes] | None) -> bool:
    return not key.startswith("ASIA") or (token is not None and token[1].decode() == f"token-of-{key}")


def _list_regions(world: World) -> bytes:
    """SSM's list of AppStream's regions; those of botocore's list are known without it."""
    return http(200, json.dumps({"Parameters": [{"Name": r, "Value": r} for r in world.closed]}).encode())


def _assumed(account: str, session: int) -> str:
    key = f"ASIA{account}S{session}"
    return (
        '<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>'
        f"<AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{'s' * 40}</SecretAccessKey>"
        f"<SessionToken>token-of-{key}</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>"
        f"<AssumedRoleUser><AssumedRoleId>AROA:bench</AssumedRoleId>"
        f"<Arn>arn:aws:sts::{account}:assumed-role/reader/bench</Arn></AssumedRoleUser></AssumeRoleResult>"
        "<ResponseMetadata><RequestId>bench</RequestId></ResponseMetadata></AssumeRoleResponse>"
    )


def _identity(account: str) -> str:
    return (
        '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
        f"<Arn>arn:aws:iam::{account}:user/bench</Arn><UserId>AIDA</UserId><Account>{account}</Account>"
        "</GetCallerIdentityResult><ResponseMetadata><RequestId>bench</RequestId></ResponseMetadata>"
        "</GetCallerIdentityResponse>"
    )


async def serve(world: World, started: Callable[[str], None], changed: Callable[[dict[str, Any]], None]) -> None:
    """Serve until SIGTERM or end of standard input; `started` gets the URL, `changed` the record at each change."""
    page_server = PageServer(world)
    server = await asyncio.start_server(page_server.connection, "127.0.0.1", 0, backlog=1024)
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, done.set)
    typed = bytearray()

    def fail(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        loop.default_exception_handler(context)
        done.set()  # whoever waits for our answer must not wait for ever

    def listen() -> None:
        typed.extend(arrived := os.read(sys.stdin.fileno(), 65536))
        *lines, rest = typed.split(b"\n")
        typed[:] = rest
        for line in lines:
            changed(page_server.record())
            page_server.change(replace(page_server.world, **_changes(json.loads(line))))
        if not arrived:
            done.set()

    loop.set_exception_handler(fail)
    loop.add_reader(sys.stdin.fileno(), listen)
    started(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    await done.wait()
    server.close()
    changed(page_server.record())


def _changes(given: dict[str, Any]) -> dict[str, Any]:
    """Fields of a World as JSON has them: lists become tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}


def main(argv: list[str] | None = None) -> None:
    """Read the world from flags, serve it, print the record."""
    parser = argparse.ArgumentParser(description="A light AWS for scale runs on 127.0.0.1.")
    kinds = {"latency_ms": _pair, "faults": _words, "closed": _words, "calls_per_s": float}
    for each in fields(World):
        kind = kinds.get(each.name, type(each.default))
        parser.add_argument(f"--{each.name.replace('_', '-')}", type=kind, default=each.default)
    flags = vars(parser.parse_args(argv))
    flags["faults"] = flags["faults"] or tuple(FAULTS)
    asyncio.run(serve(World(**flags), say, lambda record: say(json.dumps(record))))


def _pair(text: str) -> tuple[float, float]:
    low, high = text.split("-")
    return float(low), float(high)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


if __name__ == "__main__":
    main()
