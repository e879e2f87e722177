"""Published figures to stand beside one's own: error rates in percent and similarities, with where they are from.

Data only. Similarity is the cosine of WavLM-large SV embeddings there; omnitts measures with resemblyzer, on another
scale: the two columns are not to be compared. ASR there: Whisper-large-v3 for English, Paraformer-zh for Chinese.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from omnitts.pipeline.evaluate.datasets import Benchmark

MGM_PAPER: Final = "arXiv 2509.25131"
BESIDE_LONG: Final = "reported beside Long-TTS-Eval"


@dataclass(frozen=True, slots=True)
class Published:
    """``errors``: percent by subset; ``similarity``: WavLM SV cosine by subset."""

    benchmark: Benchmark
    model: str
    errors: Mapping[str, float]
    similarity: Mapping[str, float] = field(default_factory=dict)
    source: str = MGM_PAPER


PUBLISHED: Final = (
    Published("seed-tts-eval", "MGM-Omni-TTS-0.6B", {"en": 2.48, "zh": 1.42}, {"en": 0.670, "zh": 0.750}),
    Published("seed-tts-eval", "MGM-Omni-TTS-2B", {"en": 2.28, "zh": 1.28}, {"en": 0.684, "zh": 0.755}),
    Published("seed-tts-eval", "MGM-Omni-TTS-4B", {"en": 2.22, "zh": 1.18}, {"en": 0.686, "zh": 0.758}),
    Published("long-tts-eval", "MGM-Omni-TTS-2B", {"en": 4.98, "zh": 5.58, "en-hard": 26.26, "zh-hard": 23.58}),
    Published("long-tts-eval", "CosyVoice2 (chunked)", {"en": 14.80, "zh": 5.27}, source=BESIDE_LONG),
    Published("long-tts-eval", "Higgs-Audio v2", {"en": 27.09}, source=BESIDE_LONG),
    Published("long-tts-eval", "MOSS-TTSD v0.5", {"en": 8.69}, source=BESIDE_LONG),
)


def published_for(benchmark: Benchmark) -> tuple[Published, ...]:
    return tuple(item for item in PUBLISHED if item.benchmark == benchmark)
