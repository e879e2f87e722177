"""Sizes of the codec's networks, as frozen dataclasses read from the data of ``cosyvoice2.yaml``.

In: plain dicts (``hyperyaml.read``). Out: ``FlowConfig`` and ``HiftConfig``. A missing or unsupported value is
answered by name with a ``ModelError``; defaults stand only where the published file is silent because the network
fixes the value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from omnitts.errors import ModelError


@dataclass(frozen=True)
class EncoderConfig:
    """Token encoder (spec 3.2). ``chunk`` is in tokens; after the upsampling it is ``chunk * upsample`` frames."""

    input_size: int
    output_size: int
    attention_heads: int
    linear_units: int
    num_blocks: int
    num_up_blocks: int = 4
    lookahead: int = 3
    upsample: int = 2
    chunk: int = 25


@dataclass(frozen=True)
class EstimatorConfig:
    """Velocity estimator (spec 3.4). ``chunk`` is in mel frames."""

    in_channels: int
    out_channels: int
    channels: int
    head_dim: int
    num_heads: int
    num_blocks: int
    num_mid_blocks: int
    chunk: int = 50


@dataclass(frozen=True)
class FlowConfig:
    """Speech tokens to mel (spec 3). ``noise_frames`` is a constant of the solver, and ``num_steps`` is 10 (spec 3.3)
    unless a checkpoint of omnitts' own says otherwise (``cfm_params.n_timesteps``), as it may on how loud the noise is
    that it starts from (``cfm_params.temperature``, 1 in published ones). ``adaptation_frames``: flow and vocoder are
    adapted to every voice (`adaptation.fitted`); 0, as in published checkpoints: they are not.
    """

    vocab_size: int
    speaker_size: int
    mel_bins: int
    encoder: EncoderConfig
    estimator: EstimatorConfig
    guidance: float = 0.7
    num_steps: int = 10
    temperature: float = 1.0
    adaptation_frames: float = 0.0
    noise_frames: int = 30_000


@dataclass(frozen=True)
class HiftConfig:
    """Vocoder (spec 4.1). Kernels and dilations are per residual block, one triple of blocks per upsampling stage."""

    mel_bins: int
    channels: int
    f0_channels: int
    num_harmonics: int
    rate_hz: int
    sine_amplitude: float
    noise_std: float
    voiced_hz: float
    upsample_rates: tuple[int, ...]
    upsample_kernels: tuple[int, ...]
    n_fft: int
    hop: int
    block_kernels: tuple[int, ...]
    block_dilations: tuple[tuple[int, ...], ...]
    source_kernels: tuple[int, ...]
    source_dilations: tuple[tuple[int, ...], ...]
    slope: float = 0.1
    limit: float = 0.99

    @property
    def samples_per_frame(self) -> int:
        """Samples of sound per mel frame: 480 as published."""
        samples = self.hop
        for rate in self.upsample_rates:
            samples *= rate
        return samples


def flow_config(data: Mapping[str, Any], where: str) -> FlowConfig:
    """The ``flow`` entry of ``cosyvoice2.yaml`` -> sizes. ``where`` is the file's name, for the error."""
    flow = _Fields(data, where, "flow")
    encoder, decoder = flow.sub("encoder"), flow.sub("decoder")
    estimator = decoder.sub("estimator")
    solver = decoder.sub("cfm_params")
    solver = solver.sub("content") if solver.has("content") else solver
    flow.expect("output_type", "mel")
    encoder.expect("input_layer", "linear")
    encoder.expect("pos_enc_layer_type", "rel_pos_espnet")
    encoder.expect("selfattention_layer_type", "rel_selfattn")
    encoder.expect("use_cnn_module", False)
    encoder.expect("macaron_style", False)
    encoder.expect("normalize_before", True)
    estimator.expect("act_fn", "gelu")
    solver.expect("solver", "euler")
    solver.expect("t_scheduler", "cosine")
    channels = estimator.counts("channels")
    if len(channels) != 1:
        raise estimator.error("channels", f"has {len(channels)} stages; only one stage (no resampling) is supported")
    ratio = flow.count("token_mel_ratio", 2)
    if ratio != 2:
        raise flow.error("token_mel_ratio", f"is {ratio}; the encoder doubles its frames, so only 2 is supported")
    chunk = encoder.count("static_chunk_size", 25)
    config = FlowConfig(
        vocab_size=flow.count("vocab_size"),
        speaker_size=flow.count("spk_embed_dim"),
        mel_bins=flow.count("output_size"),
        guidance=solver.number("inference_cfg_rate"),
        num_steps=solver.count("n_timesteps", 10),
        temperature=solver.number("temperature", 1.0),
        adaptation_frames=flow.number("adaptation_frames", 0.0),
        encoder=EncoderConfig(
            input_size=encoder.count("input_size", flow.count("input_size")),
            output_size=encoder.count("output_size"),
            attention_heads=encoder.count("attention_heads"),
            linear_units=encoder.count("linear_units"),
            num_blocks=encoder.count("num_blocks"),
            num_up_blocks=encoder.count("num_up_blocks", 4),
            lookahead=flow.count("pre_lookahead_len", 3),
            upsample=ratio,
            chunk=chunk,
        ),
        estimator=EstimatorConfig(
            in_channels=estimator.count("in_channels"),
            out_channels=estimator.count("out_channels"),
            channels=channels[0],
            head_dim=estimator.count("attention_head_dim"),
            num_heads=estimator.count("num_heads"),
            num_blocks=estimator.count("n_blocks"),
            num_mid_blocks=estimator.count("num_mid_blocks"),
            chunk=estimator.count("static_chunk_size", chunk * ratio),
        ),
    )
    if not 0 < config.temperature <= 1:
        raise solver.error("temperature", f"is {config.temperature:g}, not above 0 and at most 1")
    if config.adaptation_frames < 0:
        raise flow.error("adaptation_frames", f"is {config.adaptation_frames:g}, below 0")
    if config.estimator.in_channels != 4 * config.mel_bins:
        raise estimator.error("in_channels", f"is {config.estimator.in_channels}, not four times output_size")
    return config


