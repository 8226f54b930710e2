from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from qwenbuild.catalogue import builtin
from qwenbuild.errors import (
    AccountError,
    AnswerLost,
    BadImage,
    ProviderError,
    Refused,
    ServiceFault,
    Throttled,
    Unreachable,
    UsageError,
)
from qwenbuild.provider import Detached, Price, Rendered, Resumable, Settings
from qwenbuild.providers.dashscope.provider import DashScopeProvider
from qwenbuild.providers.registry import create
from qwenbuild.request import Request
from tests.support.scripted import CANARY, PNG, Journal, Reply, Scripted, fails, request_of, says

BOTH = pytest.mark.parametrize("interface", ["sync", "async"])
ROUTE = {"sync": "sync", "async": "create"}


def planned(table: dict[str, Any], **models: Any) -> DashScopeProvider:
    """Return a provider as planning makes it: without a key."""
    return DashScopeProvider(Settings(table, builtin().extended(models), {}))


def attempt(interface: str, *replies: Reply, request: Request | None = None, **table: Any) -> tuple[Any, ...]:
    """Render one request against scripted replies; return the image or the error, the journal and the server."""

    async def main() -> tuple[Any, ...]:
        journal = Journal()
        async with Scripted() as server:
            server.script[ROUTE[interface]].extend(replies)
            provider = server.provider(interface=interface, **table)
            async with provider.session():
                try:
                    found: Any = await provider.render(request or request_of(), journal)
                except ProviderError as error:
                    found = error
        return found, journal, server

    return asyncio.run(main())


# --- planning ---


def test_it_is_found_by_its_name_and_fits_the_protocols() -> None:
    """The entry point leads here, and its images can be collected later."""
    provider = create("dashscope", Settings({}, builtin(), {}))
    assert isinstance(provider, DashScopeProvider)
    assert isinstance(provider, Resumable)
    assert (provider.name, provider.family, provider.labelled) == ("dashscope", "dashscope", False)


def test_planning_loads_nothing_heavy_and_needs_no_key() -> None:
    """Making a provider, checks, prices and times import no HTTP, no asyncio and no image library."""
    script = (
        "import sys\n"
        "from qwenbuild.provider import Settings\nfrom qwenbuild.providers.registry import create\n"
        "from qwenbuild.catalogue import builtin\n"
        "p = create('dashscope', Settings({}, builtin(), {}))\n"
        "m = 'qwen-image-plus'\n"
        "assert p.check(m) is None and p.price(m) and p.shortest_s({m: 1}) == 0\n"
        "print([m for m in ('httpx', 'asyncio', 'tenacity', 'PIL', 'ssl') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("table", "model", "expected"),
    [
        ({}, "qwen-image-max", None),
        ({"interface": "async"}, "qwen-image", None),
        (
            {"interface": "async"}, "qwen-image-max",
            'qwen-image-max has no async interface: set interface = "sync" under [providers.dashscope]',
        ),
        (
            {"region": "beijing"}, "mine",
            'no price is known for mine in beijing: declare [models."mine"] price_cny = { beijing = "0.20" }',
        ),
        ({}, "mine", None),
    ],
)  # fmt: skip
def test_a_request_that_can_not_be_sent_is_known_while_planning(
    table: dict[str, Any], model: str, expected: str | None
) -> None:
    """Interface and price are checked against the catalogue, declared models included."""
    provider = planned(table, mine={"price_cny": {"singapore": "1"}})
    assert provider.check(model) == expected


def test_an_unknown_model_is_named_with_the_nearest() -> None:
    """The check says what is known."""
    found = planned({}).check("qwen-imag-plus")
    assert found and found.endswith('did you mean "qwen-image-plus"?')


def test_prices_are_the_regions() -> None:
    """The same model costs differently in each region."""
    assert planned({}).price("qwen-image-max") == Price(Decimal("0.550443"))
    assert planned({"region": "beijing"}).price("qwen-image-max") == Price(Decimal("0.50"))


