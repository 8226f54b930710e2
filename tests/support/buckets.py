"""A pytest plugin with a server of S3's protocol on loopback, which checks signatures and rights.

Modules use it with `pytest_plugins = ("tests.support.buckets",)`. PYTEST_DONT_REWRITE: it has no assertions,
and tests import from it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer

RIGHTS = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
BUCKET = "images"


@dataclass(frozen=True)
class S3:
    """A running server with one bucket, and the key of a user who has all rights on it."""

    url: str
    key: str
    secret: str
    client: Any  # boto3's

    def environment(self, **others: str) -> dict[str, str]:
        """Return the environment variables with which AWS's tools use this server."""
        given = {"AWS_ACCESS_KEY_ID": self.key, "AWS_SECRET_ACCESS_KEY": self.secret, "AWS_ENDPOINT_URL": self.url}
        return {**given, "AWS_REGION": "us-east-1", **others}

    def objects(self) -> dict[str, bytes]:
        """Return the objects of the bucket by name."""
        found = self.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return {one["Key"]: self.client.get_object(Bucket=BUCKET, Key=one["Key"])["Body"].read() for one in found}


@pytest.fixture(scope="session")
def s3_process() -> Iterator[S3]:
    """One server for all tests of this process."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    anyone = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "endpoint_url": url, "region_name": "us-east-1"}
    users = boto3.client("iam", **anyone)
    users.create_user(UserName="builder")
    users.put_user_policy(UserName="builder", PolicyName="all", PolicyDocument=json.dumps(RIGHTS))
    made = users.create_access_key(UserName="builder")["AccessKey"]
    keys = {"aws_access_key_id": made["AccessKeyId"], "aws_secret_access_key": made["SecretAccessKey"]}
    # From here on, the server checks every request.
    httpx.post(f"{url}/moto-api/reset-auth", content=b"0").raise_for_status()
    client = boto3.client("s3", **{**anyone, **keys})
    try:
        yield S3(url, made["AccessKeyId"], made["SecretAccessKey"], client)
    finally:
        client.close()
        users.close()
        server.stop()


@pytest.fixture
def s3(s3_process: S3) -> S3:
    """A server whose only bucket is empty."""
    client = s3_process.client
    if BUCKET not in (one["Name"] for one in client.list_buckets()["Buckets"]):
        client.create_bucket(Bucket=BUCKET)
    for name in s3_process.objects():
        client.delete_object(Bucket=BUCKET, Key=name)
    return s3_process
