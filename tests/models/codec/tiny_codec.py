"""A complete ``cosyvoice2/`` folder of a few hundred kilobytes, and golden configs in the words of ``cosyvoice2.yaml``.

The YAML is written in the published style, tags and references included; weights are random; the two ONNX files are
made of a few operators that keep the published contract (names aside).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from omnitts.models.codec.config import FlowConfig, HiftConfig, flow_config, hift_config
from omnitts.models.codec.flow import Flow
from omnitts.models.codec.hift import Hift

YAML = """\
# set random seed, so that you may reproduce your result.
__set_seed1: !apply:random.seed [1986]
__set_seed2: !apply:numpy.random.seed [1986]
__set_seed3: !apply:torch.manual_seed [1986]

sample_rate: 24000
spk_embed_dim: 192
qwen_pretrain_path: ''
token_frame_rate: 25
token_mel_ratio: 2
chunk_size: 25
num_decoding_left_chunks: -1

flow: !new:cosyvoice.flow.flow.CausalMaskedDiffWithXvec
    input_size: 24
    output_size: 80
    spk_embed_dim: !ref <spk_embed_dim>
    output_type: 'mel'
    vocab_size: 97
    input_frame_rate: !ref <token_frame_rate>
    only_mask_loss: True
    token_mel_ratio: !ref <token_mel_ratio>
    pre_lookahead_len: 3
    encoder: !new:cosyvoice.transformer.upsample_encoder.UpsampleConformerEncoder
        output_size: 24
        attention_heads: 4
        linear_units: 32
        num_blocks: 2
        dropout_rate: 0.1
        normalize_before: True
        input_layer: 'linear'
        pos_enc_layer_type: 'rel_pos_espnet'
        selfattention_layer_type: 'rel_selfattn'
        input_size: 24
        use_cnn_module: False
        macaron_style: False
        static_chunk_size: !ref <chunk_size>
    decoder: !new:cosyvoice.flow.flow_matching.CausalConditionalCFM
        in_channels: 240
        n_spks: 1
        spk_emb_dim: 80
        cfm_params: !new:omegaconf.DictConfig
            content:
                sigma_min: 1e-06
                solver: 'euler'
                t_scheduler: 'cosine'
                training_cfg_rate: 0.2
                inference_cfg_rate: 0.7
                reg_loss_type: 'l1'
        estimator: !new:cosyvoice.flow.decoder.CausalConditionalDecoder
            in_channels: 320
            out_channels: 80
            channels: [16]
            dropout: 0.0
            attention_head_dim: 8
            n_blocks: 1
            num_mid_blocks: 2
            num_heads: 2
            act_fn: 'gelu'
            static_chunk_size: !ref <chunk_size> * <token_mel_ratio>
            num_decoding_left_chunks: !ref <num_decoding_left_chunks>

hift: !new:cosyvoice.hifigan.generator.HiFTGenerator
    in_channels: 80
    base_channels: 16
    nb_harmonics: 8
    sampling_rate: !ref <sample_rate>
    nsf_alpha: 0.1
    nsf_sigma: 0.003
    nsf_voiced_threshold: 10
    upsample_rates: [8, 5, 3]
    upsample_kernel_sizes: [16, 11, 7]
    istft_params:
        n_fft: 16
        hop_len: 4
    resblock_kernel_sizes: [3, 7, 11]
    resblock_dilation_sizes: [[1, 3, 5], [1, 3, 5], [1, 3, 5]]
    source_resblock_kernel_sizes: [7, 7, 11]
    source_resblock_dilation_sizes: [[1, 3, 5], [1, 3, 5], [1, 3, 5]]
    lrelu_slope: 0.1
    audio_limit: 0.99
    f0_predictor: !new:cosyvoice.hifigan.f0_predictor.ConvRNNF0Predictor
        num_class: 1
        in_channels: 80
        cond_channels: 16

parquet_opener: !name:cosyvoice.dataset.processor.parquet_opener
feat_extractor: !name:matcha.utils.audio.mel_spectrogram
    n_fft: 1920
    fmax: 8000
get_tokenizer: !name:cosyvoice.tokenizer.tokenizer.get_qwen_tokenizer
    token_path: !ref <qwen_pretrain_path>
data_pipeline: [
    !ref <parquet_opener>,
    !ref <feat_extractor>,
]
"""


def write_codec(folder: Path, *, seed: int = 0, spelling: str = "parametrizations") -> Path:
    """All five files; ``spelling`` of the vocoder's weight norm: parametrizations, plain or folded."""
    from omnitts.models.codec import hyperyaml

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cosyvoice2.yaml").write_text(YAML, encoding="utf-8")
    settings = hyperyaml.read(folder / "cosyvoice2.yaml")
    flow, hift = random_networks(flow_config(settings["flow"], "tiny"), hift_config(settings["hift"], "tiny"), seed)
    torch.save(flow.state_dict(), folder / "flow.pt")
    torch.save(published_hift_state(hift.state_dict(), spelling), folder / "hift.pt")
    write_tokenizer(folder / "speech_tokenizer_v2.onnx", vocab_size=97)
    write_speaker_encoder(folder / "campplus.onnx")
    return folder


def ask_to_adapt(settings: Path, frames: float) -> None:
    """Writes ``adaptation_frames`` into the flow's entry of a cosyvoice2.yaml."""
    text = settings.read_text()
    line = next(line for line in text.splitlines() if line.startswith(" ") and "token_mel_ratio:" in line)
    settings.write_text(text.replace(line, f"{line}\n{line.replace(line.strip(), f'adaptation_frames: {frames}')}"))


