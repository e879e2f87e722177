"""Media files as a brain perceives them: pictures, frames of films, sound. Knows no model.

Files go in; PIL images, arrays of pixels and samples come out. What cannot be read is an `InputError` (an `AudioError`
for sound) that names the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from omnitts.audio import FloatArray
from omnitts.errors import AudioError, InputError

if TYPE_CHECKING:
    import av.container
    from PIL.Image import Image

Frame = npt.NDArray[np.uint8]
ChooseFrames = Callable[[int, float], Sequence[int]]

_PICTURE_HINT = "give a PNG, JPEG, WebP, GIF, BMP or TIFF picture"
_FILM_HINT = "give an MP4, MOV, MKV or WebM film"


def read_picture(path: Path) -> Image:
    """The picture as RGB: upright as its camera noted (EXIF), over white where it is transparent, its first frame."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    _require_file(path)
    try:
        with Image.open(path) as file:
            file.load()
            upright = ImageOps.exif_transpose(file)
            if "A" in upright.getbands() or "transparency" in upright.info:
                layer = upright.convert("RGBA")
                upright = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
            return upright.convert("RGB")
    except UnidentifiedImageError as error:
        raise InputError("this is not a picture", where=str(path), hint=_PICTURE_HINT) from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"the picture cannot be read ({error})", where=str(path), hint=_PICTURE_HINT) from error


def read_film(path: Path, choose: ChooseFrames) -> list[Frame]:
    """The frames that ``choose`` picks from (number of frames, frames per second): upright (H, W, 3) arrays.

    Only the chosen frames are held. Where a film ends before what it announced, its last frame stands in.
    """
    _require_file(path)
    with _opened(path) as container:
        if not container.streams.video:
            raise InputError("the file has no pictures that move", where=str(path), hint=_FILM_HINT)
        total = sum(1 for packet in container.demux(video=0) if packet.size)
    with _opened(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        try:
            wanted = list(choose(total, rate))
        except ValueError as error:
            raise InputError(str(error), where=str(path), hint=_FILM_HINT) from error
        needed, last, kept, shown = set(wanted), max(wanted), dict[int, Frame](), None
        for place, frame in enumerate(container.decode(video=0)):
            shown = frame
            if place in needed:
                kept[place] = _pixels(frame)
            if place == last:
                break
        if shown is None:
            raise InputError("no frame of the film can be decoded", where=str(path), hint=_FILM_HINT)
        ending = _pixels(shown) if len(kept) < len(needed) else None
    return [kept[place] if ending is None else kept.get(place, ending) for place in wanted]


def read_recording(path: Path) -> tuple[FloatArray, int]:
    """The first channel's samples (N,) in [-1, 1] at the file's own rate, and that rate in hertz. Nothing is mixed."""
    import av

    if not path.is_file():
        raise AudioError("no such file", where=str(path), hint="check the path")
    hint = "give a WAV, FLAC, MP3, M4A, Opus or Ogg recording, or a film with sound"
    blocks: list[FloatArray] = []
    try:
        with av.open(f"file:{path}") as container:
            if not container.streams.audio:
                raise AudioError("the file has no audio track", where=str(path), hint=hint)
            rate = int(container.streams.audio[0].rate)
            resampler = av.AudioResampler(format="fltp", rate=rate)  # planes of floats, same rate, same channels
            for frame in chain(container.decode(audio=0), (None,)):
                blocks += [out.to_ndarray()[0] for out in resampler.resample(frame)]
    except (av.FFmpegError, OSError, ValueError) as error:
        raise AudioError("this is not an audio file", where=str(path), hint=hint) from error
    if not sum(map(len, blocks)):
        raise AudioError("the file holds no sound", where=str(path), hint="give a recording that plays")
    return np.concatenate(blocks).astype(np.float32, copy=False), rate


def _pixels(frame: Any) -> Frame:
    pixels = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)))  # degrees, counter-clockwise


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise InputError("no such file", where=str(path), hint="check the path")


@contextmanager
def _opened(path: Path) -> Iterator[av.container.InputContainer]:
    import av

    try:
        with av.open(f"file:{path}") as container:
            yield container
    except (av.FFmpegError, OSError, IndexError) as error:
        raise InputError(f"this is not a film that can be read ({error})", where=str(path), hint=_FILM_HINT) from error
