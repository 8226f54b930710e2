"""The bucket transport, tested with a server of S3's protocol that checks signatures."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from qwenbuild.errors import RemoteError, RemoteUnreachable, UsageError
from qwenbuild.storage.remote.bucket import SCHEMES, Bucket, oss_address
from tests.support.buckets import BUCKET, S3

pytest_plugins = ("tests.support.buckets",)

_T = TypeVar("_T")
BLOB = f"cas/{'0' * 64}"


@pytest.fixture
def environment(s3: S3, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, str]]:
    """A function that sets this process's environment, because obstore reads some variables itself."""

    def give(**others: str) -> dict[str, str]:
        given = s3.environment(**others)
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        return given

    return give


def within(url: str, environ: dict[str, str], act: Callable[[Bucket], Awaitable[_T]]) -> _T:
    """Return the result of `act`, called with a bucket that is closed afterwards."""

    async def run() -> _T:
        bucket = Bucket(url, environ)
        try:
            return await act(bucket)
        finally:
            await bucket.aclose()

    return asyncio.run(run())


def refusal(url: str, environ: dict[str, str], act: Callable[[Bucket], Awaitable[object]]) -> RemoteError:
    """Return the error that `act` raises."""
    with pytest.raises(RemoteError) as caught:
        within(url, environ, act)
    return caught.value


@pytest.mark.parametrize("prefix", ["", "/teams/art", "/a%20b/"])
def test_objects_are_read_back(s3: S3, environment: Callable[..., dict[str, str]], prefix: str) -> None:
    """Objects are written below the prefix, found and read back; a missing object is None."""

    async def act(bucket: Bucket) -> list[object]:
        before = [await bucket.get(BLOB, 100), await bucket.has(BLOB)]
        await bucket.put(BLOB, b"first")
        await bucket.put(BLOB, b"second")
        return [*before, await bucket.get(BLOB, 100), await bucket.has(BLOB)]

    found = within(f"s3://{BUCKET}{prefix}", environment(), act)
    assert found == [None, False, b"second", True]
    below = prefix.strip("/").replace("%20", " ")
    assert s3.objects() == {f"{below}/{BLOB}".lstrip("/"): b"second"}


def test_many_at_once(s3: S3, environment: Callable[..., dict[str, str]]) -> None:
    """Many requests run at once, and large images arrive complete."""
    images = {f"cas/{number:064x}": bytes([number]) * (6_000_000 if number == 0 else 1000) for number in range(20)}

    async def act(bucket: Bucket) -> list[bytes | None]:
        await asyncio.gather(*(bucket.put(path, content) for path, content in images.items()))
        return await asyncio.gather(*(bucket.get(path, 10**7) for path in images))

    assert within(f"s3://{BUCKET}", environment(), act) == list(images.values())


def test_an_object_above_the_limit(s3: S3, environment: Callable[..., dict[str, str]]) -> None:
    """An object larger than the limit is refused before it is read."""
    s3.client.put_object(Bucket=BUCKET, Key=BLOB, Body=b"x" * 101)
    assert "more than the 100 asked for" in str(refusal(f"s3://{BUCKET}", environment(), lambda it: it.get(BLOB, 100)))


def test_no_such_bucket(environment: Callable[..., dict[str, str]]) -> None:
    """A missing bucket is an error, unlike a missing object."""
    for act in (lambda it: it.get(BLOB, 100), lambda it: it.put(BLOB, b"x")):
        error = refusal("s3://no-such-bucket", environment(), act)
        assert error.claim == "s3://no-such-bucket: NoSuchBucket: The specified bucket does not exist"
        assert isinstance(error, RemoteUnreachable)


def test_wrong_credentials(s3: S3, environment: Callable[..., dict[str, str]]) -> None:
    """The error shows the service's code, but not the secret and no signature."""
    for wrong, code in (
        ({"AWS_SECRET_ACCESS_KEY": "canary-secret"}, "SignatureDoesNotMatch"),
        ({"AWS_ACCESS_KEY_ID": "AKIANOSUCHKEY"}, "InvalidAccessKeyId"),
    ):
        for act in (lambda it: it.get(BLOB, 100), lambda it: it.put(BLOB, b"x")):
            error = repr(refusal(f"s3://{BUCKET}", environment(**wrong), act))
            assert code in error
            assert "canary" not in error
            assert "Authorization" not in error
        failed = refusal(f"s3://{BUCKET}", environment(**wrong), lambda it: it.has(BLOB))
        assert isinstance(failed, RemoteUnreachable)
    assert s3.objects() == {}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_credentials(scheme: str) -> None:
    """Without variables for credentials no request is sent; the error names the variables."""
    error = refusal(f"{scheme}://{BUCKET}", {}, lambda it: it.get(BLOB, 100))
    assert error.claim == f"no credentials for {scheme}://{BUCKET}"
    assert "_ACCESS_KEY" in error.facts[0] or "GOOGLE_" in error.facts[0]