def test_the_shortest_time_is_that_of_the_slowest_model() -> None:
    """Models have paces of their own, and the first submit waits for nothing."""
    renders = {"qwen-image-max": 5, "qwen-image-plus": 101}
    assert planned({}).shortest_s(renders) == pytest.approx(120.0)
    assert planned({}).shortest_s({"qwen-image-plus": 101}) == pytest.approx(50.0)
    assert planned({"submits": "10/second"}).shortest_s(renders) == pytest.approx(10.0)
    assert planned({}).shortest_s({}) == 0.0


def test_concurrency_is_the_users_choice() -> None:
    """`-j` wins over the config; as many images again are on their way from the service."""
    assert planned({}).concurrency == 2 * 50
    assert planned({"max_concurrency": 25}).concurrency == 2 * 25
    assert DashScopeProvider(Settings({"max_concurrency": 25}, builtin(), {}, jobs=3)).concurrency == 2 * 3


@pytest.mark.parametrize(
    "table",
    [
        {"regoin": "beijing"}, {"region": "paris"}, {"interface": "asink"}, {"interface": 3}, {"submits": "fast"},
        {"max_concurrency": 0}, {"max_concurrency": True}, {"timeout_s": 0}, {"timeout_s": "5"}, {"poll_s": -1},
        {"retry_wait_s": float("nan")}, {"timeout_s": float("inf")}, {"download_hosts": "*.aliyuncs.com"},
        {"download_hosts": ["*"]}, {"download_hosts": ["https://x.com"]}, {"download_hosts": [""]},
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(table: dict[str, Any]) -> None:
    """Each with what is known or what to write instead."""
    with pytest.raises(UsageError) as caught:
        planned(table)
    assert caught.value.hint or caught.value.facts


def test_without_a_key_the_session_can_not_be_entered() -> None:
    """Planning went well; rendering says where keys come from."""

    async def main() -> None:
        async with planned({}).session():
            raise AssertionError

    with pytest.raises(AccountError, match="no API key"):
        asyncio.run(main())


@pytest.mark.parametrize(
    ("variable", "value", "claim"),
    [
        ("SSL_CERT_FILE", "/nowhere/ca.pem", "the CA bundle can't be read"),
        ("ALL_PROXY", "socks5://user:hidden@localhost:1080", "the proxy set in the environment can't be used"),
        ("HTTPS_PROXY", "gopher://user:hidden@localhost", "the proxy set in the environment can't be used"),
    ],
)
def test_an_environment_that_can_not_be_used_is_explained(
    variable: str, value: str, claim: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrong CA bundles and proxies are named; a proxy's password is not."""
    monkeypatch.setenv(variable, value)

    async def main() -> None:
        async with DashScopeProvider(Settings({}, builtin(), {"DASHSCOPE_API_KEY": CANARY})).session():
            raise AssertionError

    with pytest.raises(UsageError) as caught:
        asyncio.run(main())
    assert caught.value.claim == claim
    assert caught.value.__context__ is None
    assert variable in (caught.value.hint or "")


# --- rendering ---


def test_a_sync_render_is_downloaded_at_once_and_recorded() -> None:
    """Intent, POST, durable link, download; provenance has the facts and not the signed link."""
    rendered, journal, server = attempt("sync")
    assert rendered == Rendered(
        PNG,
        {
            "interface": "sync", "region": "singapore", "model": "qwen-image-plus", "request_id": "req-sync",
            "usage": {"width": 1328, "height": 1328, "image_count": 1}, "downloaded_from": "127.0.0.1",
        },
        verified=True,
    )  # fmt: skip
    url = f"http://127.0.0.1:{server.port}/result/1.png?Signature=secret-signature&Expires=9999999999"
    assert journal.log[1:] == [("accepted", f"result:req-sync:{url}")]
    assert journal.log[0][1].keys() == {"interface", "model", "region", "host", "account"}
    assert server.bill == 1


def test_an_async_render_is_polled_and_recorded() -> None:
    """The task is durable before its first poll; the rewritten prompt and the times are kept."""
    rendered, journal, server = attempt("async", request=request_of("a cat"))
    assert dict(rendered.facts) == {
        "interface": "async", "region": "singapore", "model": "qwen-image-plus", "request_id": "req-task",
        "task_id": "task-0", "submit_time": "2026-02-10 11:38:54.741", "end_time": "2026-02-10 11:39:19.484",
        "orig_prompt": "a cat", "actual_prompt": "Photo: a cat", "usage": {"image_count": 1},
        "downloaded_from": "127.0.0.1",
    }  # fmt: skip
    assert journal.log[1:] == [("accepted", "task:task-0")]
    assert server.paths("GET")[:2] == ["/tasks/task-0", "/tasks/task-0"]


@BOTH
@pytest.mark.parametrize(
    "reply",
    [
        fails(429, "Throttling.RateQuota"),
        fails(429, "throttling_burst_rate"),
        fails(500, "InternalError.Algo"),
        fails(503, "ModelUnavailable"),
        fails(200, "InternalError", "a failure in a success"),
        Reply(429, b"slow down"),
    ],
    ids=["throttled", "snake", "internal", "unavailable", "in-200", "page"],
)
def test_what_the_service_did_not_take_is_sent_again(interface: str, reply: Reply) -> None:
    """Each attempt has its own intent, withdrawn when it was refused; one image is billed."""
    rendered, journal, server = attempt(interface, reply, reply)
    assert rendered.png == PNG
    assert journal.kinds == ["intend", "refused", "intend", "refused", "intend", "accepted"]
    assert server.bill == 1


@BOTH
@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (fails(400, "DataInspectionFailed"), Refused),
        (fails(400, "InvalidParameter"), Refused),
        (fails(403, "AccessDenied"), Refused),
        (fails(404, "ModelNotFound"), Refused),
        (fails(400, "Arrearage"), AccountError),
        (fails(401, "InvalidApiKey"), AccountError),
        (fails(429, "CommodityNotPurchased"), AccountError),
        (Reply(404, b"<html>nginx</html>"), AccountError),
        (Reply(302, b"", {"Location": "https://elsewhere.test/"}), AccountError),
    ],
    ids=lambda value: value.body.decode()[:30] if isinstance(value, Reply) else "",
)
def test_a_final_refusal_is_not_repeated(interface: str, reply: Reply, error: type[ProviderError]) -> None:
    """One POST, an intent and its withdrawal, and the right class of error."""
    found, journal, server = attempt(interface, reply)
    assert type(found) is error
    assert journal.kinds == ["intend", "refused"]
    assert len(server.seen) == 1


def test_a_key_that_is_refused_is_explained_by_region_address_and_origin() -> None:
    """The commonest cause is a key of the other region."""
    found, _, server = attempt("sync", fails(401, "InvalidApiKey", "Invalid API-key provided."))
    assert found.facts == (
        "service says: InvalidApiKey: Invalid API-key provided.",
        "request id: req-failed",
        f"region: singapore, at 127.0.0.1:{server.port}",
        "key: from DASHSCOPE_API_KEY; keys of other regions don't hold here",
    )


LOST = [
    Reply(fault="drop"), Reply(fault="drop", made=True), Reply(fault="hang", made=True),
    Reply(502, b"<html>Bad Gateway</html>"), Reply(503, b"<html>Unavailable</html>"), Reply(504), Reply(500, b"oops"),
    fails(500, "RequestTimeOut"), fails(504, "GatewayTimeout"), Reply(200, b"<html>welcome</html>"), Reply(200),
    says(200, {"output": {}, "request_id": "r"}), says(200, {"unexpected": True}), says(200, [1]),
    Reply(200, b'{"output": {"choices": []}}', fault="cut"), Reply(408),
]  # fmt: skip


@BOTH
@pytest.mark.parametrize("reply", LOST, ids=range(len(LOST)))
def test_what_may_have_been_billed_is_never_sent_again(interface: str, reply: Reply) -> None:
    """One POST; the intent stays open; the error says that it may have been billed."""
    found, journal, server = attempt(interface, reply, timeout_s=0.5)
    if interface == "async" and reply.made:  # the listing finds it
        assert found.png == PNG
        assert server.bill == 1
        return
    assert type(found) is AnswerLost
    assert found.hint
    assert journal.kinds == ["intend"]
    assert len(server.paths("POST")) == 1


def test_a_host_that_can_not_be_reached_costs_nothing_and_stops_the_run() -> None:
    """Nothing was sent, so it is tried a few times; every intent is withdrawn."""

    async def main() -> tuple[ProviderError, Journal]:
        async with Scripted() as server:
            pass
        journal, provider = Journal(), server.provider()
        async with provider.session():
            with pytest.raises(Unreachable) as caught:
                await provider.render(request_of(), journal)
        return caught.value, journal

    error, journal = asyncio.run(main())
    assert error.stops_run
    assert error.claim.startswith("can't reach 127.0.0.1:")
    assert journal.kinds == ["intend", "refused"] * 6


@pytest.mark.parametrize("kind", ["no TLS", "unknown certificate"])
def test_a_failed_tls_connection_is_explained_at_once(kind: str, tmp_path: Path) -> None:
    """A server that speaks no TLS, or shows a certificate that nobody vouches for, gets no second attempt."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def main() -> tuple[ProviderError, Journal]:
        context = None if kind == "no TLS" else self_signed(tmp_path)
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        base_url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/api/v1"
        settings = Settings({"base_url": base_url}, builtin(), {"DASHSCOPE_API_KEY": CANARY})
        journal, provider = Journal(), DashScopeProvider(settings)
        async with server, provider.session():
            with pytest.raises(Unreachable) as caught:
                await provider.render(request_of(), journal)
        return caught.value, journal

    error, journal = asyncio.run(main())
    assert error.claim.startswith("no secure connection to 127.0.0.1:")
    assert error.facts[0].startswith("TLS: ConnectError: [SSL: ")
    assert "SSL_CERT_FILE" in (error.hint or "")
    assert journal.kinds == ["intend", "refused"]


def self_signed(folder: Path) -> ssl.SSLContext:
    """Return a server's context with a certificate that it made for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, SHA256())
    )
    no_password = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, no_password)
    (folder / "server.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.pem")
    return context


