"""The bucket transport: Amazon S3 and compatibles, Google Cloud Storage, Azure, Alibaba Cloud OSS.

Invariants: credentials come only from environment variables. Profile files are not read. The
machine's metadata service is asked only if a variable names an identity. Errors show the service's message,
but no query of an address and no header, because both contain signatures. A missing object is None; a
missing bucket is an error.

The package `obstore` is required (the extra `cloud` names it). It is imported at the first request.

Sources: obstore 0.12 (its stores' documented variables); "Accessing OSS with the AWS SDK" and "Regions
and endpoints" of Alibaba Cloud, as of 2026.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from importlib.util import find_spec
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from qwenbuild.errors import RemoteError, RemoteUnreachable, UsageError
from qwenbuild.problems import listing

from .transport import CONNECT_S, SILENCE_S, TRANSFER_S

if TYPE_CHECKING:
    from obstore.store import AzureStore, GCSStore, S3Store

SCHEMES: Final = ("s3", "gs", "az", "oss")

# The variables that hold credentials. If at least one variable of a scheme is set, requests are sent. obstore itself
# reads the vendor's other variables (regions, endpoints, roles).
_CREDENTIALS: Final = {
    "s3": (
        "AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_METADATA_ENDPOINT", "AWS_SKIP_SIGNATURE",
    ),
    "gs": (
        "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH",
        "GOOGLE_SERVICE_ACCOUNT_KEY", "GOOGLE_BEARER_TOKEN", "GOOGLE_SKIP_SIGNATURE",
    ),
    "az": (
        "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_SAS_KEY", "AZURE_STORAGE_SAS_TOKEN",
        "AZURE_STORAGE_TOKEN", "AZURE_CLIENT_ID", "AZURE_STORAGE_CLIENT_ID", "AZURE_IDENTITY_ENDPOINT",
        "AZURE_SKIP_SIGNATURE",
    ),
    "oss": ("OSS_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_ID"),
}  # fmt: skip
_USUAL: Final = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS to the key file of a service account",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
    "oss": "OSS_ACCESS_KEY_ID, OSS_ACCESS_KEY_SECRET and OSS_REGION",
}
_ENDPOINTS: Final = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "gs": ("GOOGLE_BASE_URL",),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
    "oss": ("OSS_ENDPOINT",),
}
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,62}", re.ASCII)
_NO_BUCKET: Final = ("NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist")
_OSS_REGION: Final = re.compile(r"(?:s3\.)?oss-([a-z0-9-]+?)(?:-internal)?\.aliyuncs\.com")
_SERVICE_ERROR: Final = re.compile(r"<Code>(\w+)</Code>\s*(?:<Message>([^<]*)</Message>)?")
_NO_ANSWER: Final = "error sending request"  # obstore's text for refused connections, lost connections and timeouts
_MAX_MESSAGE: Final = 300  # characters


class Bucket:
    """A `Transport` to a bucket, or to a prefix in it.

    The credentials should also allow to list the bucket. Otherwise services answer "denied" instead of
    "not found" for a missing object.
    """

    def __init__(self, url: str, environ: Mapping[str, str]) -> None:
        """Open no connection. Raises UsageError if `url` names no bucket, or the extra is not installed."""
        try:
            parts = urlsplit(url)
        except ValueError:  # a bracket without its other half
            parts = urlsplit(f"{url.partition('://')[0]}://")
        self._scheme, self._bucket = parts.scheme, parts.netloc
        self._prefix = unquote(parts.path).strip("/")
        self.name = f"{self._scheme}://{self._bucket}"
        if not _BUCKET.fullmatch(self._bucket) or parts.query or parts.fragment or ".." in self._prefix.split("/"):
            raise UsageError(
                "the remote's URL names no bucket",
                hint=f"such as {self._scheme}://my-bucket/qwenbuild",
                name="remote-url",
            )
        if find_spec("obstore") is None:
            hint = "python -m pip install 'obstore>=0.12'"
            raise UsageError(
                f"{self._scheme}:// remotes need the package obstore, which is not installed",
                hint=hint,
                name="no-obstore",
            )
        self._environ = environ
        self._obstore: S3Store | GCSStore | AzureStore | None = None

    async def get(self, path: str, limit: int) -> bytes | None:
        """Return the object's bytes, None if it does not exist. Raises RemoteError, also above `limit` bytes."""
        store = self._client()
        with self._remote_errors():
            try:
                result = await store.get_async(path)
            except FileNotFoundError as error:
                if any(word in str(error) for word in _NO_BUCKET):
                    raise
                return None
            if (size := result.meta["size"]) > limit:
                raise RemoteError(
                    f"{self.name} holds an object of {size:,} bytes, more than the {limit:,} asked for",
                    name="remote-failed",
                )
            return (await result.bytes_async()).to_bytes()

    async def has(self, path: str) -> bool:
        """Return whether the object exists. Raises RemoteError."""
        store = self._client()
        with self._remote_errors():
            try:
                await store.head_async(path)
            except FileNotFoundError:
                return False
            return True

    async def put(self, path: str, content: bytes) -> None:
        """Write the whole object, or nothing. Raises RemoteError."""
        store = self._client()
        with self._remote_errors(denied=RemoteError):  # the credentials may allow reading only
            await store.put_async(path, content, use_multipart=False)

    async def aclose(self) -> None:
        """Close all connections."""
        self._obstore = None

    # --- connecting ---

    def _client(self) -> S3Store | GCSStore | AzureStore:
        """Return obstore's client; raises RemoteUnreachable if the environment has no complete credentials."""
        if self._obstore is None:
            names = _CREDENTIALS[self._scheme]
            if not any(self._environ.get(name) for name in names):
                raise RemoteUnreachable(
                    f"no credentials for {self.name}", facts=[f"looked for: {listing(names, most=3)}"],
                    hint=f"set {_USUAL[self._scheme]}",
                    name="remote-credentials",
                )  # fmt: skip
            with self._remote_errors():
                self._obstore = self._new_client()
        return self._obstore

    def _new_client(self) -> S3Store | GCSStore | AzureStore:
        from obstore.store import AzureStore, GCSStore, S3Store

        endpoint = next((self._environ[name] for name in _ENDPOINTS[self._scheme] if self._environ.get(name)), "")
        options: dict[str, Any] = {
            "client_options": {
                "allow_http": endpoint.startswith("http://"),  # the user set it, such as MinIO in the same network
                "connect_timeout": timedelta(seconds=CONNECT_S),
                "read_timeout": timedelta(seconds=SILENCE_S),
                "timeout": timedelta(seconds=TRANSFER_S),
            },
            "retry_config": {"max_retries": 1, "retry_timeout": timedelta(seconds=SILENCE_S)},
        }
        if self._prefix:
            options["prefix"] = self._prefix
        match self._scheme:
            case "s3":
                return S3Store(self._bucket, **options)
            case "gs":
                return GCSStore(self._bucket, **options)
            case "az":
                return AzureStore(self._bucket, **options)
            case _:
                return S3Store(self._bucket, **options, **self._oss(endpoint))

    def _oss(self, endpoint: str) -> dict[str, Any]:
        """Return the options that make `S3Store` work with OSS; they override AWS's variables. Raises RemoteError."""
        environ = self._environ
        address, region = oss_address(self._bucket, endpoint, environ.get("OSS_REGION", ""))
        own = bool(environ.get("OSS_ACCESS_KEY_ID"))
        key, secret, token = (
            ("OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_SESSION_TOKEN") if own
            else ("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN")
        )  # fmt: skip
        if not environ.get(secret):
            raise RemoteUnreachable(
                f"{key} is set, but {secret} is not", hint=f"set {secret}", name="remote-credentials"
            )
        credential = {
            "access_key_id": environ[key], "secret_access_key": environ[secret],
            "token": environ.get(token) or None, "expires_at": None,
        }  # fmt: skip
        return {
            "endpoint": address,
            "aws_endpoint_url_s3": address,
            "region": region,
            "virtual_hosted_style_request": not _is_ip_address(urlsplit(address).hostname or ""),
            "credential_provider": lambda: credential,
            "skip_signature": False,
        }

    @contextlib.contextmanager
    def _remote_errors(self, denied: type[RemoteError] = RemoteUnreachable) -> Iterator[None]:
        """Turn obstore's errors into RemoteError, and into RemoteUnreachable if a retry is pointless."""
        from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

        try:
            yield
        except (BaseError, FileNotFoundError, ValueError) as error:
            text = str(error)
            match error:
                case PermissionDeniedError():
                    kind = denied
                case FileNotFoundError() | UnauthenticatedError() | ValueError():
                    kind = RemoteUnreachable
                case _:
                    kind = RemoteUnreachable if _NO_ANSWER in text else RemoteError
        else:
            return
        raise kind(f"{self.name}: {_service_message(text)}")