def test_an_endpoint_that_refuses_connections(environment: Callable[..., dict[str, str]]) -> None:
    """An endpoint that refuses connections is RemoteUnreachable."""
    with socket.socket() as taken:  # bound, but not listening
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        error = refusal(f"s3://{BUCKET}", environment(AWS_ENDPOINT_URL=url), lambda it: it.get(BLOB, 100))
    assert "error sending request" in str(error)
    assert isinstance(error, RemoteUnreachable)


@pytest.mark.parametrize(
    "url", ["s3://", "s3://[::1", "s3://a", "s3://_x/y", "s3://images/a/../b", "s3://images?x=1", "oss://u:p@images"]
)
def test_addresses_of_no_bucket(url: str) -> None:
    """A URL that names no bucket is refused at once."""
    with pytest.raises(UsageError, match="names no bucket"):
        Bucket(url, {})


def test_oss(s3: S3, environment: Callable[..., dict[str, str]]) -> None:
    """OSS is used through S3's protocol with its own variables; AWS's variables are ignored."""
    environment(AWS_ACCESS_KEY_ID="other", AWS_SECRET_ACCESS_KEY="other", AWS_SESSION_TOKEN="other",
                AWS_ENDPOINT_URL="http://127.0.0.1:9", AWS_ENDPOINT_URL_S3="http://127.0.0.1:9")  # fmt: skip
    for key, secret in (
        ("OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET"),
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET"),
    ):
        environ = {key: s3.key, secret: s3.secret, "OSS_ENDPOINT": s3.url, "OSS_REGION": "ap-southeast-1"}
        within(f"oss://{BUCKET}/{key.lower()}", environ, lambda it: it.put(BLOB, b"x"))
        assert within(f"oss://{BUCKET}/{key.lower()}", environ, lambda it: it.get(BLOB, 10)) == b"x"
        del environ[secret]
        assert refusal(f"oss://{BUCKET}", environ, lambda it: it.has(BLOB)).hint == f"set {secret}"
    assert sorted(s3.objects()) == [f"alibaba_cloud_access_key_id/{BLOB}", f"oss_access_key_id/{BLOB}"]


@pytest.mark.parametrize(
    ("endpoint", "region", "address", "signed"),
    [
        ("", "cn-hangzhou", "https://images.s3.oss-cn-hangzhou.aliyuncs.com", "cn-hangzhou"),
        ("", "oss-ap-southeast-1", "https://images.s3.oss-ap-southeast-1.aliyuncs.com", "ap-southeast-1"),
        ("oss-cn-beijing.aliyuncs.com", "", "https://images.s3.oss-cn-beijing.aliyuncs.com", "cn-beijing"),
        (
            "https://oss-cn-beijing-internal.aliyuncs.com", "",
            "https://images.s3.oss-cn-beijing-internal.aliyuncs.com", "cn-beijing",
        ),
        ("s3.oss-us-east-1.aliyuncs.com", "", "https://images.s3.oss-us-east-1.aliyuncs.com", "us-east-1"),
        ("https://files.example.com", "cn-shanghai", "https://images.files.example.com", "cn-shanghai"),
        ("http://127.0.0.1:9000", "", "http://127.0.0.1:9000", "oss"),
    ],
)  # fmt: skip
def test_addresses_of_oss(endpoint: str, region: str, address: str, signed: str) -> None:
    """The bucket is part of the host's name, except with an IP address."""
    assert oss_address("images", endpoint, region) == (address, signed)


def test_oss_without_a_region() -> None:
    """Without region and endpoint, the hint asks for a region."""
    environ = {"OSS_ACCESS_KEY_ID": "x", "OSS_ACCESS_KEY_SECRET": "x"}
    assert "set OSS_REGION" in (refusal(f"oss://{BUCKET}", environ, lambda it: it.has(BLOB)).hint or "")


@pytest.mark.parametrize(
    ("scheme", "environ"),
    [
        ("gs", {"GOOGLE_SERVICE_ACCOUNT_KEY": "no key"}),
        ("gs", {"GOOGLE_APPLICATION_CREDENTIALS": "/no/such/file"}),
        ("az", {"AZURE_STORAGE_ACCOUNT_NAME": "art", "AZURE_STORAGE_ACCOUNT_KEY": "no key"}),
        ("az", {"AZURE_STORAGE_ACCOUNT_KEY": "bm8ga2V5"}),
    ],
)
def test_unusable_credentials(scheme: str, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """If obstore refuses the credentials, the error is a RemoteError that does not show the key."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    error = repr(refusal(f"{scheme}://{BUCKET}", environ, lambda it: it.get(BLOB, 100)))
    assert "no key" not in error
    assert "bm8ga2V5" not in error


def test_without_the_extra() -> None:
    """If obstore is not installed, the hint says what to install."""
    script = (
        "import sys; sys.modules['obstore'] = None\n"
        "from qwenbuild.storage.remote.bucket import Bucket\n"
        "from qwenbuild.errors import RemoteError, RemoteUnreachable, UsageError\n"
        "try: Bucket('s3://images', {})\n"
        "except UsageError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.splitlines() == [
        "error: s3:// remotes need the package obstore, which is not installed",
        "  = hint: python -m pip install 'obstore>=0.12'",
    ]