def random_networks(flow: FlowConfig, hift: HiftConfig, seed: int) -> tuple[Flow, Hift]:
    """Networks with small random weights; the global random state is left as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Flow(flow).eval(), Hift(hift).eval()


def published_hift_state(state: dict[str, Tensor], spelling: str) -> dict[str, Tensor]:
    """Plain weights -> keys as in hift.pt: a "generator." prefix, and weight norm in gain and direction."""
    gain, direction = {
        "parametrizations": (".parametrizations.weight.original0", ".parametrizations.weight.original1"),
        "plain": (".weight_g", ".weight_v"),
        "folded": ("", ""),
    }[spelling]
    published = {}
    for name, value in state.items():
        stem = name.removesuffix(".weight")
        normed = name.endswith(".weight") and value.dim() == 3 and not name.startswith("source_downs")
        if normed and gain:
            published[f"generator.{stem}{gain}"] = value.flatten(1).norm(dim=1)[:, None, None]
            published[f"generator.{stem}{direction}"] = value * 3.0
        else:
            published[f"generator.{name}"] = value
    return published


def write_tokenizer(path: Path, vocab_size: int) -> None:
    """feature (1, 128, T) float, length (1,) int32 -> (1, T // 4) int32 ids below vocab_size."""
    weights = np.random.default_rng(0).normal(size=(1, 128, 4)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["feats", "w"], ["summed"], strides=[4], kernel_shape=[4]),
        helper.make_node("Mul", ["summed", "spread"], ["wide"]),
        helper.make_node("Abs", ["wide"], ["positive"]),
        helper.make_node("Cast", ["positive"], ["whole"], to=TensorProto.INT32),
        helper.make_node("Mod", ["whole", "vocab"], ["ids"]),
        helper.make_node("Sub", ["feats_length", "feats_length"], ["zero"]),  # the length is an input and must be given
        helper.make_node("Add", ["ids", "zero"], ["added"]),
        helper.make_node("Squeeze", ["added", "axis"], ["indices"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tokenizer",
        [
            helper.make_tensor_value_info("feats", TensorProto.FLOAT, [1, 128, "T"]),
            helper.make_tensor_value_info("feats_length", TensorProto.INT32, [1]),
        ],
        [helper.make_tensor_value_info("indices", TensorProto.INT32, [1, "K"])],
        [
            numpy_helper.from_array(weights, "w"),
            numpy_helper.from_array(np.array(50.0, np.float32), "spread"),
            numpy_helper.from_array(np.array(vocab_size, np.int32), "vocab"),
            numpy_helper.from_array(np.array([1], np.int64), "axis"),
        ],
    )
    _save(graph, path)


def write_speaker_encoder(path: Path) -> None:
    """(1, T, 80) float -> (1, 192): the mean magnitude of each bin, through a fixed matrix."""
    matrix = np.random.default_rng(1).normal(size=(80, 192)).astype(np.float32)
    nodes = [
        helper.make_node("Abs", ["input"], ["size"]),
        helper.make_node("ReduceMean", ["size", "axis"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "matrix"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes,
        "speaker",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, "T", 80])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 192])],
        [numpy_helper.from_array(matrix, "matrix"), numpy_helper.from_array(np.array([1], np.int64), "axis")],
    )
    _save(graph, path)


def _save(graph: onnx.GraphProto, path: Path) -> None:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def flow_config_of(golden: dict[str, Any]) -> FlowConfig:
    """The flat config.json of a golden flow, laid out as the YAML's ``flow`` entry."""
    enc, dec = golden["enc"], golden["dec"]
    entry = {
        key: golden[key]
        for key in ("input_size", "output_size", "spk_embed_dim", "vocab_size", "token_mel_ratio", "pre_lookahead_len")
    }
    entry["encoder"] = {
        **enc,
        "input_size": golden["input_size"],
        "num_up_blocks": golden.get("up_blocks", 4),
        "static_chunk_size": golden["encoder_static_chunk_size"],
    }
    entry["decoder"] = {
        "cfm_params": {"t_scheduler": golden["t_scheduler"], "inference_cfg_rate": golden["inference_cfg_rate"]},
        "estimator": {
            **dec,
            "in_channels": golden["decoder_in_channels"],
            "out_channels": golden["output_size"],
            "static_chunk_size": golden["decoder_static_chunk_size"],
        },
    }
    return flow_config(entry, "config.json")


def hift_config_of(golden: dict[str, Any]) -> HiftConfig:
    """The flat config.json of a golden vocoder, laid out as the YAML's ``hift`` entry."""
    return hift_config({**golden, "f0_predictor": {"cond_channels": golden["cond_channels"]}}, "config.json")


def published_flow_config() -> FlowConfig:
    """Spec section 3."""
    return flow_config_of(
        {
            "input_size": 512,
            "output_size": 80,
            "spk_embed_dim": 192,
            "vocab_size": 6561,
            "token_mel_ratio": 2,
            "pre_lookahead_len": 3,
            "enc": {"output_size": 512, "attention_heads": 8, "linear_units": 2048, "num_blocks": 6},
            "dec": {
                "channels": [256],
                "attention_head_dim": 64,
                "n_blocks": 4,
                "num_mid_blocks": 12,
                "num_heads": 8,
            },
            "encoder_static_chunk_size": 25,
            "decoder_static_chunk_size": 50,
            "decoder_in_channels": 320,
            "t_scheduler": "cosine",
            "inference_cfg_rate": 0.7,
        }
    )
