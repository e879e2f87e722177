"""The Python API: an engine with a voice, in three lines.

import omnitts
speaker = omnitts.load_engine("mgm-omni", model="path/to/checkpoint", voice="ref.wav")
speaker.say("Good evening.").save("evening.wav")
"""

from __future__ import annotations

from pathlib import Path

from omnitts.pipeline.say import Speaker, open_speaker

__all__ = ["Speaker", "load_engine"]


def load_engine(
    name: str = "auto",
    *,
    model: str | Path = "",
    device: str = "auto",
    voice: str | Path | None = None,
    voice_text: str | None = None,
    language: str | None = None,
) -> Speaker:
    """An engine ready to speak. The arguments are the command line's options of the same names.

    ``voice`` is a name of the voice library or a recording of 5 to 15 s; ``voice_text`` its words (else its transcript
    in the library, a text file of the same name beside it, or what speech recognition hears). Weights load at the
    first ``say``. Raises `omnitts.errors.OmnittsError` and its kinds, each saying what, where, and what to do next.
    """
    return open_speaker(
        name,
        model=str(model),
        device=device,
        voice=None if voice is None else str(voice),
        voice_text=voice_text,
        language=language,
    )