def test_an_answer_longer_than_any_is_not_read_to_its_end() -> None:
    """A body without end is cut off and counts as lost."""
    found, journal, _ = attempt("sync", Reply(200, b"[" * (9 * 2**20)))
    assert type(found) is AnswerLost
    assert journal.kinds == ["intend"]


# --- async tasks ---


@pytest.mark.parametrize(
    "reply",
    [
        fails(429, "Throttling"), fails(500, "InternalError"), fails(503, "ServiceUnavailable"), Reply(502, b"<html>"),
        Reply(fault="drop"), Reply(200, b"garbage"), says(200, {"output": {"task_status": "RUNNING"}}),
        says(200, {"output": {"task_id": "task-0", "task_status": "BREWING"}}),
        says(200, {"output": {"task_id": "task-0", "task_status": "UNKNOWN"}}),
    ],
    ids=["429", "500", "503", "502", "drop", "garbage", "fields", "status", "unknown"],
)  # fmt: skip
def test_no_failing_poll_ends_the_wait(reply: Reply) -> None:
    """A task is polled until the service tells how it ended."""

    async def main() -> tuple[Rendered, Journal, int]:
        journal = Journal()
        async with Scripted() as server:
            server.script["task"].extend([reply, reply])
            provider = server.provider(interface="async")
            async with provider.session():
                return await provider.render(request_of(), journal), journal, server.bill

    rendered, journal, bill = asyncio.run(main())
    assert rendered.png == PNG
    assert journal.kinds == ["intend", "accepted"]
    assert bill == 1


