"""What a plan shows before anything is spent: prices, times, and requests that the service would refuse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from qwenbuild.catalogue import builtin
from qwenbuild.emulator.server import Running, running
from tests.support.emulated import QUICK

from .studio import Studio, cards

pytest_plugins = ("tests.support.emulated",)

REPOSITORY = Path(__file__).parents[2]
MODELS = """
[image.plus]
prompt = "a"
matrix.seed = { start = 1, count = 12 }

[image.max]
prompt = "b"
model = "qwen-image-max"
matrix.seed = [1, 2, 3]
"""


def test_a_plan_shows_the_price_by_model_and_the_shortest_time(emulator: Running, tmp_path: Path) -> None:
    """Prices depend on the region, and times on the slowest model's pace. A plan sends no request."""
    studio = Studio.make(tmp_path, emulator, {"all": MODELS}, submits='"2/second"')
    studio.write({"qwenbuild.toml": ""})
    plan = studio.here("plan")
    assert plan.code == 0
    assert plan.out.splitlines()[-5:] == [
        "15 to render",
        "      cost  2.64 CNY  (qwen-image-plus: 12 at 0.220177)",
        "      cost  1.65 CNY  (qwen-image-max: 3 at 0.550443)",
        "    in all  4.29 CNY",
        "      time  at least 1 min 0 s, because of the service's rate limits",
    ]
    beijing = studio.here("plan", "--region", "beijing", "--json")
    assert beijing.finished["cost"] == {"CNY": "3.90"}
    assert beijing.finished["shortest_s"] == 60
    assert emulator.requests() == []


TODAYS = """
model = "qwen-image-3.0-pro"

[image.poster]
prompt = "a"
prompt_extend = true
matrix.size = ["1500*1500", "2048*2048", "4096*512"]

[image.poster.parameters]
prompt_extend_mode = "agent"
enable_thinking = false
"""


def test_a_price_depends_on_the_size(emulator: Running, tmp_path: Path) -> None:
    """The plan says `about` where only third parties state a price, and the service charges what the plan said."""
    studio = Studio.make(tmp_path, emulator, {"all": TODAYS})
    plan = studio.here("plan")
    assert "      cost  1.65 CNY  (qwen-image-3.0-pro: 3 at about 0.550443)" in plan.out.splitlines()
    beijing = studio.here("plan", "--region", "beijing")
    assert [line for line in beijing.out.splitlines() if line.endswith(")") or "in all" in line][-3:] == [
        "      cost  0.50 CNY  (qwen-image-3.0-pro: 2 at about 0.25)",
        "      cost  0.50 CNY  (qwen-image-3.0-pro: 1 at about 0.5)",
        "    in all  1.00 CNY",
    ]
    steps = [line for line in studio.here("plan", "--region", "beijing", "--json").events if line["event"] == "step"]
    assert [step["price"] for step in steps] == [
        {"amount": amount, "currency": "CNY", "about": True} for amount in ("0.25", "0.50", "0.25")
    ]
    assert studio.here("build", "-w", "size=1500x1500").code == 0
    [record] = emulator.bill()["records"]
    assert (record["size"], record["price_cny"], record["parameters"]) == (
        "1500*1500", "0.550443", {"enable_thinking": False, "prompt_extend_mode": "agent"}
    )  # fmt: skip


def test_a_parameter_that_a_model_does_not_take(emulator: Running, tmp_path: Path) -> None:
    """The values of known parameters are checked before anything is sent; the message has the nearest one."""
    studio = Studio.make(tmp_path, emulator, {"all": TODAYS.replace('"agent"', '"agents"').replace("false", "0")})
    ran = studio.here("plan")
    assert ran.code == 2
    assert 'error: qwen-image-3.0-pro does not take prompt_extend_mode = "agents"' in ran.err
    assert '\n10 | prompt_extend_mode = "agents"\n' in ran.err
    assert '^^^^^^^^ expected "direct", "agent"\n' in ran.err
    assert 'did you mean "agent"?' in ran.err
    assert "error: qwen-image-3.0-pro does not take enable_thinking = 0" in ran.err
    assert emulator.requests() == []


