"""Speech tokenizer stage: trains the network on the cache, exports the ONNX file, codes the corpus, finds silence.

Writes into RUN/tokenizer: checkpoint, losses, speech_tokenizer_v2.onnx, codes.bin (int16, in the cache's order) and
silence.json. Restarts at every one of these.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein
from torch import Tensor, nn

from omnitts.errors import InputError, UsageError
from omnitts.models.codec.loading import TOKENIZER
from omnitts.models.codec.onnx_session import OnnxNetwork
from omnitts.models.reading.labels import Alphabet, Speller, unblank
from omnitts.training.augment import Augmentation, augmented
from omnitts.training.average_voice import average_reader, keep_mel_reader
from omnitts.training.batching import batches_of
from omnitts.training.hearing import StateTable, hear, open_ears
from omnitts.training.loop import Batch, Losses, train
from omnitts.training.onnx_export import export
from omnitts.training.reading import keep_reader
from omnitts.training.recipe import TokenizerRecipe
from omnitts.training.run_folder import RunFolder, write_json
from omnitts.training.silence import measure_silence
from omnitts.training.store import KINDS, CorpusStore
from omnitts.training.tokenizer_network import ExportedTokenizer, SpeechTokenizer

logger = logging.getLogger(__name__)

STAGE: Final = "tokenizer"
CODES: Final = "codes.bin"
SILENCE: Final = "silence.json"


class TokenizerStage:
    """The loop's view of the speech tokenizer."""

    name = STAGE

    def __init__(
        self,
        corpus: CorpusStore,
        recipe: TokenizerRecipe,
        seed: int,
        states: StateTable | None = None,
        ears: StateTable | None = None,
    ) -> None:
        if recipe.augment and recipe.ear_layers:
            hint = "set tokenizer.augment to false, or tokenizer.ear_layers to 0"
            raise UsageError("what a recogniser heard once cannot be augmented", where="recipe", hint=hint)
        self._corpus, self._recipe, self._seed, self._states, self._ears = corpus, recipe, seed, states, ears
        speller = Speller(recipe.labels)
        spellings = [speller.spell(utterance.text, utterance.accent) for utterance in corpus.utterances]
        self.alphabet = Alphabet.of(spellings)
        self._labels = [self.alphabet.labels(spelling) for spelling in spellings]
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.tokenizer = SpeechTokenizer(recipe, self.alphabet.size, ears.width if ears else 0)
        if ears:
            mean, spread = ears.spread()
            self.tokenizer.encoder.ears.load_state_dict({"mean": mean, "spread": spread}, strict=False)
        self.networks: nn.Module = nn.ModuleDict({"tokenizer": self.tokenizer})
        self.facts: dict[str, Any] = {
            "levels": recipe.levels,
            "width": recipe.width,
            "labels": "".join(self.alphabet.symbols),
            "utterances": len(corpus.utterances),
        }

    def batches(self, epoch: int) -> list[Batch]:
        return list(
            batches_of(
                self._usable(self._corpus.training()), self._seconds, self._recipe.plan.batch_s, self._seed, epoch
            )
        )

    def validation(self) -> list[Batch]:
        return list(batches_of(self._usable(self._corpus.validation()), self._seconds, self._recipe.plan.batch_s, 0, 0))

    def losses(self, batch: Batch, step: int) -> Losses:
        device = self.tokenizer.mel_out.weight.device
        clips = [self._clip(index) for index in batch]
        num_codes = torch.tensor([len(mel) // KINDS["mel"].frames for _, mel, _ in clips], device=device)
        heard, mel, states = (_padded(list(rows)).to(device) for rows in zip(*clips, strict=True))  # (B, frames, width)
        rounded = self.tokenizer.encoder(heard, KINDS["log_mel"].frames * num_codes)
        logits, rebuilt = self.tokenizer.read(rounded, mel, num_codes)
        targets = [self._labels[i] for i in batch]
        spelling = F.ctc_loss(
            logits.float().log_softmax(-1).transpose(0, 1),
            torch.tensor([label for labels in targets for label in labels], device=device),
            num_codes,
            torch.tensor([len(labels) for labels in targets], device=device),
            zero_infinity=True,
        )
        inside = (torch.arange(mel.shape[1], device=device)[None] < 2 * num_codes[:, None]).unsqueeze(-1)
        likeness = _mean_inside((rebuilt - mel).abs(), inside)
        losses = {"loss": spelling + self._recipe.mel_weight * likeness, "spelling": spelling, "mel": likeness}
        if self._states is not None:
            off = _mean_inside((self.tokenizer.asr_states(rounded, num_codes) - states).square(), inside)
            losses |= {"loss": losses["loss"] + self._recipe.asr_weight * off, "asr": off}
        if not self.tokenizer.training:
            losses |= self._measures(logits, rounded, num_codes, targets)
        return losses

    def _clip(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """What the tokenizer hears of a clip, and the mel and the recogniser's states that it should rebuild.

        In training never twice the same; without a recogniser its states have no width.
        """
        heard, mel = self._heard(index), self._corpus.read("mel", index)
        states = self._states.read(index) if self._states else mel[:, :0]
        if self._recipe.augment and self.tokenizer.training:
            return augmented(heard, mel, states, Augmentation())
        return heard, mel, states

    def _heard(self, index: int) -> Tensor:
        """What the encoder is given of a clip: a recogniser's states, or log-mel."""
        return self._ears.read(index) if self._ears else self._corpus.read("log_mel", index)

    def codes(self) -> NDArray[np.int16]:
        """The corpus in codes, in the cache's order: those of the exported file but for its rounding."""
        encoder = self.tokenizer.encoder

        def codes_of(index: int) -> NDArray[Any]:
            length = torch.tensor([KINDS["log_mel"].frames * self._corpus.utterances[index].num_codes])
            with torch.inference_mode():
                own: NDArray[Any] = encoder.quantiser.codes(encoder(self._heard(index)[None], length))[0].numpy()
            return own

        return _coded(self._corpus, codes_of)

    def _measures(self, logits: Tensor, rounded: Tensor, num_codes: Tensor, targets: list[list[int]]) -> Losses:
        """Label error rate of the greedy reading, and how many codes are in use (2 to the entropy)."""
        codes = self.tokenizer.encoder.quantiser.codes(rounded)
        used = torch.cat([row[:length] for row, length in zip(codes, num_codes.tolist(), strict=True)])
        share = torch.bincount(used).float() / len(used)
        entropy = -(share * share.clamp(min=1e-9).log2()).sum()
        best = logits.argmax(-1).tolist()
        errors = [
            Levenshtein.distance(unblank(row[:length]), target)
            for row, length, target in zip(best, num_codes.tolist(), targets, strict=True)
        ]
        rate = sum(errors) / max(1, sum(map(len, targets)))
        return {"label errors": torch.tensor(rate), "codes in use": 2.0**entropy}

    def _seconds(self, index: int) -> float:
        return self._corpus.utterances[index].seconds

    def _usable(self, indices: list[int]) -> list[int]:
        """Utterances whose labels fit into their codes; CTC can spell no others."""
        return [i for i in indices if 0 < len(self._labels[i]) <= self._corpus.utterances[i].num_codes]


def train_tokenizer(run: RunFolder, *, device: str = "cpu", steps: int | None = None) -> None:
    """The whole stage; returns early (without export) when ``steps`` stops it before the plan's end."""
    recipe = run.recipe()
    stage = open_stage(run)
    train(stage, recipe.tokenizer.plan, run.stage(STAGE), recipe.seed, device=device, steps=steps)
    if steps is not None and steps < recipe.tokenizer.plan.steps:
        return
    finish_tokenizer(run, stage)


def open_stage(run: RunFolder) -> TokenizerStage:
    """The stage with all that it hears; a recogniser hears the corpus first if the recipe wants one."""
    recipe, corpus = run.recipe(), CorpusStore(run.corpus)
    states = ears = None
    if recipe.tokenizer.asr_weight or recipe.tokenizer.ear_layers:
        states, ears = hear(corpus, run.stage(STAGE), recipe.tokenizer.ear_layers)
    return TokenizerStage(corpus, recipe.tokenizer, recipe.seed, states, ears)


def finish_tokenizer(run: RunFolder, stage: TokenizerStage) -> None:
    """Exports the trained network, keeps its reader, codes the corpus and measures silence."""
    corpus, folder, tokenizer = CorpusStore(run.corpus), run.stage(STAGE), stage.tokenizer.cpu()
    export_tokenizer(tokenizer, run.recipe().tokenizer, folder / TOKENIZER)
    keep_reader(tokenizer.reader, stage.alphabet, run.recipe().tokenizer.labels, folder)
    keep_mel_reader(average_reader(tokenizer, run.recipe().tokenizer, corpus), folder)
    codes = stage.codes()
    keep_codes(codes, folder / CODES)
    silence = measure_silence(corpus, codes, tokenizer.encoder.quantiser.num_codes)
    write_json(folder / SILENCE, silence.as_json())
    logger.info("tokenizer: silence is code %d, %d blank codes", silence.code, len(silence.blanks))


def export_tokenizer(tokenizer: SpeechTokenizer, recipe: TokenizerRecipe, path: Path) -> None:
    """Writes speech_tokenizer_v2.onnx: feats (1, 128, T), feats_length (1,) int32 -> indices (1, K) int32."""
    recogniser = open_ears().lower(recipe.ear_layers) if recipe.ear_layers else None
    network = ExportedTokenizer(tokenizer.encoder, recogniser).cpu().eval()
    example = (torch.zeros(1, 128, 64), torch.tensor([64], dtype=torch.int32))
    export(network, example, path, inputs=("feats", "feats_length"), output="indices", dynamic={"feats": 2})


def code_corpus(corpus: CorpusStore, network: Path) -> NDArray[np.int16]:
    """Codes of every utterance, by an exported file, as one int16 array in the cache's order."""
    session = OnnxNetwork(network, num_inputs=2, num_threads=torch.get_num_threads())

    def codes_of(index: int) -> NDArray[Any]:
        feature = corpus.read("log_mel", index).T.unsqueeze(0).contiguous().numpy()
        ids: NDArray[Any] = session.run(feature, np.array([feature.shape[2]], np.int32))
        return ids.reshape(-1)

    return _coded(corpus, codes_of)


def _coded(corpus: CorpusStore, codes_of: Callable[[int], NDArray[Any]]) -> NDArray[np.int16]:
    """The codes of each utterance by index, one behind the other."""
    codes = np.zeros(corpus.num_codes, np.int16)
    for index, utterance in enumerate(corpus.utterances):
        own = codes[utterance.offset : utterance.offset + utterance.num_codes]
        own[:] = codes_of(index)[: len(own)]
    return codes


def keep_codes(codes: NDArray[np.int16], path: Path) -> None:
    """Written aside first."""
    aside = path.with_suffix(".part")
    codes.tofile(aside)
    aside.replace(path)


def read_codes(run: RunFolder, corpus: CorpusStore) -> NDArray[np.int16]:
    """The corpus in codes. Raises `InputError` when the tokenizer stage is not finished or knew another corpus."""
    path = run.need(STAGE, CODES)
    codes = np.fromfile(path, np.int16)
    if len(codes) != corpus.num_codes:
        hint = "run `omnitts train tokenizer` again: the corpus has changed"
        raise InputError(f"{len(codes)} codes for a corpus of {corpus.num_codes}", where=str(path), hint=hint)
    return codes


def _mean_inside(values: Tensor, inside: Tensor) -> Tensor:
    """Mean of (B, F, W) over the frames (B, F, 1) inside their rows."""
    return values.masked_fill(~inside, 0.0).sum() / (inside.sum() * values.shape[2])


def _padded(rows: list[Tensor]) -> Tensor:
    return nn.utils.rnn.pad_sequence(rows, batch_first=True)