@pytest.mark.parametrize(
    ("ends", "error"),
    [
        ({"task_status": "FAILED", "code": "DataInspectionFailed", "message": "no"}, Refused),
        ({"task_status": "FAILED", "code": "Arrearage", "message": "no"}, AccountError),
        ({"task_status": "CANCELED"}, Refused),
        ({"task_status": "SUCCEEDED", "results": [{"code": "InvalidParameter", "message": "no"}]}, Refused),
    ],
)
def test_a_task_that_failed_is_not_billed_and_says_why(ends: dict[str, Any], error: type[ProviderError]) -> None:
    """The submission is withdrawn, and the error has the class of its code."""

    async def main() -> tuple[ProviderError, Journal]:
        journal = Journal()
        async with Scripted() as server:

            def end_all(seen: object) -> None:
                for task in server.tasks.values():
                    task["ends"] = {"results": [], **ends}

            server.after = end_all
            provider = server.provider(interface="async")
            async with provider.session():
                with pytest.raises(ProviderError) as caught:
                    await provider.render(request_of(), journal)
        return caught.value, journal

    found, journal = asyncio.run(main())
    assert type(found) is error
    assert journal.kinds == ["intend", "accepted", "refused"]


def test_a_task_that_failed_for_a_passing_reason_is_submitted_anew() -> None:
    """It was not billed; the new submission has an intent of its own."""

    async def main() -> tuple[Rendered, Journal]:
        journal = Journal()
        async with Scripted() as server:
            failed = {"task_status": "FAILED", "results": [], "code": "InternalError.Timeout", "message": "later"}

            def fail_the_first(seen: object) -> None:
                if "task-0" in server.tasks:
                    server.tasks["task-0"]["ends"] = failed

            server.after = fail_the_first
            provider = server.provider(interface="async")
            async with provider.session():
                return await provider.render(request_of(), journal), journal

    rendered, journal = asyncio.run(main())
    assert rendered.facts["task_id"] == "task-1"
    assert journal.kinds == ["intend", "accepted", "refused", "intend", "accepted"]


