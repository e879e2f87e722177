"""Utterances for tests of batched decoding: three voices, many lengths and settings; and what each says alone."""

from __future__ import annotations

import torch

from omnitts.models.mgm_omni.feed_table import schedule
from omnitts.models.mgm_omni.generate import SpeechResult, SpeechSequence, generate
from omnitts.models.mgm_omni.prompt import SpeechPrompt
from omnitts.models.mgm_omni.sampler import Sampling
from omnitts.models.mgm_omni.speech_lm import SpeechLM
from omnitts.models.mgm_omni.speech_slots import Entry, prefill
from omnitts.models.mgm_omni.vocabulary import SpeechVocabulary


def utterances(number: int) -> list[tuple[SpeechPrompt, Sampling, int]]:
    """Three voices; texts, settings, seeds and row limits of many kinds."""
    random = torch.Generator().manual_seed(11)
    voices = [torch.randint(0, 800, (length, 5), generator=random) for length in (7, 20, 39)]
    made = []
    for i in range(number):
        length = int(torch.randint(3, 40, (1,), generator=random))
        text = tuple(torch.randint(20, 800, (length,), generator=random).tolist())
        sampling = Sampling(
            temperature=(0.0, 0.3, 0.8)[i % 3],
            top_k=(50, 0, 20)[i % 3],
            top_p=(1.0, 0.9)[i % 2],
            repetition_penalty=(1.0, 1.0, 1.1)[i % 3],
            seed=i,
        )
        made.append((SpeechPrompt(voices[i % 3], text), sampling, 4 + i % 13))
    return made


def spoken_alone(model: SpeechLM, vocabulary: SpeechVocabulary, number: int) -> list[SpeechResult]:
    """Each alone, through the plain loop."""
    results = []
    for prompt, sampling, max_rows in utterances(number):
        sequence = SpeechSequence.start(prompt, vocabulary, sampling, max_rows=max_rows)
        ((_, result),) = generate(model, [sequence])
        results.append(result)
    return results


def make_entries(model: SpeechLM, vocabulary: SpeechVocabulary, number: int) -> list[Entry]:
    made = utterances(number)
    prefixes = prefill(model, [made[voice][0].rows for voice in range(3)])
    return [
        Entry(prefixes[i % 3], schedule(vocabulary, prompt.text_ids), sampling, max_rows + 1)
        for i, (prompt, sampling, max_rows) in enumerate(made)
    ]
