"""A real pipeline of Qwen-Image with tiny random weights, made in code: what an image model does with seed and steps.

It needs torch and diffusers (1.3 GB), which the gate does not install: `pip install torch diffusers transformers`.
"""

from __future__ import annotations

import base64
import io
from hashlib import sha256
from typing import Any

import torch
from diffusers import (
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
)


class TinyPipeline:
    """A pipeline of some thousand parameters. A digest of the prompt takes the place of the text encoder."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        torch.set_num_threads(1)  # another number of threads gives other bytes
        transformer = QwenImageTransformer2DModel(
            patch_size=2, in_channels=16, out_channels=4, num_layers=2, attention_head_dim=16, num_attention_heads=3,
            joint_attention_dim=16, guidance_embeds=False, axes_dims_rope=(8, 4, 4),
        )  # fmt: skip
        vae = AutoencoderKLQwenImage(
            base_dim=24, z_dim=4, dim_mult=[1, 2, 4], num_res_blocks=1, temperal_downsample=[False, True],
            latents_mean=[0.0] * 4, latents_std=[1.0] * 4,
        )  # fmt: skip
        self._pipeline = QwenImagePipeline(
            FlowMatchEulerDiscreteScheduler(), vae, text_encoder=None, tokenizer=None, transformer=transformer
        )
        self._pipeline.set_progress_bar_config(disable=True)

    def drawn(self, size: tuple[int, ...], kind: str, prompt: str, seed: int, steps: int) -> str:
        """Return an image in base64; see `ImageServer.drawn`."""
        texts = {**_embedded(prompt, ""), **_embedded("", "negative_")}
        generator = torch.Generator("cpu").manual_seed(seed)
        [image] = self._pipeline(
            **texts, width=size[0], height=size[1], generator=generator, num_inference_steps=steps, true_cfg_scale=4.0
        ).images
        buffer = io.BytesIO()
        image.save(buffer, kind)
        return base64.b64encode(buffer.getvalue()).decode()


def _embedded(text: str, prefix: str) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(int(sha256(text.encode()).hexdigest()[:8], 16))
    embeds = torch.randn(1, 8, 16, generator=generator)
    return {f"{prefix}prompt_embeds": embeds, f"{prefix}prompt_embeds_mask": torch.ones(1, 8, dtype=torch.long)}
