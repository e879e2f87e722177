"""Pictures and films as patches: sizes, and agreement with transformers' own processor."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from omnitts.models.mgm_omni.brain.loading import LoadedBrain
from omnitts.models.mgm_omni.brain.vision_input import (
    PatchConfig,
    Patches,
    choose_frames,
    fit_video_pixels,
    image_patches,
    prepare_image,
    video_patches,
)

CONFIG = PatchConfig(max_pixels=1003520)


def picture(width: int, height: int, mode: str = "RGB") -> Image.Image:
    random = np.random.default_rng(width * height)
    return Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8)).convert(mode)


@pytest.mark.parametrize("size", [(200, 140), (30, 900), (57, 57), (1500, 1100), (28, 28)])
def test_patches_are_transformers_own(size: tuple[int, int]) -> None:
    transformers = pytest.importorskip("transformers")
    if not hasattr(transformers, "Qwen2VLImageProcessorPil"):
        pytest.skip("this transformers has no PIL processor to compare with")
    twin = transformers.Qwen2VLImageProcessorPil(min_pixels=CONFIG.min_pixels, max_pixels=CONFIG.max_pixels)
    wanted = twin(images=[picture(*size)], return_tensors="pt")
    got = image_patches(picture(*size), CONFIG)
    assert list(got.grid) == wanted["image_grid_thw"][0].tolist()
    torch.testing.assert_close(got.values, wanted["pixel_values"], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "mode", "wanted"),
    [
        ((5760, 2880), "RGB", (2880, 1440)),  # too large: shrunk
        ((10, 100), "L", (28, 100)),  # too narrow: the short side alone grows
        ((2800, 2), "RGBA", (2800, 28)),
        ((2880, 10), "P", (2880, 28)),
        ((640, 480), "CMYK", (640, 480)),
    ],
)
def test_odd_pictures_are_made_fit(size: tuple[int, int], mode: str, wanted: tuple[int, int]) -> None:
    made = prepare_image(picture(*size, "RGB").convert(mode) if mode != "P" else picture(*size).quantize(16))
    assert (made.size, made.mode) == (wanted, "RGB")
    image_patches(made, CONFIG)


def test_no_picture_is_too_long_for_the_processor() -> None:
    """It refuses an aspect above 200; between the least and the greatest side there is none."""
    for size in ((20_000, 2), (1, 9_000)):
        made = prepare_image(picture(*size))
        assert max(made.size) / min(made.size) < 200


def test_frames_are_chosen_evenly_and_in_pairs() -> None:
    assert choose_frames(100, 25.0) == [0, 14, 28, 42, 57, 71, 85, 99]
    assert len(choose_frames(100_000, 30.0)) == 16
    assert len(choose_frames(10, 30.0)) == 4
    assert choose_frames(3, 30.0) == [0, 2]
    assert choose_frames(1, 30.0) == [0]
    for total, rate in ((0, 25.0), (10, 0.0)):
        with pytest.raises(ValueError, match="cannot be sampled"):
            choose_frames(total, rate)


def test_frames_share_the_pixels() -> None:
    height, width = fit_video_pixels(16, 1080, 1920, 28)
    assert height * width <= 768 * 28 * 28 < (height + 28) * (width + 28)
    assert fit_video_pixels(16, 30, 30, 28) == (56, 56)


def test_a_still_film_looks_like_the_picture() -> None:
    """Two equal frames make the temporal patch that a picture is repeated into."""
    frame = np.asarray(picture(84, 56))
    still = video_patches([frame, frame], CONFIG)
    photo = image_patches(Image.fromarray(frame), CONFIG)
    assert still.grid == photo.grid == (1, 4, 6)
    torch.testing.assert_close(still.values, photo.values)


def test_an_odd_last_frame_is_repeated() -> None:
    frames = [np.full((56, 56, 3), value, np.uint8) for value in (0, 100, 200)]
    film = video_patches(frames, CONFIG)
    assert film.grid == (2, 4, 4)
    second = film.values.view(2, 16, 3, 2, 14, 14)[1]
    assert torch.equal(second[:, :, 0], second[:, :, 1])
    with pytest.raises(ValueError, match="at least one frame"):
        video_patches([], CONFIG)


def test_pictures_and_films_in_one_pass_are_as_one_by_one(tiny_brain: LoadedBrain) -> None:
    film = video_patches([np.asarray(picture(70, 50)), np.asarray(picture(70, 50))] * 2, CONFIG)
    seen: list[Patches] = [image_patches(picture(120, 90), CONFIG), film, image_patches(picture(60, 300), CONFIG)]
    together = tiny_brain.network.encode_vision(seen)
    for medium, patches in zip(together, seen, strict=True):
        (alone,) = tiny_brain.network.encode_vision([patches])
        assert medium.span == alone.span
        torch.testing.assert_close(medium.features, alone.features, rtol=0, atol=1e-5)


def test_both_spellings_of_the_pixel_limits() -> None:
    old = PatchConfig.from_dict({"min_pixels": 100, "max_pixels": 200, "image_mean": [0.5, 0.5, 0.5]})
    new = PatchConfig.from_dict({"size": {"shortest_edge": 100, "longest_edge": 200}, "image_mean": [0.5, 0.5, 0.5]})
    assert old == new
    assert old.image_mean == (0.5, 0.5, 0.5)
