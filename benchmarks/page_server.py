"""A light AWS for scale runs, in a process of its own: pages, latency, throttles and faults on 127.0.0.1.

It serves DescribeImageBuilders, DescribeImages, the tagging API's GetResources, AssumeRole, GetCallerIdentity and
SSM's list of regions. The account is read from the access key, which AssumeRole made with it; the region from the SigV4
scope. It prints its URL on the first line. A line of JSON on its standard input, such as {"denied": 0.01}, changes
those fields of the World, and is answered with the record of calls since the last change. It ends when its input
closes.
"""

import asyncio
import contextlib
import json
import re
import sys
from collections import Counter
from dataclasses import dataclass, field, fields, replace
from time import monotonic, process_time
from typing import Any
from urllib.parse import parse_qs

from benchmarks.faults import ALL_FAULTS, Fault, http, refusal, reset, xml
from benchmarks.findings import say
from benchmarks.world import World, account_id

_CREDENTIAL = re.compile(rb"Credential=([^/,\s]+)/\d{8}/([^/]+)/([^/]+)/aws4_request")
_LENGTH = re.compile(rb"(?im)^content-length:\s*(\d+)")
_TARGET = re.compile(rb"(?im)^x-amz-target:\s*[^.\s]+\.(\w+)")
_TOKEN = re.compile(rb"(?im)^x-amz-security-token:\s*(\S+)")
_ANSWER = (
    '<{0}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{0}Result>{1}</{0}Result>'
    "<ResponseMetadata><RequestId>bench</RequestId></ResponseMetadata></{0}Response>"
)
_KEY = re.compile(r"A[KS]IA(\d{12})")
_DENIED = refusal("AccessDeniedException", "not authorized to perform this")[0]
_THROTTLED = refusal("ThrottlingException", "Rate exceeded")[0]
_NOT_ENABLED = refusal("UnrecognizedClientException", "The security token included in the request is invalid.")[0]
_MIXED = refusal("UnrecognizedClientException", "the security token is not of this access key")[0]


@dataclass(slots=True)
class Served:
    """Record of the calls since the last change."""

    calls: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    in_a_row: Counter[str] = field(default_factory=Counter)
    """`account/region` (STS: the account alone) → most faults in a row that one of its calls met."""
    throttled: int = 0
    mixed_credentials: int = 0
    """Calls signed with one session's key and another's token."""
    connections: int = 0
    asked_latency_s: float = 0.0
    """The World's latency, over all calls."""
    held_s: float = 0.0
    """Time that calls really spent here: above asked_latency_s, the server was the bottleneck."""
    cpu_s: float = 0.0


class PageServer:
    """Serves a World. One event loop, no framework: the client under measurement must be the bottleneck."""

    def __init__(self, world: World) -> None:
        self._sessions, self._drawn = 0, 0.0
        self.change(world)

    def change(self, world: World) -> None:
        """Serve another World from now on, and begin a new record."""
        self.world = world
        self.served = Served()
        self._cpu_s = process_time()
        self._bucket: dict[tuple[str, str], tuple[float, float]] = {}
        self._asked: Counter[str] = Counter()
        self._failing: Counter[str] = Counter()

    def get_record(self) -> dict[str, Any]:
        """Return the calls since the last change."""
        self.served.cpu_s = process_time() - self._cpu_s
        return {each.name: getattr(self.served, each.name) for each in fields(Served)}

    async def serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until its client closes it."""
        self.served.connections += 1
        with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await self._exchange(reader, writer):
                pass

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False when the connection is to end."""
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
        target = _TARGET.search(head)
        operation = target[1].decode() if target else ""
        self.served.calls[operation] += 1
        if not _is_one_session(key, _TOKEN.search(head)):
            self.served.mixed_credentials += 1
            return _MIXED, None
        account = _account_of(key)
        if operation == "DescribeImages":
            return http(200, self.world.list_images(account, region)), None
        if operation == "GetResources":
            return http(200, self.world.list_tags(account, region)), None
        return self._describe(account, region, body)

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
        found = _assume_role(account, self._sessions) if action == "AssumeRole" else _identify(account)
        return xml(200, _ANSWER.format(action, found)), fault

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
        """Return the fault of this call; the call and its number of earlier tries decide it."""
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


def make_key(account: str) -> str:
    """Return a lasting access key of an account, as a profile has it."""
    return f"AKIA{account}"


def _account_of(key: str) -> str:
    """Return the account of an access key, by default the first one."""
    found = _KEY.match(key)
    return found[1] if found else account_id(0)


def _is_one_session(key: str, token: re.Match[bytes] | None) -> bool:
    return not key.startswith("ASIA") or (token is not None and token[1].decode() == f"token-of-{key}")


def _list_regions(world: World) -> bytes:
    """Return SSM's list of AppStream's regions besides those of botocore's list."""
    return http(200, json.dumps({"Parameters": [{"Name": r, "Value": r} for r in world.closed]}).encode())


def _assume_role(account: str, session: int) -> str:
    key = f"ASIA{account}S{session}"
    return (
        f"<Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{'s' * 40}</SecretAccessKey>"
        f"<SessionToken>token-of-{key}</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>"
        f"<AssumedRoleUser><AssumedRoleId>AROA:bench</AssumedRoleId>"
        f"<Arn>arn:aws:sts::{account}:assumed-role/reader/bench</Arn></AssumedRoleUser>"
    )


def _identify(account: str) -> str:
    return f"<Arn>arn:aws:iam::{account}:user/bench</Arn><UserId>AIDA</UserId><Account>{account}</Account>"


async def serve() -> None:
    """Serve until the end of standard input."""
    page_server, loop = PageServer(World()), asyncio.get_running_loop()
    server = await asyncio.start_server(page_server.serve_connection, "127.0.0.1", 0, backlog=1024)
    say(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        say(json.dumps(page_server.get_record()))
        changed = {name: tuple(v) if isinstance(v, list) else v for name, v in json.loads(line).items()}
        page_server.change(replace(page_server.world, **changed))
    server.close()


if __name__ == "__main__":
    asyncio.run(serve())
