"""Evaluation of a checkpoint on clips of sentences it has never met: vocoder, resynthesis, speech, speed.

A checkpoint folder and a manifest of clips in (several clips per voice; what they say must be held out of training);
figures as a dictionary out. Each clip's text is spoken again with another clip of its voice as reference, so that the
clips themselves are the yardstick. ASR and similarity are those of the pipeline's checks.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from omnitts.audio import Waveform, load, resample
from omnitts.engines.base import SpeechRequest
from omnitts.engines.mgm_omni_settings import Settings
from omnitts.engines.registry import EngineOptions, open_engine
from omnitts.errors import InputError, VoiceError
from omnitts.models.codec.features import FRONT_END_RATE, vocoder_mel
from omnitts.models.codec.loading import Codec, load_codec
from omnitts.models.layout import CODEC_DIR
from omnitts.pipeline.check.asr_models import find_asr_model
from omnitts.pipeline.check.similarity import SpeakerEncoder, cosine
from omnitts.pipeline.check.transcribe import Transcriber
from omnitts.training.listening import Ears, Encoder, Heard, by_group, summary
from omnitts.training.manifest import Recording
from omnitts.training.speech_lm import spoken
from omnitts.types import Voice

logger = logging.getLogger(__name__)

_SAY_EVERY_S: Final = 30.0
_BATCH: Final = 8
PARTS: Final = ("vocoder", "resynthesis", "speech")


@dataclass(frozen=True)
class EvaluateOptions:
    """``held_out``: voices that were not learnt from. ``limit``: so many clips of each voice at most, 0 for all.

    ``parts``: of PARTS. ``particles``: as the engine's setting; 0 leaves it to itself. ``pronounce``: not unless the
    checkpoint can.
    """

    held_out: tuple[str, ...] = ()
    limit: int = 0
    parts: tuple[str, ...] = ("resynthesis", "speech")  # what speaks, and the bound that its codes set
    asr: str = "base"
    device: str = "auto"
    seed: int = 0
    particles: int = 0
    pronounce: bool = True


def evaluate(
    model: Path,
    clips: Sequence[Recording],
    options: EvaluateOptions,
    *,
    human: Sequence[Recording] = (),
    details: Path | None = None,
    ears: Ears | None = None,
) -> dict[str, Any]:
    """All figures. ``human``: recordings of people, whose likeness alone is measured. ``details``: a JSON-lines file
    that gets every clip with what was heard of it. ``ears``: who listens, when not whisper and resemblyzer. Raises
    `InputError` when a voice has no second clip.
    """
    sounds = {clip.id: load(clip.audio) for clip in clips}
    references = _references(clips)
    chosen = _limited(clips, options.limit)
    ears = ears or Ears(Transcriber(find_asr_model(options.asr)), SpeakerEncoder())
    ears.learn_voices([(clip.speaker, sounds[clip.id]) for clip in clips])
    heard = {"originals": _listened(ears, "originals", ((clip, sounds[clip.id]) for clip in chosen), len(chosen))}
    figures: dict[str, Any] = {}
    codec = load_codec(model / CODEC_DIR) if {"vocoder", "resynthesis"} & set(options.parts) else None
    if codec is not None and "vocoder" in options.parts:
        made = ((clip, vocoded(codec, sounds[clip.id])) for clip in chosen)
        heard["vocoder"] = _listened(ears, "vocoder", made, len(chosen))
    if codec is not None and "resynthesis" in options.parts:
        made = ((clip, resynthesis(codec, sounds[clip.id], sounds[references[clip.id].id])) for clip in chosen)
        heard["resynthesis"] = _listened(ears, "resynthesis", made, len(chosen))
    if "speech" in options.parts:
        waves, seconds = speak(model, chosen, references, options)
        heard["speech"] = _listened(ears, "speech", ((clip, waves[clip.id]) for clip in chosen), len(chosen))
        spoken_s = sum(wave.duration_s for wave in waves.values())
        figures["speed"] = {
            "real_time_factor": round(seconds / max(spoken_s, 1e-9), 3),
            "threads": torch.get_num_threads(),
        }
    for part, found in heard.items():
        for group, members in by_group(found, options.held_out).items():
            if members:
                figures[f"{part}, {group}"] = summary(members)
    if human:
        figures["human references"] = human_likeness(model, human, chosen, options, ears.encoder)
    if details is not None:
        lines = [
            json.dumps({"part": part, **asdict(clip)}, ensure_ascii=False) for part in heard for clip in heard[part]
        ]
        details.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return figures


def vocoded(codec: Codec, clip: Waveform, seed: int = 0) -> Waveform:
    """A clip's own mel through the vocoder: what the vocoder alone costs."""
    samples = np.ascontiguousarray(resample(clip, codec.detokenizer.rate_hz).samples)
    mel = vocoder_mel(torch.from_numpy(samples)[None])[0]
    return Waveform(codec.detokenizer.vocode(mel, seed).numpy(), codec.detokenizer.rate_hz)


