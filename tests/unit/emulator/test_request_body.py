from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenbuild.catalogue import builtin
from qwenbuild.emulator.request_body import Order, json_body, read_order
from qwenbuild.emulator.vendor_errors import Refusal
from qwenbuild.request import SEED_MAX, Request, Size

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def sync_body(text: Any = "a cat", model: Any = "qwen-image-plus", **parameters: Any) -> dict[str, Any]:
    """Return the body of a sync call."""
    messages = [{"role": "user", "content": [{"text": text}]}]
    return {"model": model, "input": {"messages": messages}, "parameters": parameters}


def async_body(prompt: Any = "a cat", model: Any = "qwen-image-plus", **parameters: Any) -> dict[str, Any]:
    """Return the body that creates a task."""
    return {"model": model, "input": {"prompt": prompt}, "parameters": parameters}


def sync_order(text: Any = "a cat", model: Any = "qwen-image-plus", **parameters: Any) -> Order:
    """Return the order that a sync call places."""
    return read_order(sync_body(text, model, **parameters), "sync", builtin())


def refusal(body: dict[str, Any], interface: str = "sync") -> tuple[int, str, str]:
    """Return status, code and message with which `body` is refused."""
    with pytest.raises(Refusal) as caught:
        read_order(body, interface, builtin())
    return caught.value.status, caught.value.code, caught.value.message


def test_the_defaults_are_the_services() -> None:
    """Size, rewriting and watermark have the defaults of the API reference, not those of qwenbuild."""
    order = sync_order()
    assert (order.size, order.prompt_extend, order.watermark, order.negative_prompt, order.count) == (
        Size(1664, 928), True, False, "", 1,
    )  # fmt: skip
    assert order.wire()["seed"] is None


def test_every_parameter_is_read() -> None:
    """Each field that was sent is in the request that is drawn."""
    order = sync_order(
        "猫", size="928*1664", seed=SEED_MAX, prompt_extend=False, watermark=True, negative_prompt="dog", n=1
    )
    assert order.request("draft-1", 0) == Request(
        "draft-1", "qwen-image-plus", "猫", "dog", Size(928, 1664), SEED_MAX, False, True
    )
    assert order.actual_prompt == ""


def test_parameters_that_the_reference_does_not_name_are_accepted() -> None:
    """They are on the bill, and two orders that differ in them are two orders."""
    plain, order = sync_order(seed=1), sync_order(seed=1, style={"names": ["水墨"]})
    assert "parameters" not in plain.wire()
    assert order.wire()["parameters"] == {"style": {"names": ["水墨"]}}
    assert order.digest != plain.digest
    assert order.request("null-1", 0).parameters == '{"style":{"names":["水墨"]}}'


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
def test_numbers_that_json_lacks_are_refused(number: str) -> None:
    """Python reads them, but no JSON can hold them."""
    with pytest.raises(Refusal):
        json_body(f'{{"model": "m", "parameters": {{"a": {number}}}}}'.encode())


def test_the_rewritten_prompt_is_what_is_rendered() -> None:
    """With `prompt_extend`, the rewritten prompt contains the original, and equal prompts are rewritten equally."""
    first, second = sync_order("a “Hello” poster", seed=1), sync_order("a “Hello” poster", seed=1)
    assert first == second
    assert first.request("draft-1", 0).prompt == first.actual_prompt
    assert "a “Hello” poster" in first.actual_prompt


@pytest.mark.parametrize(("model", "limit"), [("qwen-image-plus", 800), ("qwen-image-2.0", 1300)])
def test_long_prompts_are_cut_silently(model: str, limit: int) -> None:
    """Characters after the limit are dropped; only `orig_prompt` keeps them."""
    order = sync_order("字" * (limit + 1), model, prompt_extend=False, negative_prompt="x" * 501)
    assert order.prompt == "字" * limit
    assert order.negative_prompt == "x" * 500
    assert len(order.orig_prompt) == limit + 1


def test_the_negative_prompt_of_a_task_stands_in_either_place() -> None:
    """The reference's table puts `negative_prompt` into `input`, its curl example into `parameters`. `input` wins."""
    in_parameters = async_body(negative_prompt="p")
    in_input = async_body()
    in_input["input"]["negative_prompt"] = "i"
    both = async_body(negative_prompt="p")
    both["input"]["negative_prompt"] = "i"
    found = [read_order(body, "async", builtin()).negative_prompt for body in (in_parameters, in_input, both)]
    assert found == ["p", "i", "i"]


def test_only_the_two_point_zero_models_draw_several_images() -> None:
    """`n` is 1, or up to 6 for the 2.0 models. Their images have consecutive seeds."""
    order = sync_order(model="qwen-image-2.0", n=3, seed=SEED_MAX)
    assert [order.request("f", index).seed for index in range(order.count)] == [SEED_MAX, 0, 1]
    assert refusal(sync_body(n=2)) == (400, "InvalidParameter", "num_images_per_prompt must be 1")
    assert refusal(sync_body(model="qwen-image-2.0", n=7)) == (
        400, "InvalidParameter", "n must be between 1 and 6.",
    )  # fmt: skip


def test_two_point_zero_takes_any_size_within_its_pixels() -> None:
    """The 2.0 models accept every size from 512² to 2048² pixels in total."""
    assert sync_order(model="qwen-image-2.0", size="1000*1000").size == Size(1000, 1000)
    assert refusal(sync_body(model="qwen-image-2.0", size="2048*2049"))[1] == "InvalidParameter"
    assert refusal(sync_body(model="qwen-image-2.0", size="511*512"))[1] == "InvalidParameter"