def _service_message(text: str) -> str:
    """Return the service's code and message, or else the first line without URL queries: they may hold secrets."""
    if match := _SERVICE_ERROR.search(text):
        return f"{match[1]}: {match[2]}"[:_MAX_MESSAGE] if match[2] else match[1]
    return re.sub(r"\?\S*", "", text.strip().split("\n", 1)[0])[:_MAX_MESSAGE]


def oss_address(bucket: str, endpoint: str, region: str) -> tuple[str, str]:
    """Return the address and the region of an OSS bucket; `endpoint` and `region` may be empty.

    OSS requires the bucket in the host name, except if the host is an IP address. Raises
    RemoteError if both arguments are empty.
    """
    region = region.removeprefix("oss-")
    if not endpoint and not region:
        raise RemoteError(
            "no region for Alibaba Cloud OSS",
            hint="set OSS_REGION, such as cn-hangzhou, or OSS_ENDPOINT",
            name="remote-credentials",
        )
    parts = urlsplit(endpoint if "://" in endpoint else f"https://{endpoint or f'oss-{region}.aliyuncs.com'}")
    host = parts.netloc
    if match := _OSS_REGION.fullmatch(host):
        region = region or match[1]
        host = host if host.startswith("s3.") else f"s3.{host}"
    if not _is_ip_address(parts.hostname or ""):
        host = f"{bucket}.{host}"
    return f"{parts.scheme}://{host}", region or "oss"


def _is_ip_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
