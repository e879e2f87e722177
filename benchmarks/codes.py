"""What the parts of a training run keep of speech, before flow and speech LM exist: words and likeness, by numbers.

    python benchmarks/codes.py RUN --clips heldout/speech.jsonl --limit 12

Each clip is heard three times: as it is; its own mel through the run's vocoder; and the mel that the tokenizer's
reader rebuilds from the clip's codes (and its average sound) through the same vocoder. The last tells how clearly a
flow and a speech LM on these codes can speak. Clips should be of sentences that the run never met. Prints WER
(whisper-base), resemblyzer similarity to the voice's middle, and the share of wrong labels read from the codes.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

import torch
from rapidfuzz.distance import Levenshtein

from omnitts.audio import Waveform, load
from omnitts.models.codec.hift import Hift
from omnitts.models.codec.loading import hift_state
from omnitts.models.reading.labels import Speller, unblank
from omnitts.pipeline.check.asr_models import find_asr_model
from omnitts.pipeline.check.similarity import SpeakerEncoder
from omnitts.pipeline.check.transcribe import Transcriber
from omnitts.training.checkpoint import load_weights
from omnitts.training.codec_settings import hift_config_of
from omnitts.training.corpus import features_of_wave
from omnitts.training.export import vocoder_state
from omnitts.training.hearing import open_ears
from omnitts.training.listening import Ears, Heard, summary
from omnitts.training.manifest import read_recordings
from omnitts.training.run_folder import RunFolder
from omnitts.training.store import KINDS, WAVE_RATE
from omnitts.training.tokenizer import STAGE, open_stage


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=0, help="clips at most; 0: all")
    parser.add_argument("--details", action="store_true", help="print what was heard of each clip")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    run = RunFolder(options.run)
    recipe = run.recipe()
    stage = open_stage(run)
    recogniser = open_ears().lower(recipe.tokenizer.ear_layers) if recipe.tokenizer.ear_layers else None
    load_weights(stage.networks, run.stage(STAGE), recipe.tokenizer.plan)
    tokenizer, speller = stage.tokenizer, Speller(recipe.tokenizer.labels)
    vocoder = Hift(hift_config_of(recipe.vocoder)).eval()
    vocoder.load_state_dict(hift_state(vocoder_state(run)[0]))
    clips = read_recordings(options.clips)
    ears = Ears(Transcriber(find_asr_model("base")), SpeakerEncoder())
    ears.learn_voices([(clip.speaker, load(clip.audio)) for clip in clips])
    heard: dict[str, list[Heard]] = defaultdict(list)
    wrong = labels = 0
    for clip in clips[: options.limit or None]:
        wave = load(clip.audio, WAVE_RATE)
        num_codes = len(wave) // KINDS["wave"].frames
        features = features_of_wave(wave.samples[: num_codes * KINDS["wave"].frames])
        sound, mel = features["log_mel"][None].float(), features["mel"][None].float()
        with torch.no_grad():
            if recogniser is not None:
                sound = recogniser(sound.transpose(1, 2))
            rounded = tokenizer.encoder(sound, torch.tensor([KINDS["log_mel"].frames * num_codes]))
            logits, rebuilt = tokenizer.read(rounded, mel, torch.tensor([num_codes]))
        wanted = stage.alphabet.labels(speller.spell(clip.text, clip.accent))
        wrong += Levenshtein.distance(unblank(logits[0].argmax(-1).tolist()), wanted)
        labels += len(wanted)
        heard["originals"].append(ears.listen(clip.id, wave, clip.text, clip.speaker))
        for part, frames in (("vocoder", mel), ("codes and vocoder", rebuilt)):
            made = vocoder([frames[0].T.contiguous()], [torch.Generator().manual_seed(0)])[0].wave
            heard[part].append(ears.listen(clip.id, Waveform(made.numpy(), WAVE_RATE), clip.text, clip.speaker))
            if options.details:
                print(f"{part}: {clip.text} | {heard[part][-1].heard}")
    figures = {part: summary(found) for part, found in heard.items()}
    if options.json:
        print(json.dumps({**figures, "label_errors": wrong / max(1, labels)}))
        return
    for part, values in figures.items():
        print(f"{part}: " + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items()))
    print(f"wrong labels read from the codes: {wrong / max(1, labels):.3f}")


if __name__ == "__main__":
    main()