def test_a_task_that_names_no_image_is_unknown() -> None:
    """It says that it succeeded: it may have been billed, and is not submitted again."""

    async def main() -> Journal:
        journal = Journal()
        async with Scripted() as server:
            server.script["task"].append(says(200, {"output": {"task_id": "task-0", "task_status": "SUCCEEDED"}}))
            provider = server.provider(interface="async")
            async with provider.session():
                with pytest.raises(AnswerLost, match="has no image"):
                    await provider.render(request_of(), journal)
        return journal

    assert asyncio.run(main()).kinds == ["intend", "accepted"]


def test_an_expired_link_is_replaced_by_asking_the_task_again() -> None:
    """The task is known for 24 hours, and names a fresh link."""

    async def main() -> tuple[Rendered, list[str]]:
        async with Scripted() as server:
            server.script["result"].extend([Reply(403, b"<Error><Message>Request has expired.</Message></Error>")] * 5)
            provider = server.provider(interface="async")
            async with provider.session():
                return await provider.render(request_of(), Journal()), server.paths("GET")

    rendered, paths = asyncio.run(main())
    assert rendered.png == PNG
    assert paths[-3:] == ["/result/task-0.png", "/tasks/task-0", "/result/task-0.png"]


def test_no_more_tasks_run_at_once_than_the_catalogue_allows() -> None:
    """Two tasks of a model at once, whatever the build's concurrency; downloads hold no place."""

    async def main() -> int:
        async with Scripted(task_polls=3) as server:
            provider = server.provider(interface="async")
            running = most = 0

            def count(seen: Any) -> None:
                nonlocal running, most
                running = sum(task["polls"] <= 3 for task in server.tasks.values())
                most = max(most, running)

            server.after = count
            async with provider.session():
                await asyncio.gather(*(provider.render(request_of(str(number)), Journal()) for number in range(8)))
            return most

    assert asyncio.run(main()) == 2


