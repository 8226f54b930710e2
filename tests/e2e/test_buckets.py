"""Two machines share one bucket; a bucket that can't be used never fails a build."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from qwenbuild.emulator.server import Running
from qwenbuild.trust import TRUST_ENV
from tests.e2e.studio import Studio, cards
from tests.support.buckets import BUCKET, S3

pytest_plugins = ("tests.support.buckets", "tests.support.emulated")

REMOTE = f'[remote]\nurl = "s3://{BUCKET}/team"\n'


def machine(folder: Path, emulator: Running, s3: S3, **environ: str) -> Studio:
    """Return a clone of the project on another machine."""
    made = Studio.make(folder, emulator, cards(6), config=REMOTE)
    made.extra |= {**s3.environment(**environ), TRUST_ENV: "1"}
    return made


def test_two_machines(tmp_path: Path, emulator: Running, s3: S3) -> None:
    """The second machine restores what the first rendered, byte by byte; nothing is paid for twice."""
    first = machine(tmp_path / "first", emulator, s3)
    assert first.build_here()["rendered"] == 6
    assert sorted({name.rpartition("/")[0] for name in s3.objects()}) == ["team/ac", "team/cas"]
    second = machine(tmp_path / "second", emulator, s3)
    assert {*second.changed().values()} == {"restore: in the remote cache"}
    assert second.build_here()["restored"] == 6
    assert second.outputs() == first.outputs()
    second.audit()
    shutil.copy(first.root / "qwenbuild.lock", second.root)
    assert second.here("build", "--locked").code == 0


def test_objects_that_are_gone_or_others(tmp_path: Path, emulator: Running, s3: S3) -> None:
    """Images that the bucket lost or damaged are rendered again; the others are restored."""
    first = machine(tmp_path / "first", emulator, s3)
    first.build_here()
    images = [name for name, content in s3.objects().items() if content.startswith(b"\x89PNG")]
    s3.client.delete_object(Bucket=BUCKET, Key=images[0])
    s3.client.put_object(Bucket=BUCKET, Key=images[1], Body=b"\x89PNG of something else")
    second = machine(tmp_path / "second", emulator, s3)
    ran = second.here("build", "--json")
    assert (ran.code, ran.finished["restored"], ran.finished["rendered"]) == (0, 4, 2)
    second.check_outputs()
    assert len(second.outputs()) == 6


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "canary-7f3a"}, "SignatureDoesNotMatch"),
        ({"AWS_ACCESS_KEY_ID": ""}, f"no credentials for s3://{BUCKET}"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "error sending request"),
        ({"QWENBUILD_TEST_BUCKET": "no-such-bucket"}, "NoSuchBucket"),
    ],
)
def test_a_bucket_that_can_not_be_used(
    environ: dict[str, str], expected: str, tmp_path: Path, emulator: Running, s3: S3
) -> None:
    """A build warns at most once each for reading and writing, continues, and shows no secret."""
    studio = machine(tmp_path, emulator, s3, **environ)
    arguments = ["--remote", f"s3://{environ.get('QWENBUILD_TEST_BUCKET', BUCKET)}"]
    ran = studio.here("build", *arguments)
    assert (ran.code, len(studio.outputs())) == (0, 6)
    assert expected in ran.err
    assert 1 <= ran.err.count("warning: ") <= 2
    assert "canary" not in ran.err
    assert s3.objects() == {}
    studio.build_nothing(*arguments)


def test_forced_renders(tmp_path: Path, emulator: Running, s3: S3) -> None:
    """`--force` renders again even if the bucket has the images, and stores the new ones there."""
    first = machine(tmp_path / "first", emulator, s3)
    first.build_here()
    before = first.outputs()
    assert first.build_here("--force")["rendered"] == 6
    assert not set(before.values()) & set(first.outputs().values())
    second = machine(tmp_path / "second", emulator, s3)
    second.build_here()
    assert second.outputs() == first.outputs()