def resynthesis(codec: Codec, clip: Waveform, reference: Waveform, seed: int = 0) -> Waveform:
    """A clip through the tokenizer and back, in the voice of ``reference``: what codes, flow and vocoder cost.

    The flow hears as much of the reference as in an engine.
    """
    prompt = Settings().heard(codec.listen(torch.from_numpy(resample(reference, FRONT_END_RATE).samples)))
    tokens = codec.front_end.tokenizer.tokens(torch.from_numpy(resample(clip, FRONT_END_RATE).samples)).long()
    wave = codec.detokenizer.speak([tokens], [prompt], [seed])[0]
    return Waveform(wave.numpy(), codec.detokenizer.rate_hz)


def speak(
    model: Path, clips: Sequence[Recording], references: dict[str, Recording], options: EvaluateOptions
) -> tuple[dict[str, Waveform], float]:
    """Every clip's text spoken by the engine with its reference; the waves by id, and the seconds it took.

    Loading and listening to the references are not counted.
    """
    extra: dict[str, str | float] = {"particles": options.particles} if options.particles else {}
    if not options.pronounce:
        extra["pronouncer"] = "off"
    engine = open_engine("mgm-omni", EngineOptions(model=str(model), device=options.device, batch=_BATCH, extra=extra))
    with tempfile.TemporaryDirectory() as folder:
        requests = []
        for clip in clips:
            voice = _voice(references[clip.id], clip.accent, Path(folder))
            engine.prepare(voice)
            requests.append(SpeechRequest(clip.id, spoken(clip.text, clip.accent), voice, "en", options.seed))
        started_s = said_s = time.monotonic()
        waves: dict[str, Waveform] = {}
        for speech in engine.speak(requests):
            waves[speech.key] = speech.waveform
            if speech.failure:
                logger.warning("%s: the take failed (%s)", speech.key, speech.failure)
            if time.monotonic() - said_s > _SAY_EVERY_S:
                said_s = time.monotonic()
                logger.info("speech: spoke %d of %d clips", len(waves), len(requests))
        seconds = time.monotonic() - started_s
    engine.close()
    return waves, seconds


def human_likeness(
    model: Path,
    people: Sequence[Recording],
    texts: Sequence[Recording],
    options: EvaluateOptions,
    encoder: Encoder,
) -> dict[str, Any]:
    """How like a person's recording the model's speech in that voice is: mean and least cosine."""
    pairs = [(person, texts[place % len(texts)]) for place, person in enumerate(people)]
    asked = [Recording(person.id, text.audio, text.text, person.speaker, text.accent) for person, text in pairs]
    waves, _ = speak(model, asked, {person.id: person for person in people}, options)
    found = []
    for person in people:
        own, made = encoder.embed(load(person.audio)), encoder.embed(waves[person.id])
        if own is not None and made is not None:
            found.append(cosine(own, made))
    if not found:
        raise InputError("no human clip is long enough to know its voice by", hint="give clips of 3 s and more")
    return {"clips": len(found), "similarity": round(sum(found) / len(found), 4), "lowest": round(min(found), 4)}


def _references(clips: Sequence[Recording]) -> dict[str, Recording]:
    """For each clip the next one of its voice, around a ring."""
    of_speaker: dict[str, list[Recording]] = defaultdict(list)
    for clip in clips:
        of_speaker[clip.speaker].append(clip)
    for speaker, own in of_speaker.items():
        if len(own) < 2:
            raise InputError(f"the voice {speaker} has one clip; a second is needed as its reference")
    return {clip.id: own[(place + 1) % len(own)] for own in of_speaker.values() for place, clip in enumerate(own)}


def _limited(clips: Sequence[Recording], limit: int) -> list[Recording]:
    taken: dict[str, int] = defaultdict(int)
    kept = []
    for clip in clips:
        if not limit or taken[clip.speaker] < limit:
            taken[clip.speaker] += 1
            kept.append(clip)
    return kept


def _listened(ears: Ears, part: str, made: Iterable[tuple[Recording, Waveform]], total: int) -> list[Heard]:
    """What is heard of each clip; says now and then how far it is, since a recogniser takes its time."""
    said_s, found = time.monotonic(), []
    for clip, wave in made:
        found.append(ears.listen(clip.id, wave, clip.text, clip.speaker))
        if time.monotonic() - said_s > _SAY_EVERY_S:
            said_s = time.monotonic()
            logger.info("%s: heard %d of %d clips", part, len(found), total)
    return found


def _voice(recording: Recording, accent: str, folder: Path) -> Voice:
    """A voice whose stored prompt goes to a folder that is thrown away: the next checkpoint hears it anew."""
    try:
        digest = hashlib.sha256(recording.audio.read_bytes() + recording.text.encode()).hexdigest()
    except OSError as error:
        raise VoiceError(f"cannot be read ({error})", where=str(recording.audio)) from error
    own = folder / digest[:16]
    own.mkdir(exist_ok=True)
    return Voice(recording.speaker, recording.audio, digest, recording.text, "en", folder=own, accent=accent)