# --- what a crash leaves ---


@BOTH
def test_an_accepted_render_is_collected_by_a_later_build_without_a_submit(interface: str) -> None:
    """A build that left after `accepted`: the next one's image and facts come from the handle alone."""

    class Detaching(Journal):
        async def accepted(self, handle: str) -> None:
            await super().accepted(handle)
            raise Detached

    async def main() -> tuple[Rendered, Journal, list[str], int]:
        journal, later, request = Detaching(), Journal(), request_of()
        async with Scripted() as server:
            provider = server.provider(interface=interface)
            async with provider.session():
                with pytest.raises(Detached):
                    await provider.render(request, journal)
            server.seen.clear()
            async with provider.session():
                rendered = await provider.collect(journal.submission(request), later)
        return rendered, later, server.paths("POST"), server.bill

    rendered, later, posts, bill = asyncio.run(main())
    assert rendered.png == PNG
    assert rendered.facts["request_id"] in ("req-sync", "req-task")
    assert rendered.facts["interface"] == interface
    assert (later.log, posts, bill) == ([], [], 1)


def test_collecting_what_the_service_has_forgotten_says_so() -> None:
    """After 24 hours tasks and links are gone: UNKNOWN, and nothing is submitted."""

    async def main() -> list[AnswerLost]:
        found = []
        async with Scripted() as server:
            server.script["result"].extend([Reply(403, b"<Error><Message>Request has expired.</Message></Error>")] * 5)
            provider, journal = server.provider(), Journal()
            await journal.intend({"interface": "sync", "host": "x"})
            link = f"http://127.0.0.1:{server.port}/result/1.png?Expires=9999999999"
            async with provider.session():
                for handle in ("task:gone", f"result:r:{link}"):
                    day_ago_s = time.time() - 90_000
                    submission = journal.submission(request_of(), handle=handle, intended_at_s=day_ago_s)
                    with pytest.raises(AnswerLost) as caught:
                        await provider.collect(submission, Journal())
                    found.append(caught.value)
            assert server.paths("POST") == []
        return found

    assert [error.claim for error in asyncio.run(main())] == [
        "the service has forgotten a task that it accepted",
        "the image was gone before it was downloaded",
    ]


def test_a_task_of_another_account_is_left_to_it() -> None:
    """With a key that does not see the task, the image is not given up."""

    async def main() -> ProviderError:
        async with Scripted() as server:
            provider, journal = server.provider(), Journal()
            await journal.intend({"interface": "async", "account": "another", "region": "singapore", "host": "h"})
            async with provider.session():
                with pytest.raises(ProviderError) as caught:
                    await provider.collect(journal.submission(request_of(), handle="task:theirs"), Journal())
        return caught.value

    error = asyncio.run(main())
    assert type(error) is ProviderError
    assert error.claim == "an image in flight was submitted with another key or region"


def test_a_key_that_no_longer_holds_does_not_lose_a_task() -> None:
    """A refused poll stops the run; the submission stays as it was."""

    async def main() -> tuple[ProviderError, Journal]:
        journal = Journal()
        async with Scripted() as server:
            server.script["task"].append(fails(401, "InvalidApiKey"))
            provider = server.provider(interface="async")
            async with provider.session():
                with pytest.raises(AccountError) as caught:
                    await provider.render(request_of(), journal)
        return caught.value, journal

    error, journal = asyncio.run(main())
    assert error.stops_run
    assert journal.kinds == ["intend", "accepted"]


