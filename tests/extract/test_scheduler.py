"""Who is asked when: isolation, retries, stopping, and what never leaves the process."""

import itertools
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from appstream_export.errors import ConfigurationError
from appstream_export.extract import Account, resolve_outcomes
from appstream_export.extract.aws import Clients, check_emulator
from appstream_export.extract.scan import scan, scheduler
from appstream_export.model import Outcome, Task
from appstream_export.settings import AwsSettings, Secret, Settings
from tests.extract.asking import EU, US, A, Answer, Asking, B
from tests.extract.wire import Reply, Seen, Wire, page, refusal

SCOPE = f"{A}/{EU}"
HANG_S = 60.0  # what a stop does not end takes as long
MILAN = "eu-south-1"  # accounts must opt in
REFUSALS = {
    "AccessDeniedException": ("denied", 1),
    "UnrecognizedClientException": ("denied", 1),
    "ThrottlingException": ("throttled", 3),
    "RequestLimitExceededException": ("throttled", 3),
    "InternalFailure": ("error", 3),
    "InvalidParameterCombinationException": ("error", 1),
}


@pytest.mark.parametrize("code", REFUSALS)
def test_a_refusal_ends_its_scope_alone_with_awss_words(code: str, wire: Wire, asking: Asking) -> None:
    status, calls = REFUSALS[code]
    asking.ids, asking.extract["max_attempts"] = [A, B], 3
    wire.always(SCOPE, refusal(code, "why\nit is so", 500 if code == "InternalFailure" else 400))
    wire.script(f"{B}/{EU}", page("b"))

    answer = asking.run()

    assert answer.statuses == {SCOPE: status, f"{B}/{EU}": "ok"}
    only = answer.outcomes[SCOPE]
    assert only.reason == f"DescribeImageBuilders: {code}: why it is so"
    assert (only.error_code, only.request_id, only.api_calls, only.retries) == (code, "request-1", calls, calls - 1)
    assert only.throttles == (calls if status == "throttled" else 0)
    assert answer.names() == ["b"]


@pytest.mark.parametrize("attempts", [1, 2, 3, 4])
@pytest.mark.parametrize("fault", [Reply(b"", 500), Reply(drop=True), refusal("ThrottlingException")])
def test_max_attempts_counts_every_try_of_a_page_botocores_too(
    attempts: int, fault: Reply, wire: Wire, asking: Asking
) -> None:
    asking.extract["max_attempts"] = attempts
    wire.always(SCOPE, fault)

    assert asking.run().only.api_calls == len(wire.asked("DescribeImageBuilders")) == attempts


@pytest.mark.slow
def test_a_throttled_scan_goes_on_at_its_page(wire: Wire, asking: Asking) -> None:
    asking.extract["max_attempts"] = 8
    throttle = refusal("ThrottlingException")
    wire.script(SCOPE, page("a", token="1"), throttle, throttle, page("b", token="2"), throttle, page("c"))

    answer = asking.run()

    assert answer.names() == ["a", "b", "c"]
    assert [c.params.get("NextToken") for c in wire.asked("DescribeImageBuilders")] == [None, "1", "1", "1", "2", "2"]
    assert (answer.only.api_calls, answer.only.throttles, answer.only.retries) == (6, 3, 3)


@pytest.mark.parametrize("status", [429, 503])
def test_a_gateways_bare_status_is_understood(status: int, wire: Wire, asking: Asking) -> None:
    wire.always(SCOPE, Reply(b"<html>slow down</html>", status))

    assert asking.run().only.status == {429: "throttled", 503: "error"}[status]


@pytest.mark.parametrize("body", [b"null", b"[]", b'"slow down"', b'{"__type": 5}'])
def test_an_error_that_is_json_and_no_object_is_asked_again(body: bytes, wire: Wire, asking: Asking) -> None:
    wire.script(SCOPE, Reply(body, 503), page("a"))

    assert asking.run().names() == ["a"]


