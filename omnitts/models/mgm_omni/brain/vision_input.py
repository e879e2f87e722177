"""Pictures and films become patches for the vision tower (spec 6.2, end).

Goes in: PIL images, or the frames of a video. Comes out: `Patches`: rows of 3 x 2 x 14 x 14 pixels in 2 x 2 merge
groups, and their grid. Knows no files, no tower. Numbers of pixels and frames follow the reference's preprocessing:
Qwen2VLImageProcessor, and for video the published rules of qwen-vl-utils.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from omnitts.models.mgm_omni.brain.positions import GridSpan

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_SIDE: Final = 2880  # pixels
MIN_SIDE: Final = 28

VIDEO_FPS: Final = 2.0
VIDEO_MIN_FRAMES: Final = 4
VIDEO_MAX_FRAMES: Final = 16
FRAME_FACTOR: Final = 2
VIDEO_MIN_PIXELS: Final = 28 * 28 * 4
VIDEO_MAX_PIXELS: Final = 28 * 28 * 768
VIDEO_TOTAL_PIXELS: Final = 28 * 28 * 2048 * 32


@dataclass(frozen=True)
class PatchConfig:
    """preprocessor_config.json of a Qwen2.5-VL tower; the defaults are the published ones."""

    min_pixels: int = 56 * 56
    max_pixels: int = 28 * 28 * 16384
    patch_size: int = 14
    temporal_patch_size: int = 2
    merge_size: int = 2
    image_mean: tuple[float, ...] = (0.48145466, 0.4578275, 0.40821073)
    image_std: tuple[float, ...] = (0.26862954, 0.26130258, 0.27577711)

    @property
    def factor(self) -> int:
        return self.patch_size * self.merge_size

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> PatchConfig:
        """Reads both spellings of the pixel limits: min_pixels/max_pixels and size.shortest_edge/longest_edge."""
        size = raw.get("size") or {}
        found = {name: raw[name] for name in cls.__dataclass_fields__ if raw.get(name) is not None}
        found.setdefault("min_pixels", size.get("shortest_edge", cls.min_pixels))
        found.setdefault("max_pixels", size.get("longest_edge", cls.max_pixels))
        found |= {name: tuple(found[name]) for name in ("image_mean", "image_std") if name in found}
        return cls(**found)


@dataclass(frozen=True)
class Patches:
    """``values`` (P, 3 * 2 * 14 * 14) float32; ``grid`` is (frames, rows, columns) in patches, P their product."""

    values: Tensor
    grid: tuple[int, int, int]

    def merged_span(self, merge_size: int) -> GridSpan:
        frames, rows, columns = self.grid
        return GridSpan(frames, rows // merge_size, columns // merge_size)


def image_patches(image: Image, config: PatchConfig) -> Patches:
    """Any PIL image -> patches of one frame (repeated to fill the temporal patch)."""
    from PIL.Image import Resampling

    image = prepare_image(image)
    height, width = fit_pixels(image.height, image.width, config.factor, config.min_pixels, config.max_pixels)
    if (width, height) != image.size:
        image = image.resize((width, height), Resampling.BICUBIC)
    return _patchify(np.asarray(image, dtype=np.uint8)[None], config)


def video_patches(frames: Sequence[npt.NDArray[np.uint8]], config: PatchConfig) -> Patches:
    """Chosen frames, each (H, W, 3) uint8 -> patches; an odd last frame is repeated. ValueError without frames."""
    if not len(frames):
        raise ValueError("a video needs at least one frame")
    pixels = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)  # (F, 3, H, W)
    height, width = fit_video_pixels(len(frames), pixels.shape[2], pixels.shape[3], config.factor)
    if (height, width) != tuple(pixels.shape[2:]):
        resized = F.interpolate(pixels.float(), (height, width), mode="bicubic", antialias=True, align_corners=False)
        pixels = resized.round().clamp(0, 255)
    return _patchify(pixels.permute(0, 2, 3, 1).numpy(), config)


def prepare_image(image: Image) -> Image:
    """What the reference does before the processor: at most 2880 wide or high, RGB, no side under 28.

    Its last rule, for pictures over 200 times as long as wide, has nothing left to do: 2880 / 28 is 103.
    """
    from PIL.Image import Resampling

    longest = max(image.size)
    if longest > MAX_SIDE:
        scale = MAX_SIDE / longest
        size = (max(1, int(image.width * scale)), max(1, int(image.height * scale)))
        image = image.resize(size, Resampling.NEAREST)
    image = image.convert("RGB")
    width, height = (max(side, MIN_SIDE) for side in image.size)
    return image if (width, height) == image.size else image.resize((width, height))


def fit_pixels(height: int, width: int, factor: int, min_pixels: int, max_pixels: int) -> tuple[int, int]:
    """Nearest (height, width) in multiples of ``factor`` with the same aspect and between the pixel limits."""
    new_height, new_width = (max(factor, round(side / factor) * factor) for side in (height, width))
    if new_height * new_width > max_pixels:
        shrink = math.sqrt(height * width / max_pixels)
        new_height, new_width = (max(factor, math.floor(side / shrink / factor) * factor) for side in (height, width))
    elif new_height * new_width < min_pixels:
        grow = math.sqrt(min_pixels / (height * width))
        new_height, new_width = (math.ceil(side * grow / factor) * factor for side in (height, width))
    return new_height, new_width


def fit_video_pixels(num_frames: int, height: int, width: int, factor: int) -> tuple[int, int]:
    """The size of each frame: all frames together stay under the total, none grows beyond 768 merged patches."""
    share = min(float(VIDEO_MAX_PIXELS), VIDEO_TOTAL_PIXELS / num_frames * FRAME_FACTOR)
    return fit_pixels(height, width, factor, VIDEO_MIN_PIXELS, int(max(share, VIDEO_MIN_PIXELS * 1.05)))


def choose_frames(total_frames: int, frames_per_s: float) -> list[int]:
    """Indices of the frames to look at: two per second, an even number between 4 and 16, evenly spread.

    Raises ValueError for an empty video or one without a frame rate. A single frame is chosen alone.
    """
    if total_frames < 1 or not frames_per_s > 0:
        raise ValueError(f"a video of {total_frames} frames at {frames_per_s} per second cannot be sampled")
    wanted = total_frames / frames_per_s * VIDEO_FPS
    count = min(max(wanted, VIDEO_MIN_FRAMES), VIDEO_MAX_FRAMES, total_frames)
    count = max(1, math.floor(count / FRAME_FACTOR) * FRAME_FACTOR)
    return torch.linspace(0, total_frames - 1, count).round().long().tolist()


def _patchify(frames: npt.NDArray[Any], config: PatchConfig) -> Patches:
    """(F, H, W, 3) in 0..255 -> normalised patches, ordered frame, group row, group column, row, column in group."""
    mean, std = (np.asarray(values, dtype=np.float32) for values in (config.image_mean, config.image_std))
    pixels = (frames.astype(np.float32) * np.float32(1 / 255) - mean) / std
    T, P, M = config.temporal_patch_size, config.patch_size, config.merge_size
    if missing := -len(pixels) % T:
        pixels = np.concatenate((pixels, np.repeat(pixels[-1:], missing, axis=0)))
    num_frames, height, width, channels = pixels.shape
    grid = (num_frames // T, height // P, width // P)
    blocks = pixels.reshape(grid[0], T, grid[1] // M, M, P, grid[2] // M, M, P, channels)
    ordered = blocks.transpose(0, 2, 5, 3, 6, 8, 1, 4, 7)  # (frames, group rows, group columns, M, M, C, T, P, P)
    values = ordered.reshape(math.prod(grid), channels * T * P * P)
    return Patches(values=torch.from_numpy(np.ascontiguousarray(values)), grid=grid)
