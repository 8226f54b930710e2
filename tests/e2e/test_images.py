"""Open weights from end to end: the real command, and a server of the user's own on loopback."""

from __future__ import annotations

import signal

import pytest

from qwenbuild.files.provenance import read_provenance
from qwenbuild.providers.same_images import pixels_of
from tests.support.image_servers import MODEL, ImageServer, Reply, serving

from .harness import Sandbox

SPEC = f"""\
model = "{MODEL}"

[image.ball]
prompt = "a ball"
negative_prompt = "blurry"
matrix = {{ size = ["72x40", "40x72"], seed = [1, 2] }}
"""


def project(sandbox: Sandbox, server: ImageServer, *settings: str, spec: str = SPEC) -> Sandbox:
    """Return a project whose images a server renders, with more settings of the provider."""
    for path in (sandbox.root / "specs").rglob("*.toml"):
        path.unlink()
    return sandbox.write({"qwenbuild.toml": server.config + "\n".join(settings) + "\n", "specs/toys.toml": spec})


def test_from_the_first_build_to_other_steps(sandbox: Sandbox) -> None:
    """Any model and any size are rendered, once, for nothing. A setting that changes pixels makes images stale."""
    with serving() as server:
        place = project(sandbox, server, "steps = 50", "true_cfg_scale = 4")
        assert place.here("plan").out.splitlines()[-1] == "4 to render"
        assert place.build_here("-q")["rendered"] == 4
        assert sorted((body["size"], body["seed"]) for body in server.bodies) == [
            ("40x72", 1), ("40x72", 2), ("72x40", 1), ("72x40", 2)
        ]  # fmt: skip
        place.edit("qwenbuild.toml", "true_cfg_scale = 4", "true_cfg_scale = 4.0")
        place.build_nothing()
        place.edit("qwenbuild.toml", "steps = 50", "steps = 30")
        assert set(place.changed().values()) == {"render: parameter steps changed: 50 -> 30"}
        place.edit("specs/toys.toml", "[image.ball]\n", "[image.ball]\nparameters = { steps = 8 }\n")
        explained = place.here("explain", "toys/ball", "-w", "seed=1", "-w", "size=72x40").out
        lines = [" ".join(line.split()) for line in explained.splitlines() if "parameter " in line]
        assert lines == [
            "render parameter steps changed: 50 -> 8", "* parameter steps [-50-]{+8+} specs/toys.toml:4",
            "parameter true_cfg_scale 4.0 qwenbuild.toml:6",
        ]  # fmt: skip
        place.build_here()
        assert [body["num_inference_steps"] for body in server.bodies] == [50] * 4 + [8] * 4
        facts = read_provenance(next(iter(place.outputs().values())))
    assert facts is not None
    assert (facts["provider"], facts["server"], facts["request"]["family"]) == (
        "images", server.origin, "images-vllm-omni"
    )  # fmt: skip
    assert facts["request"]["parameters"] == {"steps": 8, "true_cfg_scale": 4.0}
    assert not (sandbox.store / "ledger.sqlite3").exists()


def test_a_draft_of_a_model_that_no_catalogue_has(sandbox: Sandbox) -> None:
    """`--provider draft` stands in: it takes the model and the size of the project's own provider."""
    with serving() as server:
        place = project(sandbox, server)
        assert place.here("build", "--provider", "draft", "-q", "-w", "seed=1").code == 0
        assert (server.paths, len(place.outputs())) == ([], 2)


def test_mistakes_are_told_before_anything_is_sent(sandbox: Sandbox) -> None:
    """With file and line: a parameter that the server lacks, a prompt that it would cut, an image without a model."""
    spec = '[image.a]\nprompt = "red | blue"\nmodel = "m"\n[image.b]\nprompt = "x"\n'
    spec += '[image.c]\nprompt = "x"\nmodel = "m"\nparameters = { stepz = 8 }\n'
    with serving("localai") as server:
        ran = project(sandbox, server, spec=spec).here("plan")
        assert (ran.code, server.paths) == (2, [])
    for place, told in (
        (2, 'LocalAI would cut the prompt at "|"'),
        (4, "the image names no model"),
        (9, 'the dialect localai has no parameter "stepz"'),
    ):
        assert told in ran.err
        assert f"specs/toys.toml:{place}" in ran.err