@pytest.mark.slow
def test_a_connection_that_breaks_is_network_and_a_region_without_endpoint_unavailable(
    wire: Wire, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire.always(SCOPE, Reply(drop=True))
    assert asking.run().only.status == "network"

    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", wire.url)
    monkeypatch.setenv("AWS_ENDPOINT_URL_APPSTREAM", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    asking.endpoint_url, asking.extract["max_attempts"] = None, 8
    gone = asking.run().only
    assert (gone.status, gone.error_code, gone.api_calls) == ("unavailable", "EndpointConnectionError", 4)


@pytest.mark.slow
def test_no_worker_waits_while_scans_are_throttled(wire: Wire, asking: Asking) -> None:
    """One worker, three throttled scans and nine others: the others are through before the first comes back."""
    asking.ids, asking.extract = [f"{n:012}" for n in range(1, 13)], {"workers": 1, "max_attempts": 8}
    for n in (1, 2, 3):
        wire.script(f"{n:012}/{EU}", refusal("ThrottlingException"), refusal("ThrottlingException"))

    answer = asking.run()

    assert set(answer.statuses.values()) == {"ok"}
    assert sum(o.throttles for o in answer.outcomes.values()) == 6


def test_every_task_gets_one_outcome_and_no_page_follows_it(wire: Wire, asking: Asking) -> None:
    asking.ids, asking.regions = [f"{n:012}" for n in range(1, 31)], [EU, US]
    for n, scope in enumerate(f"{i}/{r}" for i in asking.ids for r in asking.regions):
        wire.script(scope, page("a", token="1"), Reply(b"", 400) if n % 7 == 0 else page("b"))

    ended: set[Task] = set()
    for result in asking.start():
        assert result.task not in ended
        if isinstance(result, Outcome):
            ended.add(result.task)

    assert len(ended) == 60


def test_scopes_are_interleaved_over_regions(wire: Wire, asking: Asking) -> None:
    asking.ids, asking.regions = [f"{n:012}" for n in range(1, 9)], [EU, US, "eu-central-1", "us-west-2"]
    asking.extract["workers"] = 8

    asking.run()

    regions = [c.region for c in wire.asked("DescribeImageBuilders")]
    assert max(Counter(regions[:16]).values()) <= 8, regions[:16]


def test_no_page_is_asked_twice(wire: Wire, asking: Asking) -> None:
    asking.ids, asking.regions = [f"{n:012}" for n in range(1, 7)], [EU, US]
    for account in asking.ids:
        for region in asking.regions:
            wire.script(f"{account}/{region}", page("a", token="1"), page("b"))

    asking.run()

    asked = Counter(
        (call.account_id, call.region, call.params.get("NextToken")) for call in wire.asked("DescribeImageBuilders")
    )
    assert (len(asked), set(asked.values())) == (24, {1})


def test_clients_are_one_per_region_and_one_for_sts(
    wire: Wire, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Clients] = []

    def counted(settings: Settings, operations: list[str], stop: threading.Event, process_count: int) -> Clients:
        made.append(Clients(settings, operations, stop, process_count=process_count))
        return made[-1]

    monkeypatch.setattr(scheduler, "create_clients", counted)
    asking.ids, asking.regions = [f"{n:012}" for n in range(1, 13)], [EU, US, "eu-central-1"]

    asking.run()

    assert [len(c) for c in made] == [4]
    assert wire.connections <= 4 * asking.extract["workers"] + 3


@pytest.mark.slow
def test_a_stop_cancels_what_is_left_at_once_and_keeps_what_was_through(wire: Wire, asking: Asking) -> None:
    asking.ids, asking.extract = [f"{n:012}" for n in range(1, 21)], {"workers": 2}
    for account in asking.ids[1:]:
        wire.always(f"{account}/{EU}", page(delay_s=HANG_S))
    stop, results = threading.Event(), []
    for result in asking.start(stop=stop):
        results.append(result)
        if isinstance(result, Outcome) and not stop.is_set():
            stop.set()
            stopped = time.monotonic()

    assert time.monotonic() - stopped < HANG_S / 2
    statuses = Counter(Answer(results).statuses.values())
    assert statuses == {"ok": 1, "cancelled": 19}


def test_a_stop_reaches_scans_that_wait_for_their_next_try(wire: Wire, asking: Asking) -> None:
    asking.extract["max_attempts"] = 50
    wire.always(SCOPE, refusal("ThrottlingException"))
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    started = time.monotonic()

    answer = Answer(list(asking.start(stop=stop)))

    assert answer.only.status == "cancelled"
    assert time.monotonic() - started < HANG_S / 2


def test_a_caller_that_walks_away_ends_the_workers(wire: Wire, asking: Asking) -> None:
    asking.ids = [f"{n:012}" for n in range(1, 41)]
    for account in asking.ids:
        wire.always(f"{account}/{EU}", lambda _: page("a", token=f"{len(wire.calls)}"))
    before = set(threading.enumerate())  # a stopped extraction of an earlier test may wait for its last answer
    generator = asking.start()
    list(itertools.islice(generator, 5))

    generator.close()

    left = set(threading.enumerate()) - before
    assert not [t for t in left if t.name.startswith("extract-")]


@pytest.mark.slow
def test_pages_wait_for_a_caller_that_is_slow(wire: Wire, asking: Asking) -> None:
    wire.always(SCOPE, lambda _: page(f"i{len(wire.calls)}", token=f"{len(wire.calls)}"))
    generator = asking.start()
    next(generator)
    until = time.monotonic() + HANG_S
    while len(wire.calls) < scheduler.QUEUED_ANSWERS_MAX and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.5)  # in which a scan that does not wait calls a hundred times more

    assert scheduler.QUEUED_ANSWERS_MAX <= len(wire.calls) <= scheduler.QUEUED_ANSWERS_MAX + 4
    generator.close()


def test_a_bug_of_ours_is_its_scopes_error_alone(
    wire: Wire, asking: Asking, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def stumble(*asked: Any) -> None:
        if asked[-1].scope.account_id == A:
            raise RuntimeError("it broke")

    monkeypatch.setattr(scan, "check_arns", stumble)
    caplog.set_level("DEBUG", "appstream_export.extract")
    asking.ids = [A, B]
    wire.script(f"{B}/{EU}", page("b"))

    answer = asking.run()

    assert (answer.statuses, answer.names()) == ({SCOPE: "error", f"{B}/{EU}": "ok"}, ["b"])
    assert answer.outcomes[SCOPE].reason == "RuntimeError: it broke"
    assert "Traceback" in caplog.text


def test_nothing_answers_is_one_line_with_the_command(asking: Asking) -> None:
    asking.endpoint_url = "http://127.0.0.1:9"

    fix = r"nothing answers at http://127.0.0.1:9; start what serves it, or correct or remove \[aws\] endpoint_url"
    with pytest.raises(ConfigurationError, match=fix):
        asking.start()


def test_where_a_demo_is_the_fix_starts_its_aws(tmp_path: Path) -> None:
    folder = tmp_path / "a demo"
    folder.mkdir()
    (folder / "appstream-export.toml").write_text("# Made by: appstream-export demo; a later demo starts afresh.")
    settings = Settings(aws=AwsSettings(endpoint_url="http://127.0.0.1:9"), warehouse=str(folder / "warehouse"))

    with pytest.raises(ConfigurationError, match=f"start it with: appstream-export emulate --dir '{folder}'"):
        check_emulator(settings)


def test_a_starting_token_belongs_to_one_scope(wire: Wire, asking: Asking) -> None:
    wire.script(SCOPE, page("a", "b"))
    token = asking.run(max_items=1).only.resume_token
    asking.regions = [EU, US]
    with pytest.raises(ConfigurationError, match="a starting token belongs to one scope, but 2 are selected"):
        asking.start(starting_token="1")
    asking.regions = [US]
    with pytest.raises(
        ConfigurationError, match=f"it belongs to image_builders@{SCOPE}, not to image_builders@{A}/{US}"
    ):
        asking.start(starting_token=token)
    with pytest.raises(ConfigurationError, match="starting token: damaged"):
        asking.start(starting_token="aex1.rubbish")


def test_a_region_that_is_not_enabled_is_proved_by_another_that_answered(wire: Wire, asking: Asking) -> None:
    asking.ids, asking.regions = [A, B], [EU, MILAN]
    for scope in (f"{A}/{MILAN}", f"{B}/{EU}", f"{B}/{MILAN}"):
        wire.always(scope, refusal("UnrecognizedClientException", "The security token is invalid."))
    outcomes = {o.task: o for o in asking.run().outcomes.values()}

    proved = {str(t.scope): o for t, o in resolve_outcomes(outcomes).items()}

    assert {s: str(o.status) for s, o in proved.items()} == {
        f"{A}/{EU}": "ok",
        f"{A}/{MILAN}": "disabled",
        f"{B}/{EU}": "denied",
        f"{B}/{MILAN}": "denied",
    }
    assert str(proved[f"{A}/{MILAN}"].reason).startswith("region is not enabled: other regions of the account answered")
    assert proved[f"{A}/{MILAN}"].error_code == "UnrecognizedClientException"


def test_no_task_is_no_work(asking: Asking) -> None:
    extracted = scheduler.extract_tasks(
        [], {}, {}, asking.settings, scheduler.ScanOptions(), run_id="r", stop=threading.Event()
    )
    assert list(extracted) == []


def test_an_external_id_is_not_in_an_accounts_text() -> None:
    assert "hush" not in repr(Account(id=A, external_id=Secret("hush")))


@pytest.mark.slow
def test_a_slow_scope_holds_up_no_other(wire: Wire, asking: Asking) -> None:
    asking.ids, asking.extract = [f"{n:012}" for n in range(1, 21)], {"workers": 4}
    wire.always(f"{asking.ids[0]}/{EU}", page("slow", delay_s=0.8))
    order = [str(r.task.scope.account_id) for r in asking.start() if isinstance(r, Outcome)]

    assert order[-1] == asking.ids[0]


@pytest.mark.slow
def test_sixty_four_threads_under_faults_give_no_account_anothers_items(wire: Wire, asking: Asking) -> None:
    """Each answer names the account whose key signed the call; every ninth call fails in one way or another."""
    asking.ids, asking.regions = [f"{n:012}" for n in range(1, 21)], [EU, US]
    asking.extract = {"workers": 64, "max_attempts": 30}
    faults = [Reply(b"", 500), Reply(drop=True), refusal("ThrottlingException"), refusal("ExpiredTokenException")]

    def answer(seen: Seen) -> Reply:
        turn = len(wire.calls)
        if turn % 9 == 0:
            return faults[turn // 9 % len(faults)]
        number = int(seen.params.get("NextToken", 0))
        return page(f"{seen.account_id}-{seen.region}-{number}", token=str(number + 1) if number < 4 else None)

    for account in asking.ids:
        for region in asking.regions:
            wire.always(f"{account}/{region}", answer)

    answered = asking.run()

    assert set(answered.statuses.values()) <= {"ok", "expired"}
    for scope, status in answered.statuses.items():
        mine = [f"{scope.replace('/', '-')}-{n}" for n in range(5)]
        assert answered.names(scope) == (mine if status == "ok" else [])
