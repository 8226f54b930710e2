"""Tests of drawn seeds: each cell gets a seed of its own once, and keeps it while its request stays."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from qwenbuild import load
from qwenbuild.digest import canonical_json
from qwenbuild.errors import LockError
from qwenbuild.files.provenance import with_provenance
from qwenbuild.plan.kept_requests import MOST_SEEDS
from qwenbuild.plan.plan import Verdict
from qwenbuild.provider import Journal, Rendered
from qwenbuild.providers.null import plain
from qwenbuild.request import RANDOM_SEED, Request, Size
from qwenbuild.storage import lock
from tests.support.builds import Build, Service, accept
from tests.support.routes import routes_of
from tests.support.workspace import Workspace

SPEC = '[image.a]\nprompt = "one"\nseed = "random"\nmatrix.take = { count = 4 }\n'


@pytest.fixture
def build(project: Workspace) -> Build:
    """A project with four cells whose seeds are random, at a service that costs money."""
    made = Build(project)
    made.provider = Service(accept, price="0.25")
    made.place.write({"specs/s.toml": SPEC})
    return made


def seeds(build: Build) -> dict[str, int]:
    """Return the seeds of the plan, by cell."""
    return {step.action.cell["take"]: step.action.seed for step in build.engine().plan().steps}


def test_four_cells_get_four_images(build: Build) -> None:
    """The seeds are drawn when the requests are sent. Lock and state record them."""
    steps = build.engine().plan().steps
    assert {step.reason for step in steps} == {"never rendered; its seed is not drawn yet"}
    assert len({step.action.key for step in steps}) == 4
    assert build.run().rendered == 4
    drawn = seeds(build)
    assert len(set(drawn.values())) == 4 and min(drawn.values()) >= 0
    assert build.run().rendered == 0
    pins = lock.read(build.root / lock.NAME).pins.values()
    assert sorted(pin.seed for pin in pins) == sorted(drawn.values())
    build.engine(locked=True).check_lock()


def test_a_kept_seed_can_be_written_into_the_spec(build: Build) -> None:
    """The request with the drawn seed is an ordinary one: nothing is rendered again."""
    build.run()
    table = {take: f"[[image.a.include]]\ntake = {take}\nseed = {seed}\n" for take, seed in seeds(build).items()}
    build.place.write({"specs/s.toml": '[image.a]\nprompt = "one"\noutput = "{{ spec }}/a-{{ take }}.png"\n'
                                       "matrix = { take = 9, seed = 1 }\n" + "".join(table.values())})  # fmt: skip
    verdicts = [step.verdict for step in build.engine().plan().steps]
    assert verdicts.count(Verdict.RENDER) == 1  # the cell that is new


@pytest.mark.parametrize("lost", [[".qwenbuild"], ["qwenbuild.lock"], [".qwenbuild", "qwenbuild.lock"],
                                  [".qwenbuild", "qwenbuild.lock", "out"], ["out"]])  # fmt: skip
def test_the_seed_is_found_wherever_it_stands(build: Build, lost: list[str]) -> None:
    """In the lock, the state, or in the provenance of the stored image: nothing is rendered again."""
    build.run()
    drawn = seeds(build)
    for name in lost:
        path = build.root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert seeds(build) == drawn
    assert build.run().rendered == 0
    assert seeds(build) == drawn


def test_another_prompt_draws_another_seed(build: Build) -> None:
    """And back again restores the first images."""
    build.run()
    first = seeds(build)
    build.place.write({"specs/s.toml": SPEC.replace("one", "two")})
    reasons = {step.reason for step in build.engine().plan().steps}
    assert reasons == {"prompt changed: -one +two; its seed is not drawn yet"}
    build.run()
    assert not {*seeds(build).values()} & {*first.values()}
    build.place.write({"specs/s.toml": SPEC})
    assert (build.run().rendered, seeds(build)) == (0, first)


def test_force_draws_another_seed(build: Build) -> None:
    """The new image takes the place of the first; the first stays in the store under its own request."""
    build.run()
    first = seeds(build)
    assert build.run(force=True).rendered == 4
    second = seeds(build)
    assert not {*second.values()} & {*first.values()}
    shutil.rmtree(build.root / ".qwenbuild")
    (build.root / lock.NAME).unlink()
    assert seeds(build) == second


def test_a_renamed_image_keeps_its_seeds(build: Build) -> None:
    """The lock still knows them under the old paths."""
    build.run()
    drawn = seeds(build)
    build.place.write({"specs/s.toml": SPEC.replace("image.a", "image.b")})
    assert sorted(seeds(build).values()) == sorted(drawn.values())
    assert build.run().rendered == 0


def test_many_renamed_cells_keep_their_seeds(build: Build) -> None:
    """Their labels tell which pin is whose, so not every cell tries every pin."""
    count = MOST_SEEDS + 20
    prompts = ", ".join(f'"{number}"' for number in range(count))
    spec = f'[image.a]\nprompt = "{{{{ it }}}}"\nseed = "random"\nmatrix.it = [{prompts}]\n'
    build.place.write({"specs/s.toml": spec})
    build.run()
    drawn = {step.action.cell["it"]: step.action.seed for step in build.engine().plan().steps}
    build.place.write({"specs/s.toml": spec.replace("image.a", "image.b")})
    assert {step.action.cell["it"]: step.action.seed for step in build.engine().plan().steps} == drawn


def test_a_seed_of_another_profile_is_not_taken_over(build: Build) -> None:
    """The other profile still declares its output."""
    build.place.write({"qwenbuild.toml": 'provider = "null"\n[profiles.other]\n'})
    build.run(profile="other")
    build.place.write({"specs/s.toml": SPEC.replace("image.a", "image.b")})
    assert set(seeds(build).values()) == {RANDOM_SEED}
    build.place.write({"qwenbuild.toml": 'provider = "null"\n'})
    assert len(set(seeds(build).values())) == 4


def test_what_is_in_flight_keeps_its_seed(build: Build) -> None:
    """A later build collects it, and sends nothing."""
    sent: list[int] = []

    async def detached(request: Request, journal: Journal) -> None:
        sent.append(request.seed)
        await accept(request, journal)

    build.provider = service = Service(detached, price="0.25")
    build.run(detach=True)
    assert len(set(sent)) == 4
    assert {step.verdict for step in build.engine().plan().steps} == {Verdict.REATTACH}
    assert (build.run().reattached, len(service.collected), len(sent)) == (4, 4, 4)
    assert sorted(seeds(build).values()) == sorted(sent)


def test_a_locked_project_draws_nothing(build: Build) -> None:
    """A seed that is not drawn yet would change the lock."""
    with pytest.raises(LockError, match="not in the lock"):
        build.run(locked=True)


def test_a_prompt_can_not_read_a_random_seed(build: Build) -> None:
    """It is not known when the prompt is rendered."""
    build.place.write({"specs/s.toml": SPEC.replace('"one"', '"one {{ seed }}"')})
    assert 'undefined variable "seed"' in build.place.complaint()


def test_a_clone_has_the_seeds_of_the_lock(build: Build, tmp_path: Path) -> None:
    """With the images in git, everything is up to date."""
    build.run()
    git = ["git", "-C", str(build.root), "-c", "user.name=a", "-c", "user.email=a@example.com"]
    for command in (["init", "-q"], ["add", "-f", "specs", "out", "qwenbuild.toml", lock.NAME], ["commit", "-qm", "x"]):
        subprocess.run([*git, *command], check=True, env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull})
    subprocess.run(["git", "clone", "-q", str(build.root), str(tmp_path / "clone")], check=True)
    engine = load(tmp_path / "clone")
    engine.routes = routes_of(build.provider)
    assert {step.verdict for step in engine.plan().steps} == {Verdict.UP_TO_DATE}


def test_a_seed_that_is_not_drawn_is_explained(build: Build) -> None:
    """`explain` says that there is none, and `lint` takes no axis of such an image for idle."""
    engine = build.engine(select=["s/a[take=0]"])
    [explained] = engine.explain()
    [seed] = [field for field in explained.fields if field.name == "seed"]
    assert (seed.value, str(seed.source)) == ("not drawn yet", "specs/s.toml:3")
    assert engine.lint() == []


def test_an_image_of_another_size_is_paid_for_once(build: Build) -> None:
    """It is kept, also without the state, and `--accept-size` takes it."""
    sent: list[int] = []

    async def wrong(request: Request, journal: Journal) -> Rendered:
        sent.append(request.seed)
        await accept(request, journal)
        return Rendered(plain(Size(8, 8), b"abc"))

    build.provider = Service(wrong, price="0.25")
    assert build.run().failed == 4
    for _ in range(2):
        assert (build.run().failed, len(sent)) == (4, 4)
        shutil.rmtree(build.root / ".qwenbuild")
    assert (build.run(accept_size=True).restored, len(sent)) == (4, 4)


def test_a_stray_is_found_by_its_cell_again(build: Build) -> None:
    """An accepted image that another branch does not ask for is collected, and restored on the way back."""
    build.run(detach=True)
    build.place.write({"specs/s.toml": SPEC.replace("one", "two")})
    assert (build.run().strays, build.run().rendered) == (4, 0)
    build.place.write({"specs/s.toml": SPEC})
    assert build.run().restored == 4


def test_a_forced_image_in_flight_replaces_the_output(build: Build) -> None:
    """It is no stray: the next build collects it, and the lock has its seed."""
    build.run()
    first = seeds(build)
    build.run(force=True, detach=True)
    assert {step.verdict for step in build.engine().plan().steps} == {Verdict.REATTACH}
    assert build.run().reattached == 4
    assert not {*seeds(build).values()} & {*first.values()}
    assert build.run().up_to_date == 4


def test_an_image_that_another_build_stored_meanwhile_is_taken(build: Build) -> None:
    """Two clones share a store: the second one looks again before it sends."""
    first = build.engine().plan().steps[0].action

    async def overtaken(request: Request, journal: Journal) -> None:
        if request.prompt == "one" and not built:
            built.append(request.seed)
            other = first.drawn(7, labelled=False)
            image = with_provenance(plain(first.size, b"abc"), {"action_key": other.key, "request": other.recorded})
            for key in (other.key, first.key):
                build.engine().store.put(key, image, canonical_json({"request": other.recorded}))
        await accept(request, journal)

    built: list[int] = []
    build.provider = Service(overtaken, price="0.25", concurrency=1)
    finished = build.run()
    assert (finished.rendered, finished.restored) == (3, 1)
    assert seeds(build)["0"] == 7