@pytest.mark.parametrize("size", ["1328x1328", "1:1", "1472*1140", "1140*1472", "", 1328, "1328*1328 ", "0*0", [1, 2]])
def test_other_sizes_are_refused(size: Any) -> None:
    """qwenbuild's own notations, and sizes that the model does not offer, are refused."""
    assert refusal(sync_body(size=size))[:2] == (400, "InvalidParameter")


@pytest.mark.parametrize("seed", [-1, SEED_MAX + 1, "7", 1.5, True])
def test_seeds_out_of_range_are_refused(seed: Any) -> None:
    """A seed is a whole number from 0 to 2147483647."""
    assert refusal(sync_body(seed=seed)) == (
        400, "InvalidParameter", "seed must be an integer between 0 and 2147483647.",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        (None, "messages must contain exactly one message: only single-turn is supported."),
        ([], "messages must contain exactly one message: only single-turn is supported."),
        ([{}, {}], "messages must contain exactly one message: only single-turn is supported."),
        ([{"role": "system", "content": [{"text": "a"}]}], "Role must be user."),
        ([{"role": "user", "content": "a"}], "content must be a list of objects."),
        ([{"role": "user", "content": []}], "content must contain exactly one text."),
        ([{"role": "user", "content": [{"text": "a"}, {"text": "b"}]}], "content must contain exactly one text."),
        ([{"role": "user", "content": [{"image": "a"}]}], "content must contain exactly one text."),
        ([{"role": "user", "content": [{"text": ""}]}], "text must be a non-empty string."),
        ([{"role": "user", "content": [{"text": 1}]}], "text must be a non-empty string."),
    ],
)
def test_a_sync_call_has_one_message_with_one_text(messages: Any, message: str) -> None:
    """A body without a message or text, or with several, is refused."""
    body = {"model": "qwen-image-plus", "input": {"messages": messages}}
    assert refusal(body) == (400, "InvalidParameter", message)


@pytest.mark.parametrize(
    ("body", "interface", "expected"),
    [
        ({}, "sync", (400, "BadRequest.EmptyModel")),
        ({"model": 7}, "sync", (400, "BadRequest.EmptyModel")),
        (sync_body(model="qwen-image-plus "), "sync", (404, "ModelNotFound")),
        ({"model": "qwen-image-plus"}, "sync", (400, "BadRequest.EmptyInput")),
        ({"model": "qwen-image-plus", "input": "a"}, "sync", (400, "BadRequest.EmptyInput")),
        ({**sync_body(), "parameters": []}, "sync", (400, "InvalidParameter")),
        (sync_body(prompt_extend="yes"), "sync", (400, "InvalidParameter")),
        (sync_body(watermark=1), "sync", (400, "InvalidParameter")),
        (sync_body(negative_prompt=["a"]), "sync", (400, "InvalidParameter")),
        (sync_body(n="1"), "sync", (400, "InvalidParameter")),
        (async_body(prompt=""), "async", (400, "InvalidParameter")),
        (sync_body(), "async", (400, "InvalidParameter")),
        (async_body(), "sync", (400, "InvalidParameter")),
    ],
)
def test_what_the_service_refuses_is_refused(body: dict[str, Any], interface: str, expected: tuple[int, str]) -> None:
    """Each defect is refused with the service's status and code."""
    assert refusal(body, interface)[:2] == expected


def test_a_model_is_refused_on_an_interface_that_it_lacks() -> None:
    """The refusal has the vendor's message, which names the kind of call."""
    assert refusal(async_body(model="qwen-image-max"), "async") == (
        403, "AccessDenied", "current user api does not support asynchronous calls",
    )  # fmt: skip
    only_async = builtin().extended({"mine": {"interfaces": ["async"]}})
    with pytest.raises(Refusal, match="current user api does not support synchronous calls"):
        read_order(sync_body(model="mine"), "sync", only_async)


def test_nulls_and_unknown_fields_are_ignored() -> None:
    """The vendor's SDK sends fields that image models do not have."""
    body = sync_body(result_format="message", size=None, seed=None, n=None, prompt_extend=None, stream=False)
    assert read_order(body, "sync", builtin()).size == Size(1664, 928)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"a"', b"\xff", b'{"a": "\\ud800"}', b"[" * 100_000])
def test_a_body_that_is_not_a_json_object_is_refused(content: bytes) -> None:
    """Broken JSON, other types, unpaired surrogates and deep nesting are refused."""
    with pytest.raises(Refusal, match="json"):
        json_body(content)


@given(st.dictionaries(st.sampled_from(["model", "input", "parameters"]), JSON), st.sampled_from(["sync", "async"]))
def test_any_json_gives_an_order_or_a_refusal(body: dict[str, Any], interface: str) -> None:
    """No JSON object causes another error."""
    try:
        read_order(json_body(json.dumps(body).encode()), interface, builtin())
    except Refusal as error:
        assert 400 <= error.status < 500


@given(JSON, st.sampled_from(["size", "seed", "n", "prompt_extend", "watermark", "negative_prompt"]))
def test_any_parameter_is_read_or_refused(value: Any, name: str) -> None:
    """No value of a parameter causes another error."""
    try:
        sync_order(**{name: value})
    except Refusal as error:
        assert error.code == "InvalidParameter"


def test_equal_orders_have_equal_digests() -> None:
    """Different requests have different digests. The interface does not change the digest."""
    same = read_order(async_body(seed=1), "async", builtin())
    assert sync_order(seed=1).digest == same.digest
    assert len({sync_order(seed=seed).digest for seed in range(5)} | {sync_order().digest}) == 6