def test_tasks_are_listed_page_by_page_and_cancelled() -> None:
    """Other programs' tasks are listed as well; cancelling what runs already is refused."""

    async def main() -> tuple[Sequence[Any], list[str], ProviderError]:
        async with Scripted() as server:
            for number in range(120):
                server.add_task(f"prompt {number}")
            server.script["cancel"].extend([Reply(fault="drop"), fails(400, "UnsupportedOperation", "not pending")])
            provider = server.provider()
            async with provider.session():
                with pytest.raises(ServiceFault):
                    await provider.cancel_task("task-1")
                with pytest.raises(Refused) as caught:
                    await provider.cancel_task("task-1")
                await provider.cancel_task("task-2")
                return await provider.list_tasks(), server.paths("POST"), caught.value

    tasks, posts, error = asyncio.run(main())
    assert [task.id for task in tasks] == [f"task-{number}" for number in range(120)]
    assert {task.model for task in tasks} == {"qwen-image-plus"}
    assert posts == ["/tasks/task-1/cancel", "/tasks/task-1/cancel", "/tasks/task-2/cancel"]
    assert error.hint == "only PENDING tasks can be cancelled; `qwenbuild tasks` lists the account's tasks"


def test_a_failing_listing_is_an_error_and_no_end() -> None:
    """Listing is tried again like every query, then says what is wrong."""

    async def main() -> None:
        async with Scripted() as server:
            server.script["list"].extend([fails(429, "insufficient_quota", "used up")] * 2)
            async with (provider := server.provider()).session():
                with pytest.raises(Throttled):
                    await provider.list_tasks()

    asyncio.run(main())


def test_throttling_slows_the_next_submits_down() -> None:
    """Retry-After holds every submit of the model, not the throttled one alone."""

    async def main() -> list[float]:
        times: list[float] = []
        async with Scripted() as server:
            server.script["sync"].append(fails(429, "Throttling", **{"Retry-After": "1"}))
            server.after = lambda seen: times.append(time.monotonic()) if seen.method == "POST" else None
            provider = server.provider(submits="20/second")
            async with provider.session():
                await asyncio.gather(*(provider.render(request_of(str(number)), Journal()) for number in range(2)))
        return times

    times = asyncio.run(main())
    assert len(times) == 3
    assert times[-1] - times[0] >= 1.0


def test_a_cancelled_render_leaves_its_intent_open() -> None:
    """What was sent may be billed: only the next build can tell."""

    async def main() -> tuple[Journal, Journal]:
        sent, waiting = Journal(), Journal()
        async with Scripted() as server:
            server.script["sync"].append(Reply(fault="hang"))
            provider = server.provider(submits="1/minute")
            async with provider.session():
                first = asyncio.create_task(provider.render(request_of(), sent))
                await asyncio.sleep(0.2)
                second = asyncio.create_task(provider.render(request_of("b"), waiting))
                await asyncio.sleep(0.05)
                for task in (first, second):
                    task.cancel()
                await asyncio.gather(first, second, return_exceptions=True)
        return sent, waiting

    sent, waiting = asyncio.run(main())
    assert (sent.kinds, waiting.kinds) == (["intend"], [])


def test_a_bad_image_leaves_the_submission_to_be_collected() -> None:
    """A download that fails again and again is no reason to pay again."""

    async def main() -> tuple[ProviderError, Journal, int]:
        journal = Journal()
        async with Scripted() as server:
            server.script["result"].extend([Reply(200, PNG, fault="cut")] * 5)
            provider = server.provider()
            async with provider.session():
                with pytest.raises(BadImage) as caught:
                    await provider.render(request_of(), journal)
                rendered = await provider.collect(journal.submission(request_of()), Journal())
        assert rendered.png == PNG
        return caught.value, journal, server.bill

    error, journal, bill = asyncio.run(main())
    assert journal.kinds == ["intend", "accepted"]
    assert bill == 1
    assert any("billed" in fact for fact in error.facts)
    assert "secret-signature" not in json.dumps([str(error), repr(error)])


def test_outside_of_its_session_it_says_so() -> None:
    """Rendering needs the session."""
    with pytest.raises(UsageError, match="outside of its session"):
        asyncio.run(planned({}).render(request_of(), Journal()))