def test_a_key_of_a_coding_plan(emulator: Running, tmp_path: Path) -> None:
    """The service refuses it, and the message says why."""
    studio = Studio.make(tmp_path, emulator, {"all": MODELS})
    plan_key = replace(studio, extra={**studio.extra, "DASHSCOPE_API_KEY": "sk-sp-5f1d"})
    ran = plan_key.here("build", "-w", "seed=1")
    assert ran.code != 0
    assert "the key begins with sk-sp-: it belongs to a coding plan, which makes no images" in ran.err


def test_a_model_without_the_interface(emulator: Running, tmp_path: Path) -> None:
    """Every command reports the error with the place of the declaration; nothing is sent."""
    studio = Studio.make(tmp_path, emulator, {"all": MODELS})
    for command in (["plan"], ["build"], ["status"]):
        ran = studio.here(*command, "--interface", "async")
        assert ran.code == 2
        assert ran.out == ""
        assert 'error: qwen-image-max has no async interface: "sync" is the one that it has' in ran.err
        assert '--> specs/all.toml:8:9\n  |\n8 | model = "qwen-image-max"\n' in ran.err
        assert "cell: all/max[seed=1]" in ran.err
    studio.write({"specs/all.toml": MODELS.replace("qwen-image-max", "qwen-image-ultra")})
    ran = studio.here("build")
    assert ran.code == 2
    assert 'unknown model "qwen-image-ultra"' in ran.err
    assert emulator.requests() == []


def test_a_declared_model(emulator: Running, tmp_path: Path) -> None:
    """A declared model has its own interfaces, sizes, pace and price. Without a price the highest one is assumed."""
    declared = '[models.qwen-image-next]\ninterfaces = ["async"]\nsizes = ["512*512"]\nsubmits = "30/minute"\n'
    specs = cards(11, model='"qwen-image-next"')
    studio = Studio.make(tmp_path, emulator, specs)
    studio.write({"qwenbuild.toml": declared})
    ran = studio.here("plan", "--interface", "sync")
    assert ran.code == 2
    assert 'qwen-image-next has no sync interface: "async" is the one that it has' in ran.err
    ran = studio.here("plan")
    assert ran.code == 0
    assert "6.05 CNY  (qwen-image-next: 11 at 0.550443 assumed, for want of a price)" in ran.out
    assert "not approved: no price is known for qwen-image-next in singapore" in ran.err
    studio.write({"qwenbuild.toml": declared + 'price_cny = { singapore = "0.5" }\n'})
    ran = studio.here("plan")
    assert "5.50 CNY  (qwen-image-next: 11 at 0.5)" in ran.out
    assert "at least 20 s" in ran.out


def test_the_documented_model_without_a_price_is_built_when_the_user_says_so(tmp_path: Path) -> None:
    """A plan shows what is assumed; a build needs approval, and a budget counts the assumption."""
    text = (REPOSITORY / "docs/reference/config.md").read_text("utf-8")
    start = text.index("[models.my-finetune]")
    declared = text[start : text.index("```", start)]
    catalogue = builtin().extended({"my-finetune": {"sizes": ["1024*1024"]}})
    with running(replace(QUICK, catalogue=catalogue)) as service:
        studio = Studio.make(tmp_path, service, cards(2, model='"my-finetune"'), config=declared)
        assert studio.here("plan", "--json").finished["cost"] == {"CNY": "1.100886"}
        ran = studio.here("build")
        assert (ran.code, service.requests()) == (2, [])
        assert "no price is known for my-finetune in singapore: 0.550443 CNY would be assumed" in ran.err
        assert "`qwenbuild trust`" in ran.err
        studio.extra["XDG_CONFIG_HOME"] = str(tmp_path / "config")
        assert studio.here("trust", "--yes").code == 0
        assert studio.here("build", "--max-cost", "0.6", "--json").finished["rendered"] == 1
        assert studio.build_here()["rendered"] == 1


