"""Speech tokenizer stage: trains the network on the cache, exports the ONNX file, codes the corpus, finds silence.

Writes into RUN/tokenizer: checkpoint, losses, speech_tokenizer_v2.onnx, codes.bin (int16, in the cache's order) and
silence.json. Restarts at every one of these.
"""

from __future__ import annotations

import logging
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
from omnitts.training.loop import Losses, train
from omnitts.training.onnx_export import export
from omnitts.training.preparing import Batch
from omnitts.training.reading import keep_reader
from omnitts.training.recipe import TokenizerRecipe
from omnitts.training.run_folder import RunFolder, write_json
from omnitts.training.silence import measure_silence
from omnitts.training.store import KINDS, CorpusStore
from omnitts.training.tables import sent
from omnitts.training.tokenizer_network import ExportedTokenizer, SpeechTokenizer

logger = logging.getLogger(__name__)

STAGE: Final = "tokenizer"
CODES: Final = "codes.bin"
SILENCE: Final = "silence.json"
_CODED_AT_ONCE_S: Final = 600.0
_CODED_ALONE_ON: Final = ("cpu",)  # kinds of device where a batch gains nothing


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
        return batches_of(self._usable(self._corpus.validation()), self._seconds, self._recipe.plan.batch_s, 0, 0)

    def losses(self, batch: Batch, step: int) -> Losses:
        device = self.tokenizer.mel_out.weight.device
        heard, mel, states, codes_of = self._clips(batch)  # (B, frames, width)
        heard, mel, states = (rows.to(device, non_blocking=True) for rows in (heard, mel, states))
        num_codes = sent(codes_of, device)
        rounded = self.tokenizer.encoder(heard, KINDS["log_mel"].frames * num_codes)
        logits, rebuilt = self.tokenizer.read(rounded, mel, num_codes)
        targets = [self._labels[i] for i in batch]
        spelling = F.ctc_loss(  # which asks for lengths on the CPU, wherever it is computed
            logits.float().log_softmax(-1).transpose(0, 1),
            sent([label for labels in targets for label in labels], device),
            torch.tensor(codes_of),
            torch.tensor([len(labels) for labels in targets]),
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

    def _clips(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor, list[int]]:
        """What the tokenizer hears of clips, the mel and the recogniser's states that it should rebuild; their codes.

        Padded. In training never twice the same; without a recogniser its states have no width.
        """
        if self._recipe.augment and self.tokenizer.training:
            clips = [augmented(*self._clip(index), Augmentation()) for index in batch]
            heard, mel, states = (_padded(list(rows)) for rows in zip(*clips, strict=True))
            return heard, mel, states, [len(rows) // KINDS["mel"].frames for _, rows, _ in clips]
        mel = self._corpus.padded("mel", self._corpus.whole(batch))
        states = self._states.padded(batch) if self._states else mel[..., :0]
        return self._heard(batch), mel, states, [self._corpus.utterances[index].num_codes for index in batch]

    def _clip(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """Log-mel, mel and states of a clip as it is."""
        log_mel, mel = (self._corpus.read(kind, index) for kind in ("log_mel", "mel"))
        return log_mel, mel, self._states.read(index) if self._states else mel[:, :0]

    def _heard(self, batch: Batch) -> Tensor:
        """What the encoder is given of clips, padded: a recogniser's states, or log-mel."""
        return self._ears.padded(batch) if self._ears else self._corpus.padded("log_mel", self._corpus.whole(batch))

    @torch.inference_mode()
    def codes(self) -> NDArray[np.int16]:
        """The corpus in codes, in the cache's order: those of the exported file but for its rounding.

        Coded where the network is: on a GPU many clips at a time, in whole float32.
        """
        encoder, utterances = self.tokenizer.encoder, self._corpus.utterances
        device = encoder.narrow.weight.device
        at_once_s = 0.0 if device.type in _CODED_ALONE_ON else _CODED_AT_ONCE_S
        codes = np.zeros(self._corpus.num_codes, np.int16)
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            for batch in batches_of(range(len(utterances)), self._seconds, at_once_s, 0, 0):
                lengths = KINDS["log_mel"].frames * sent([utterances[i].num_codes for i in batch], device)
                rows = encoder.quantiser.codes(encoder(self._heard(batch).to(device), lengths)).cpu().numpy()
                for index, own in zip(batch, rows, strict=True):
                    first, last = self._corpus.codes_at(index)
                    codes[first:last] = own[: last - first]
        return codes

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
    stage = open_stage(run, device)
    train(stage, recipe.tokenizer.plan, run.stage(STAGE), recipe.seed, device=device, steps=steps)
    if steps is not None and steps < recipe.tokenizer.plan.steps:
        return
    finish_tokenizer(run, stage)


def open_stage(run: RunFolder, device: str = "cpu") -> TokenizerStage:
    """The stage with all that it hears; a recogniser hears the corpus first if the recipe wants one."""
    recipe, corpus = run.recipe(), CorpusStore(run.corpus, device)
    states = ears = None
    if recipe.tokenizer.asr_weight or recipe.tokenizer.ear_layers:
        states, ears = hear(corpus, run.stage(STAGE), recipe.tokenizer.ear_layers, device)
    return TokenizerStage(corpus, recipe.tokenizer, recipe.seed, states, ears)


def finish_tokenizer(run: RunFolder, stage: TokenizerStage) -> None:
    """Codes the corpus where the network was trained, exports it, keeps its reader and measures silence."""
    codes = stage.codes()
    corpus, folder, tokenizer = CorpusStore(run.corpus), run.stage(STAGE), stage.tokenizer.cpu()
    export_tokenizer(tokenizer, run.recipe().tokenizer, folder / TOKENIZER)
    keep_reader(tokenizer.reader, stage.alphabet, run.recipe().tokenizer.labels, folder)
    keep_mel_reader(average_reader(tokenizer, run.recipe().tokenizer, corpus), folder)
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

    codes = np.zeros(corpus.num_codes, np.int16)
    for index in range(len(corpus.utterances)):
        feature = corpus.read("log_mel", index).T.unsqueeze(0).contiguous().numpy()
        ids: NDArray[Any] = session.run(feature, np.array([feature.shape[2]], np.int32)).reshape(-1)
        first, last = corpus.codes_at(index)
        codes[first:last] = ids[: last - first]
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