def test_what_a_server_can_do_wrong(sandbox: Sandbox) -> None:
    """Another size is kept, a stranger ends the build, and what was made before stays."""
    with serving(other_size=(64, 40)) as server:
        place = project(sandbox, server)
        ran = place.here("build", "-w", "seed=1", "-w", "size=72x40")
        assert ran.code == 1
        assert "the image was made in another size: 64x40, not 72x40" in ran.out + ran.err
        assert "pays" not in ran.out + ran.err
        server.other_size = None
        assert place.here("build", "-q", "-w", "seed=2").code == 0
        server.replies.append(Reply(body=b"<html>Sign in", kind="text/html"))
        ran = place.here("build", "--force", "-w", "seed=2", "-w", "size=72x40")
        assert (ran.code, f"{server.origin} answers with a web page" in ran.out + ran.err) == (1, True)
        server.model = "another/model"
        ran = place.here("build")
        assert (ran.code, f'{server.origin} does not serve "{MODEL}"' in ran.out + ran.err) == (1, True)
        doctor = place.here("doctor")
        assert f"{server.origin} does not serve {MODEL}" in doctor.out
        assert len(place.outputs()) == 2


def test_a_server_that_only_a_project_names(sandbox: Sandbox) -> None:
    """Beyond this machine, and with a token anywhere, it gets nothing until the user approves it."""
    with serving(token="tok-canary-7272abcd") as server:
        place = project(sandbox, server, 'token_env = "QWENBUILD_IMAGES_TOKEN"')
        place.extra["QWENBUILD_IMAGES_TOKEN"] = "tok-canary-7272abcd"
        ran = place.here("build")
        assert (ran.code, server.paths) == (1, [])
        assert f"not approved: the token would go to {server.origin}" in ran.out + ran.err
        assert place.here("build", "-q", "--trust-project", "-w", "seed=1").code == 0
        assert set(server.tokens) == {"Bearer tok-canary-7272abcd"}
        shown = place.here("trust", "--json").out + place.here("doctor").out + ran.out + ran.err
        assert "tok-canary" not in shown
        place.edit("qwenbuild.toml", server.url, "http://gpu.example:8091/v1")
        place.edit("qwenbuild.toml", 'token_env = "QWENBUILD_IMAGES_TOKEN"', "")
        ran = place.here("build")
        assert "prompts would go to http://gpu.example:8091, and images come from it" in ran.out + ran.err


def test_leaving_at_once_cancels_a_job(sandbox: Sandbox) -> None:
    """The server does not go on with what nobody waits for. The first Ctrl-C waits for the image."""
    with serving("sdcpp", polls=10**9) as server:
        process = project(sandbox, server).popen("build", "-w", "seed=1", "-w", "size=72x40")
        assert process.stderr is not None
        assert server.polled.wait(30)
        process.send_signal(signal.SIGINT)
        for line in process.stderr:
            if "1 render is in flight" in line:
                break
        assert server.jobs["job_0"]["status"] == "queued"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert server.jobs["job_0"]["status"] == "cancelled"


@pytest.mark.wheels
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore")
def test_a_real_pipeline(sandbox: Sandbox) -> None:
    """Tiny random weights behind the server: seeds and steps reach the model, and the same request gives the same."""
    pytest.importorskip("diffusers")
    from tests.support.tiny_pipeline import TinyPipeline

    spec = SPEC.replace('["72x40", "40x72"]', '["64x64", "96x64"]')
    with serving() as server:
        place = project(sandbox, server, "steps = 2", spec=spec)
        server.drawn = TinyPipeline().drawn  # type: ignore[method-assign]
        assert place.build_here("-q")["rendered"] == 4
        first = {name: pixels_of(png) for name, png in place.outputs().items()}
        assert len({*first.values()}) == 4
        assert place.here("build", "-q", "--force").code == 0
        assert {name: pixels_of(png) for name, png in place.outputs().items()} == first
        place.edit("qwenbuild.toml", "steps = 2", "steps = 3")
        place.here("build", "-q")
        assert {*first.values()}.isdisjoint(map(pixels_of, place.outputs().values()))