def test_where_region_and_interface_come_from(emulator: Running, tmp_path: Path) -> None:
    """They come from the config; the command line overrides it."""
    studio = Studio.make(tmp_path, emulator, cards(1), region='"beijing"', interface='"async"')
    assert studio.here("plan", "--json").finished["cost"] == {"CNY": "0.20"}
    assert studio.here("plan", "--json", "--region", "singapore").finished["cost"] == {"CNY": "0.220177"}
    studio.build_inside(interface="sync")
    assert (studio.calls("sync"), studio.calls("create")) == (1, 0)
    studio.build_inside(force=True)
    assert (studio.calls("sync"), studio.calls("create")) == (1, 1)
    for wrong, expected in {
        "--region=bejing": ('unknown region "bejing"', 'did you mean "beijing"?'),
        "--interface=asynch": ('unknown interface "asynch"', 'did you mean "async"?'),
    }.items():
        ran = studio.here("plan", wrong)
        assert ran.code == 2
        assert all(text in ran.err for text in expected), ran.err


def test_a_key_of_another_region(emulator: Running, tmp_path: Path) -> None:
    """The run stops after the first refusal; the message shows region, host, origin of the key, and a hint."""
    studio = Studio.make(tmp_path, emulator, cards(30), max_concurrency="3")
    studio.extra["DASHSCOPE_API_KEY"] = "sk-beijing-0123456789"
    ran = studio.here("build")
    assert ran.code == 1
    assert "the service refused the API key" in ran.err
    assert "InvalidApiKey: Invalid API-key provided." in ran.err
    assert f"region: singapore, at {emulator.origin.removeprefix('http://')}" in ran.err
    assert "key: from DASHSCOPE_API_KEY; keys of other regions don't work here" in ran.err
    assert "each region has its own keys" in ran.err
    assert "sk-beijing" not in ran.err
    assert studio.calls("sync") <= 3
    assert emulator.bill()["count"] == 0
    assert studio.submissions == []


def test_the_provenance_is_the_request_that_was_sent(emulator: Running, tmp_path: Path) -> None:
    """The image of a task holds the request, the ids, the times and the rewritten prompt."""
    spec = '[image.a]\nprompt = "a fair"\nseed = 5\nsize = "1:1"\nprompt_extend = true\nnegative_prompt = "fog"\n'
    studio = Studio.make(tmp_path, emulator, {"a": spec}, interface='"async"')
    assert studio.build_inside().finished.complete
    shown = studio.here("show", "--json", str(studio.root / "out" / next(iter(studio.outputs())))).finished
    (record,) = emulator.bill()["records"]
    assert shown["request"] == {
        "family": "dashscope", "model": "qwen-image-plus", "prompt": "a fair", "negative_prompt": "fog",
        "size": "1328*1328", "seed": 5, "prompt_extend": True, "watermark": False,
    }  # fmt: skip
    assert shown["task_id"] == record["task_id"]
    assert shown["actual_prompt"].startswith("Photorealistic composition: a fair")
    assert shown["orig_prompt"] == "a fair"
    assert {"request_id", "submit_time", "scheduled_time", "end_time", "usage", "interface", "region"} <= shown.keys()


def test_a_build_that_costs_money_says_which_axis_changes_nothing(emulator: Running, tmp_path: Path) -> None:
    """The warning comes before the first request; with --strict it is an error, and no request is sent."""
    images = '[image.x]\nprompt = "{{ animal }}"\nmatrix = { animal = ["cat"], style = ["flat", "ink"] }\n'
    studio = Studio.make(tmp_path, emulator, {"all": images})
    told = "axis `style` changes no request: 1 of 2 cells are duplicates"
    for command in (["plan", "--strict"], ["build", "--strict"], ["build", "-n", "--strict"]):
        ran = studio.here(*command)
        assert ran.code == 2
        assert f"error: {told}" in ran.err
    assert emulator.requests() == []
    plan = studio.here("plan")
    assert plan.code == 0
    assert plan.err.startswith(f"warning: {told}\n --> specs/all.toml:3:")
    built = studio.here("build")
    assert built.code == 0
    assert built.err.index(f"warning: {told}") < built.err.index("rendered")
    assert "changes no request" not in studio.here("build").err
