"""Opening a codec folder: all is well, and every way it can be wrong."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch

from omnitts.errors import ModelError
from omnitts.models.codec.loading import FILES, SETTINGS, Codec, load_codec
from tests.models.codec.conftest import random_prompt, random_tokens
from tests.models.codec.tiny_codec import YAML, write_codec
from tests.models.golden_cases import max_error


@pytest.fixture
def folder(codec_folder: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(codec_folder, tmp_path / "cosyvoice2"))


def test_an_opened_codec_speaks(codec: Codec) -> None:
    wave = codec.detokenizer.speak([random_tokens(6, 0)], [random_prompt(5, 0)], [0])[0]
    assert wave.shape == (6 * 960,)
    assert wave.abs().max() <= 0.99
    assert codec.detokenizer.rate_hz == 24_000


def test_sizes_come_from_the_yaml(codec: Codec) -> None:
    config = codec.detokenizer.flow.config
    assert (config.vocab_size, config.encoder.output_size, config.estimator.channels) == (97, 24, 16)
    assert (config.encoder.chunk, config.estimator.chunk) == (25, 50)
    assert config.guidance == 0.7
    assert config.num_steps == 10


def test_steps_of_the_solver_are_asked_for_or_the_checkpoints_own(tmp_path: Path) -> None:
    folder = write_codec(tmp_path)
    assert load_codec(folder, num_steps=4).detokenizer.flow.config.num_steps == 4
    settings = folder / SETTINGS
    solver = "solver: 'euler'\n"
    settings.write_text(settings.read_text().replace(solver, f"{solver}{' ' * 16}n_timesteps: 3\n"))
    own = load_codec(folder)
    assert own.detokenizer.flow.config.num_steps == 3
    tokens, prompt = [random_tokens(6, 0)], [random_prompt(5, 0)]
    said = own.detokenizer.speak(tokens, prompt, [0])[0]
    assert torch.equal(load_codec(folder, num_steps=3).detokenizer.speak(tokens, prompt, [0])[0], said)
    assert not torch.equal(load_codec(folder, num_steps=4).detokenizer.speak(tokens, prompt, [0])[0], said)


def test_a_checkpoint_may_start_from_less_noise(tmp_path: Path) -> None:
    folder = write_codec(tmp_path)
    tokens, prompt = [random_tokens(6, 0)], [random_prompt(5, 0)]
    plain = load_codec(folder).detokenizer
    settings, solver = folder / SETTINGS, "solver: 'euler'\n"
    published = settings.read_text()

    def with_temperature(value: float) -> Codec:
        settings.write_text(published.replace(solver, f"{solver}{' ' * 16}temperature: {value}\n"))
        return load_codec(folder)

    assert torch.equal(*(one.speak(tokens, prompt, [0])[0] for one in (plain, with_temperature(1.0).detokenizer)))
    quieter = with_temperature(0.5).detokenizer
    assert quieter.flow.config.temperature == 0.5
    assert not torch.equal(*(one.speak(tokens, prompt, [0])[0] for one in (plain, quieter)))
    for wrong in (0, -1, 1.5):
        with pytest.raises(ModelError, match=r"temperature is"):
            with_temperature(wrong)


def test_nothing_is_left_on_the_meta_device(codec: Codec) -> None:
    for network in (codec.detokenizer.flow, codec.detokenizer.hift):
        assert not any(parameter.is_meta or parameter.requires_grad for parameter in network.parameters())
        assert not network.training


@pytest.mark.parametrize("spelling", ["plain", "folded"])
def test_other_spellings_of_weight_norm_sound_the_same(codec: Codec, tmp_path: Path, spelling: str) -> None:
    other = load_codec(write_codec(tmp_path, spelling=spelling), num_threads=1)
    mel = torch.randn(80, 5, generator=torch.Generator().manual_seed(0))
    source = torch.rand(2400, generator=torch.Generator().manual_seed(1)) - 0.5
    (want,), (got,) = (one.detokenizer.hift.decode([mel], [source]) for one in (codec, other))
    assert max_error(got, want) < 1e-5


def test_bf16_is_for_the_flow_only(codec_folder: Path) -> None:
    codec = load_codec(codec_folder, dtype=torch.bfloat16)
    assert codec.detokenizer.flow.encoder_proj.weight.dtype == torch.bfloat16
    assert codec.detokenizer.hift.conv_pre.weight.dtype == torch.float32
    assert len(codec.detokenizer.speak([random_tokens(3, 0)], [random_prompt(5, 0)], [0])[0]) == 3 * 960


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelError, match=name):
        load_codec(folder)


@pytest.mark.parametrize("name", ["flow.pt", "hift.pt"])
@pytest.mark.parametrize("content", [b"", b"not a pickle", b"\x80\x02\x95"])
def test_damaged_weights_are_named(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(ModelError, match=name):
        load_codec(folder)


def test_half_a_file_of_weights_is_named(folder: Path) -> None:
    content = (folder / "flow.pt").read_bytes()
    (folder / "flow.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match=r"flow\.pt"):
        load_codec(folder)


def test_a_pickle_that_would_run_code_does_not(folder: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"encoder_proj.weight": Evil()}, folder / "flow.pt")
    with pytest.raises(ModelError, match=r"flow\.pt"):
        load_codec(folder)
    assert not (tmp_path / "ran").exists()


def test_more_than_tensors_is_refused(folder: Path) -> None:
    torch.save({"epoch": 3}, folder / "flow.pt")
    with pytest.raises(ModelError, match="more than named tensors"):
        load_codec(folder)


def test_keys_are_named(folder: Path) -> None:
    state = torch.load(folder / "flow.pt", weights_only=True)
    state["surplus"] = state.pop("encoder_proj.weight")
    torch.save(state, folder / "flow.pt")
    with pytest.raises(ModelError, match=r"encoder_proj\.weight is missing; surplus is not part"):
        load_codec(folder)


def test_shapes_are_named(folder: Path) -> None:
    (folder / "cosyvoice2.yaml").write_text(YAML.replace("vocab_size: 97", "vocab_size: 98"))
    with pytest.raises(ModelError, match=r"input_embedding\.weight has shape \[97, 24\] instead of \[98, 24\]"):
        load_codec(folder)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("    vocab_size: 97\n", "", "flow.vocab_size is missing"),
        ("vocab_size: 97", "vocab_size: many", "flow.vocab_size is 'many'"),
        ("vocab_size: 97", "vocab_size: -1", "flow.vocab_size is -1"),
        ("t_scheduler: 'cosine'", "t_scheduler: 'linear'", "t_scheduler is 'linear'; only 'cosine'"),
        ("channels: [16]", "channels: [16, 16]", "2 stages"),
        ("token_mel_ratio: 2", "token_mel_ratio: 4", "token_mel_ratio is 4"),
        ("in_channels: 320", "in_channels: 300", "in_channels is 300"),
        ("use_cnn_module: False", "use_cnn_module: True", "use_cnn_module is True"),
        ("base_channels: 16", "base_channels: wide", "hift.base_channels is 'wide'"),
        ("upsample_kernel_sizes: [16, 11, 7]", "upsample_kernel_sizes: [16, 11]", "2 entries for 3 upsample_rates"),
        (
            "[[1, 3, 5], [1, 3, 5], [1, 3, 5]]\n    source",
            "[[1, 3, 5], 4]\n    source",
            "resblock_dilation_sizes.1 is 4",
        ),
        ("hift: !new", "vocoder: !new", "hift.istft_params is missing"),
        ("nsf_alpha: 0.1", "nsf_alpha: loud", "nsf_alpha is 'loud'"),
        ("lrelu_slope: 0.1", "lrelu_slope: !ref <nothing>", "!ref nothing is not in the file"),
    ],
)
def test_settings_are_answered_by_name(folder: Path, old: str, new: str, named: str) -> None:
    assert old in YAML
    (folder / "cosyvoice2.yaml").write_text(YAML.replace(old, new))
    with pytest.raises(ModelError) as caught:
        load_codec(folder)
    assert named in str(caught.value)
    assert "cosyvoice2.yaml" in str(caught.value)
