"""Key table: the tensor names of a published brain checkpoint, and the names they have in `Brain` (spec 6.1).

Pure strings, both ways. Sees no tensors and no files.
"""

from __future__ import annotations

from typing import Final

# published prefix -> prefix in `Brain`; the longest published prefix counts, so the order matters
PREFIXES: Final = {
    "model.vision_tower.vision_tower.": "vision_tower.",
    "model.speech_tower.": "audio_towers.",
    "model.mm_speech_projector.": "speech_projector.",
    "lm_head.": "lm_head.",
    "model.": "text_model.",
}
UNUSED_PREFIXES: Final = ("model.mm_projector.",)  # may be stored, but a Qwen2.5-VL tower needs no projector

VISION: Final = "vision_tower."
MAIN_AUDIO: Final = "audio_towers.speech_tower."
AUX_AUDIO: Final = "audio_towers.speech_tower_aux."

# where a tower's own checkpoint keeps its encoder: part in `Brain` -> prefixes to try
TOWER_PREFIXES: Final = {
    VISION: ("model.visual.", "visual.", "vision_tower.", ""),
    MAIN_AUDIO: ("model.audio_tower.", "audio_tower.", "model.encoder.", "encoder.", ""),
    AUX_AUDIO: ("model.encoder.", "encoder.", ""),
}
# a tensor every encoder of the kind has, to recognise the prefix by
TOWER_PROBES: Final = {
    VISION: "patch_embed.proj.weight",
    MAIN_AUDIO: "conv1.weight",
    AUX_AUDIO: "conv1.weight",
}


def own_name(published: str) -> str | None:
    """Name in `Brain` of a tensor of the checkpoint; None for one that is not used."""
    if published.startswith(UNUSED_PREFIXES):
        return None
    for prefix, own in PREFIXES.items():
        if published.startswith(prefix):
            return own + published[len(prefix) :]
    return published


def published_name(own: str) -> str:
    """The inverse of `own_name` for every tensor of `Brain`."""
    for prefix, own_prefix in PREFIXES.items():
        if own.startswith(own_prefix):
            return prefix + own[len(own_prefix) :]
    raise KeyError(own)