def hift_config(data: Mapping[str, Any], where: str) -> HiftConfig:
    """The ``hift`` entry of ``cosyvoice2.yaml`` -> sizes. ``where`` is the file's name, for the error."""
    hift = _Fields(data, where, "hift")
    stft, f0 = hift.sub("istft_params"), hift.sub("f0_predictor")
    config = HiftConfig(
        mel_bins=hift.count("in_channels", 80),
        channels=hift.count("base_channels"),
        f0_channels=f0.count("cond_channels"),
        num_harmonics=hift.count("nb_harmonics"),
        rate_hz=hift.count("sampling_rate"),
        sine_amplitude=hift.number("nsf_alpha"),
        noise_std=hift.number("nsf_sigma"),
        voiced_hz=hift.number("nsf_voiced_threshold"),
        upsample_rates=hift.counts("upsample_rates"),
        upsample_kernels=hift.counts("upsample_kernel_sizes"),
        n_fft=stft.count("n_fft"),
        hop=stft.count("hop_len"),
        block_kernels=hift.counts("resblock_kernel_sizes"),
        block_dilations=hift.count_lists("resblock_dilation_sizes"),
        source_kernels=hift.counts("source_resblock_kernel_sizes"),
        source_dilations=hift.count_lists("source_resblock_dilation_sizes"),
        slope=hift.number("lrelu_slope", 0.1),
        limit=hift.number("audio_limit", 0.99),
    )
    stages = len(config.upsample_rates)
    for name, entries in (
        ("upsample_kernel_sizes", config.upsample_kernels),
        ("source_resblock_kernel_sizes", config.source_kernels),
        ("source_resblock_dilation_sizes", config.source_dilations),
    ):
        if len(entries) != stages:
            raise hift.error(name, f"has {len(entries)} entries for {stages} upsample_rates")
    if len(config.block_kernels) != len(config.block_dilations):
        raise hift.error("resblock_dilation_sizes", "needs one list for each of resblock_kernel_sizes")
    return config


class _Fields:
    """Typed reads of one mapping; every failure names the file and the dotted key."""

    def __init__(self, data: object, where: str, path: str) -> None:
        self._where, self._path = where, path
        if not isinstance(data, Mapping):
            raise ModelError(f"{path} is missing or not a mapping", where=where)
        self._data: Mapping[str, Any] = data

    def error(self, key: str, trouble: str) -> ModelError:
        return ModelError(f"{self._path}.{key} {trouble}", where=self._where)

    def has(self, key: str) -> bool:
        return key in self._data

    def sub(self, key: str) -> _Fields:
        return _Fields(self._data.get(key), self._where, f"{self._path}.{key}")

    def expect(self, key: str, supported: object) -> None:
        """An option that changes the network: absent or the one supported value."""
        if self._data.get(key, supported) != supported:
            raise self.error(key, f"is {self._data[key]!r}; only {supported!r} is supported")

    def count(self, key: str, default: int | None = None) -> int:
        value = self._data.get(key, default)
        if not _is_count(value):
            raise self._unfit(key, "a whole number above 0", value)
        return int(value)

    def number(self, key: str, default: float | None = None) -> float:
        value = self._data.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._unfit(key, "a number", value)
        return float(value)

    def counts(self, key: str) -> tuple[int, ...]:
        value = self._data.get(key)
        if not isinstance(value, list) or not value or not all(map(_is_count, value)):
            raise self._unfit(key, "a list of whole numbers above 0", value)
        return tuple(value)

    def count_lists(self, key: str) -> tuple[tuple[int, ...], ...]:
        value = self._data.get(key)
        if not isinstance(value, list) or not value:
            raise self._unfit(key, "a list of lists of whole numbers", value)
        rows = _Fields({str(i): row for i, row in enumerate(value)}, self._where, f"{self._path}.{key}")
        return tuple(rows.counts(str(i)) for i in range(len(value)))

    def _unfit(self, key: str, wanted: str, value: object) -> ModelError:
        return self.error(key, "is missing" if key not in self._data else f"is {value!r}, not {wanted}")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
