"""Pictures, films and sounds from files, and what is said about files that are none."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from PIL import Image

from omnitts.engines.media import read_film, read_picture, read_recording
from omnitts.errors import AudioError, InputError


def write_film(path: Path, num_frames: int) -> Path:
    """Frame i is grey of brightness 10 i; 4 frames a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=4)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        for i in range(num_frames):
            frame = av.VideoFrame.from_ndarray(np.full((32, 64, 3), 10 * i, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_a_picture_stands_upright_and_opaque(tmp_path: Path) -> None:
    lying = Image.new("RGB", (40, 20), "red")
    exif = lying.getexif()
    exif[0x0112] = 6  # the camera was turned by a quarter
    lying.save(tmp_path / "lying.jpg", exif=exif)
    assert read_picture(tmp_path / "lying.jpg").size == (20, 40)
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert read_picture(tmp_path / "clear.png").getpixel((3, 3)) == (255, 255, 255)


def test_what_is_no_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "note.png").write_text("not a picture")
    with pytest.raises(InputError, match="not a picture") as caught:
        read_picture(tmp_path / "note.png")
    assert caught.value.where.endswith("note.png")
    with pytest.raises(InputError, match="no such file"):
        read_picture(tmp_path / "gone.png")
    Image.effect_noise((200, 200), 50).save(tmp_path / "cut.jpg")
    whole = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be read"):
        read_picture(tmp_path / "cut.jpg")


def test_the_chosen_frames_come_in_order(tmp_path: Path) -> None:
    asked: list[tuple[int, float]] = []

    def choose(total: int, rate: float) -> list[int]:
        asked.append((total, rate))
        return [0, 3, 7]

    frames = read_film(write_film(tmp_path / "film.mp4", 8), choose)
    assert asked == [(8, 4.0)]
    assert [frame.shape for frame in frames] == [(32, 64, 3)] * 3
    assert [frame.mean() for frame in frames] == pytest.approx([0, 30, 70], abs=4)


def test_a_film_that_ends_early_keeps_its_last_frame(tmp_path: Path) -> None:
    frames = read_film(write_film(tmp_path / "film.mp4", 3), lambda total, rate: [0, 2, 9])
    assert [frame.mean() for frame in frames] == pytest.approx([0, 20, 20], abs=4)


def test_what_is_no_film_is_named(tmp_path: Path) -> None:
    (tmp_path / "note.mp4").write_text("not a film")
    with pytest.raises(InputError, match="not a film"):
        read_film(tmp_path / "note.mp4", lambda total, rate: [0])
    soundfile.write(tmp_path / "sound.wav", np.zeros(800), 8000)
    with pytest.raises(InputError, match="no pictures that move"):
        read_film(tmp_path / "sound.wav", lambda total, rate: [0])


def test_a_recording_is_its_first_channel(tmp_path: Path) -> None:
    left = np.linspace(-0.5, 0.5, 4410, dtype=np.float32)
    soundfile.write(tmp_path / "two.wav", np.stack([left, -left], axis=1), 44100, subtype="FLOAT")
    samples, rate = read_recording(tmp_path / "two.wav")
    assert rate == 44100
    np.testing.assert_allclose(samples, left, atol=1e-6)


def test_what_has_no_sound_is_named(tmp_path: Path) -> None:
    (tmp_path / "note.wav").write_text("not a sound")
    with pytest.raises(AudioError, match="not an audio file"):
        read_recording(tmp_path / "note.wav")
    with pytest.raises(AudioError, match="no audio track"):
        read_recording(write_film(tmp_path / "film.mp4", 2))
    with pytest.raises(AudioError, match="no such file"):
        read_recording(tmp_path / "gone.wav")
