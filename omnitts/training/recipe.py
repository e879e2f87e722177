"""Recipe: the sizes and the training plan of every stage, as frozen dataclasses; named recipes and JSON overrides.

A name (`toy`, `cpu`, `gpu`) or a JSON file goes in, a `Recipe` comes out. Numbers only: knows no tensors and no data.
The budgets behind the numbers are worked out in docs/training.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from omnitts.errors import UsageError

AVERAGE_VOICE: Final = "average voice"
PRIORS: Final = ("mel", AVERAGE_VOICE)


@dataclass(frozen=True)
class Plan:
    """How long and how fast a stage learns. ``batch_s``: seconds of (padded) audio per step; 0 keeps all of a kind."""

    steps: int
    batch_s: float
    learning_rate: float
    warmup_steps: int = 200
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    average: float = 0.0  # decay of the running average of the weights that is exported; 0 exports the last ones
    bf16: bool = False  # matrix products in bfloat16 (autocast); weights, optimiser and losses stay float32
    save_every: int = 200
    validate_every: int = 500


@dataclass(frozen=True)
class TokenizerRecipe:
    """Speech tokenizer. ``levels``: values per FSQ dimension; their product is the number of codes."""

    plan: Plan
    levels: tuple[int, ...] = (8, 5, 5, 5)
    width: int = 256
    blocks: int = 6
    reader_blocks: int = 3
    mel_blocks: int = 3
    mel_weight: float = 1.0
    asr_weight: float = 0.0  # of rebuilding what whisper's encoder hears (`hearing`)
    ear_layers: int = 0  # hears with that many layers of whisper's encoder instead of convolutions of its own
    dropout: float = 0.0  # of what the spelling reader hears
    augment: bool = False  # other paces, throats and levels, masks (`augment`)
    labels: str = "phonemes"  # or characters


@dataclass(frozen=True)
class SpeakerRecipe:
    """Speaker encoder; ``size`` numbers per voice. Crops of ``crop_s`` seconds are compared with the whole clip."""

    plan: Plan
    size: int = 192
    width: int = 192
    blocks: int = 4
    crop_s: tuple[float, float] = (1.6, 4.0)


@dataclass(frozen=True)
class FlowRecipe:
    """Sizes in the words of cosyvoice2.yaml."""

    plan: Plan
    input_size: int = 192
    output_size: int = 192
    attention_heads: int = 4
    linear_units: int = 512
    num_blocks: int = 4
    num_up_blocks: int = 2
    channels: int = 192
    head_dim: int = 48
    num_heads: int = 4
    n_blocks: int = 1
    num_mid_blocks: int = 6
    prior: str = "mel"  # of PRIORS, what mu is drawn to (arXiv 2105.06337): the clip's mel, or that of an average voice
    prior_weight: float = 0.0  # of the distance between the two: mu is a mel from early on
    guidance: float = 0.7
    num_steps: int = 10  # of the solver when it speaks
    temperature: float = 1.0  # how loud the noise is that it starts from then: less is clearer, and evener
    adaptation_frames: float = 0.0  # adapts to each voice when it speaks, with this prior (`adaptation.fitted`); 0: not
    drop_condition: float = 0.2  # as in the literature of classifier-free guidance
    prompt_share: float = 0.7  # of the rows have a prompt, of up to ``prompt_most`` of their length
    prompt_most: float = 0.4
    streaming_share: float = 0.5
    longest_s: float = 12.0
    other_prompt_share: float = 0.0  # of the rows with a prompt have the end of another clip of the speaker as theirs
    speaker_share: float = 0.0  # no speaker has more than this share of what all others say in a pass; 0: as they come
    perception_weight: float = 0.0  # of how far from the clip's what is heard in the guess is (`perception`)
    voice_weight: float = 0.0  # of how far from the clip's the voice is that is heard in the guess
    pronounced_share: float = 0.0  # of the rows hear the pronouncer's codes, which must be trained before


@dataclass(frozen=True)
class VocoderRecipe:
    """HiFT sizes in the words of cosyvoice2.yaml; crops of ``crop_frames`` mel frames (20 ms each)."""

    plan: Plan
    base_channels: int = 192
    f0_channels: int = 128
    num_harmonics: int = 8
    upsample_rates: tuple[int, ...] = (8, 5, 3)
    upsample_kernels: tuple[int, ...] = (16, 11, 7)
    block_kernels: tuple[int, ...] = (3, 7, 11)
    crop_frames: int = 40
    spectral_weight: float = 1.0
    mel_weight: float = 5.0
    pitch_weight: float = 1.0
    adversarial_from: int | None = None  # step from which discriminators take part; None leaves them out
    discriminator_channels: int = 16
    fused: bool = False  # activations compiled by torch (needs a C++ compiler); the same numbers, a third faster


@dataclass(frozen=True)
class TextRecipe:
    """Byte-level BPE of ``form``: letters, as people write, or phonemes (`models.mgm_omni.text_form`)."""

    vocabulary: int = 4096
    dropout: float = 0.1
    form: str = "letters"


@dataclass(frozen=True)
class SpeechLmRecipe:
    """Qwen3 sizes of backbone and adapter, and how rows are put together."""

    plan: Plan
    hidden_size: int = 384
    intermediate_size: int = 1024
    num_layers: int = 6
    adapter_layers: int = 2
    num_heads: int = 6
    num_kv_heads: int = 3
    head_dim: int = 64
    pre_pad: int = 4
    dropout: float = 0.1
    own_share: float = 0.0  # of the rows are, in the input, what the model itself would have said there
    own_from: float = 0.0  # share of the plan from which on own_share and spelling_weight act: before, it says nothing
    joined_share: float = 0.35  # of the examples are several utterances in a row, most of more than one chunk
    joined_most: int = 6
    reference_s: tuple[float, float] = (2.0, 10.0)
    alone_epochs: int = 0  # the first passes speak single utterances: short ones show sooner how sound follows text
    guide_weight: float = 0.0  # of telling which text tokens sound now and next (needs the tokenizer's spelling reader)
    spelling_weight: float = 0.0  # of what the drawn codes spell (needs the tokenizer's spelling reader)
    takes_share: float = 0.0  # of the seconds are takes (`omnitts train takes`), the rest recorded
    learn_reference: bool = False  # the codes of the reference too: the same task, its voice unknown
    speaker_share: float = 0.0  # as in `FlowRecipe`
    fused: bool = False  # layers compiled by torch (needs a C++ compiler)


@dataclass(frozen=True)
class PronouncerRecipe:
    """Convolutions over the codes of ``longest_s`` seconds at most; ``speaker_share`` as in `FlowRecipe`."""

    plan: Plan
    width: int = 192
    blocks: int = 6
    dropout: float = 0.1
    longest_s: float = 4.0
    speaker_share: float = 0.0
    spelling_weight: float = 0.0  # of what the drawn codes spell to the tokenizer's reader


@dataclass(frozen=True)
class DurationsRecipe:
    """How long sounds last; ``speaker_share`` as in `FlowRecipe`."""

    plan: Plan
    width: int = 128
    blocks: int = 4
    dropout: float = 0.2
    speaker_share: float = 0.0


@dataclass(frozen=True)
class PerceptionRecipe:
    """What judges the flow's mel where the flow's weights ask for it; ``speaker_share`` as in `FlowRecipe`."""

    plan: Plan
    width: int = 160
    blocks: int = 5
    dropout: float = 0.05
    speaker_share: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """All stages. Equal recipes, corpora and seeds give equal weights on one machine."""

    tokenizer: TokenizerRecipe
    speaker: SpeakerRecipe
    flow: FlowRecipe
    vocoder: VocoderRecipe
    speech_lm: SpeechLmRecipe
    pronouncer: PronouncerRecipe
    durations: DurationsRecipe
    perception: PerceptionRecipe
    text: TextRecipe = field(default_factory=TextRecipe)
    seed: int = 0


CPU: Final = Recipe(
    tokenizer=TokenizerRecipe(
        Plan(5000, 40.0, 1.5e-3, average=0.998, bf16=True),
        levels=(8, 5, 5, 4),
        width=192,
        blocks=3,
        reader_blocks=1,
        mel_weight=0.5,
        asr_weight=2.0,
        ear_layers=4,
        dropout=0.1,
    ),
    speaker=SpeakerRecipe(Plan(1500, 60.0, 1e-3, average=0.998, bf16=True)),
    flow=FlowRecipe(
        Plan(15_000, 24.0, 1e-3, warmup_steps=200, average=0.999, bf16=True),
        channels=160,
        head_dim=40,
        num_mid_blocks=4,
        prior=AVERAGE_VOICE,
        prior_weight=1.0,
        guidance=1.2,
        num_steps=5,  # a narrow flow says the same in 5 (docs/small-model.md)
        temperature=0.5,
        adaptation_frames=200.0,
        drop_condition=0.1,
        prompt_share=0.8,
        streaming_share=0.15,
        longest_s=6.0,
        other_prompt_share=0.75,
        speaker_share=0.25,
    ),
    vocoder=VocoderRecipe(
        Plan(4500, 8.0, 1.2e-3, average=0.998, bf16=True), base_channels=128, block_kernels=(3, 7), fused=True
    ),
    speech_lm=SpeechLmRecipe(
        Plan(40_000, 60.0, 1.5e-3, warmup_steps=400, weight_decay=0.05, average=0.999, bf16=True),
        intermediate_size=768,
        joined_share=0.5,
        learn_reference=True,
        speaker_share=0.5,
        alone_epochs=6,
        guide_weight=0.5,
    ),
    text=TextRecipe(vocabulary=2048, dropout=0.08, form="phonemes"),
    pronouncer=PronouncerRecipe(
        Plan(1500, 128.0, 2e-3, average=0.99, bf16=True, validate_every=250), dropout=0.2, speaker_share=0.4
    ),
    durations=DurationsRecipe(Plan(600, 320.0, 2e-3, average=0.99, validate_every=100), speaker_share=0.4),
    perception=PerceptionRecipe(Plan(1200, 48.0, 2e-3, average=0.99, bf16=True, validate_every=300), speaker_share=0.4),
)
GPU: Final = replace(  # more and larger steps, and a speech LM of twice the size
    CPU,
    tokenizer=replace(CPU.tokenizer, plan=Plan(10_000, 240.0, 1.5e-3, average=0.999, bf16=True, save_every=1000)),
    speaker=replace(CPU.speaker, plan=Plan(5000, 240.0, 1e-3, average=0.999, bf16=True, save_every=1000)),
    flow=replace(
        CPU.flow, plan=Plan(20_000, 200.0, 1e-3, warmup_steps=500, average=0.999, bf16=True, save_every=1000)
    ),
    vocoder=replace(
        CPU.vocoder,
        plan=Plan(30_000, 48.0, 8e-4, average=0.999, bf16=True, save_every=1000),
        fused=False,
        adversarial_from=5000,
        discriminator_channels=24,
    ),
    speech_lm=replace(
        CPU.speech_lm,
        plan=Plan(
            40_000, 300.0, 1e-3, warmup_steps=1000, weight_decay=0.05, average=0.9995, bf16=True, save_every=2000,
            validate_every=2500,
        ),
        hidden_size=512,
        intermediate_size=1024,
        num_layers=8,
        num_heads=8,
        num_kv_heads=2,
        speaker_share=0.0,
        own_share=0.3,
        own_from=0.6,
        spelling_weight=2.0,
    ),
)  # fmt: skip
_TOY_PLAN: Final = Plan(16, 6.0, 3e-3, warmup_steps=2, save_every=8, validate_every=8)
TOY: Final = Recipe(
    tokenizer=TokenizerRecipe(_TOY_PLAN, (4, 4, 4), width=32, blocks=1, reader_blocks=1, mel_blocks=1),
    speaker=SpeakerRecipe(_TOY_PLAN, width=32, blocks=1),
    flow=FlowRecipe(
        _TOY_PLAN, 32, 32, 2, 64, num_blocks=1, num_up_blocks=1, channels=32, head_dim=16, num_heads=2, num_mid_blocks=1
    ),
    vocoder=VocoderRecipe(replace(_TOY_PLAN, batch_s=2.0), 32, 16, block_kernels=(3,), crop_frames=16),
    speech_lm=SpeechLmRecipe(
        _TOY_PLAN, 64, 128, num_layers=1, adapter_layers=1, num_heads=2, num_kv_heads=1, head_dim=32
    ),
    text=TextRecipe(vocabulary=320),
    pronouncer=PronouncerRecipe(_TOY_PLAN, width=32, blocks=1),
    durations=DurationsRecipe(_TOY_PLAN, width=32, blocks=1),
    perception=PerceptionRecipe(_TOY_PLAN, width=32, blocks=1),
)
RECIPES: Final[Mapping[str, Recipe]] = {"toy": TOY, "cpu": CPU, "gpu": GPU}
_Record = TypeVar("_Record")


def find_recipe(name: str) -> Recipe:
    """A recipe by name, or a JSON file: ``{"base": "cpu", "flow": {"plan": {"steps": 9000}}}``.

    Raises `UsageError` for an unknown name or field, or a value of another type.
    """
    if name in RECIPES:
        return RECIPES[name]
    path = Path(name)
    if not path.is_file():
        raise UsageError(
            f"no recipe is called {name!r}", where="--recipe", hint=f"{', '.join(RECIPES)}, or a JSON file"
        )
    try:
        changes = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"the recipe cannot be read ({error})", where=name) from error
    return recipe_from(changes, name)


def recipe_from(changes: Mapping[str, Any], where: str) -> Recipe:
    """The recipe of a JSON object: that of its ``base`` with the given fields changed."""
    base = changes.get("base", "cpu") if isinstance(changes, Mapping) else None
    if base not in RECIPES:
        raise UsageError(f"base is {base!r}", where=where, hint=f"one of {', '.join(RECIPES)}")
    return _changed(RECIPES[base], {name: value for name, value in changes.items() if name != "base"}, where, "")


def recipe_json(recipe: Recipe) -> dict[str, Any]:
    """All fields as JSON data; `recipe_from` gives the recipe back."""
    return asdict(recipe)


def _changed(record: _Record, changes: Mapping[str, Any], where: str, path: str) -> _Record:
    if not isinstance(changes, Mapping):
        raise UsageError(f"{path or 'the recipe'} is not a JSON object", where=where)
    known = {item.name: getattr(record, item.name) for item in fields(record)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for name, value in changes.items():
        full = f"{path}.{name}".lstrip(".")
        if name not in known:
            raise UsageError(f"a recipe has no {full}", where=where, hint=f"it has {', '.join(known)}")
        old = known[name]
        if is_dataclass(old):
            values[name] = _changed(old, value, where, full)
        elif isinstance(old, tuple):
            if not isinstance(value, list | tuple):
                raise UsageError(f"{full} is {value!r}, not a list", where=where)
            values[name] = tuple(value)
        elif isinstance(old, str) != isinstance(value, str) or isinstance(value, list | dict):
            raise UsageError(f"{full} is {value!r}", where=where, hint=f"something like {old!r}")
        else:
            values[name] = value
    return replace(record, **values)  # type: ignore[type-var]
