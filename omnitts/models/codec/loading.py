"""Opens a checkpoint's ``cosyvoice2/`` folder: settings as data, weights checked key by key, two ONNX front ends.

In: the folder (spec 1.1: cosyvoice2.yaml, flow.pt, hift.pt, campplus.onnx, speech_tokenizer_v2.onnx). Out: ``Codec``.
Nothing in the files can run code: the YAML's tags stay data and the pickles are read with ``weights_only=True``.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final, TypeVar

import torch
from torch import Tensor, nn

from omnitts.errors import ModelError
from omnitts.models.codec import hyperyaml
from omnitts.models.codec.campplus import CamPlus
from omnitts.models.codec.config import flow_config, hift_config
from omnitts.models.codec.detokenizer import Detokenizer
from omnitts.models.codec.enrolment import adapted
from omnitts.models.codec.flow import Flow
from omnitts.models.codec.hift import Hift
from omnitts.models.codec.packed_flow import pack_flow
from omnitts.models.codec.prompt import FrontEnd, VoicePrompt
from omnitts.models.codec.s3_tokenizer import S3Tokenizer

SETTINGS: Final = "cosyvoice2.yaml"
FLOW: Final = "flow.pt"
HIFT: Final = "hift.pt"
SPEAKER: Final = "campplus.onnx"
TOKENIZER: Final = "speech_tokenizer_v2.onnx"
FILES: Final = (SETTINGS, FLOW, HIFT, SPEAKER, TOKENIZER)
"""All a codec folder holds that is read here."""
_SPELLINGS: Final = (
    (".parametrizations.weight.original0", ".parametrizations.weight.original1"),
    (".weight_g", ".weight_v"),
)
"""Weight norm's gain and direction, as newer and older torch store them."""
_Network = TypeVar("_Network", bound=nn.Module)


@dataclass(frozen=True)
class Codec:
    """An opened codec. The front ends are opened when first asked for: a stored voice prompt needs neither."""

    folder: Path
    detokenizer: Detokenizer
    num_threads: int

    @cached_property
    def front_end(self) -> FrontEnd:
        return FrontEnd(
            S3Tokenizer(self.folder / TOKENIZER, self.num_threads), CamPlus(self.folder / SPEAKER, self.num_threads)
        )

    def listen(self, samples: Tensor) -> VoicePrompt:
        """(N,) mono samples at 16 kHz -> the voice's prompt, the codec adapted to it if the checkpoint asks for that.

        Raises `VoiceError` as `FrontEnd.listen` does.
        """
        prompt, flow = self.front_end.listen(samples), self.detokenizer.flow
        frames = flow.config.adaptation_frames
        return adapted(flow, self.detokenizer.revocoded, prompt, frames) if frames else prompt


def load_codec(
    folder: Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    num_threads: int = 0,
    num_steps: int = 0,
) -> Codec:
    """Open the folder. ``dtype`` is the flow's; the vocoder stays float32, where rounding would be heard as noise.

    ``num_threads`` of the ONNX front ends, 0 for all cores; ``num_steps`` of the flow's solver, 0 for the checkpoint's
    own. ModelError names the missing file, key or value.
    """
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise ModelError(f"the codec folder lacks {', '.join(missing)}", where=str(folder), hint="pull the model again")
    settings = hyperyaml.read(folder / SETTINGS)
    where = str(folder / SETTINGS)
    config = flow_config(settings.get("flow", {}), where)
    with torch.device("meta"):
        flow = Flow(replace(config, num_steps=num_steps or config.num_steps))
        hift = Hift(hift_config(settings.get("hift", {}), where))
    flow = fill(flow, read_state(folder / FLOW), where=str(folder / FLOW), device=device, dtype=dtype)
    pack_flow(flow)
    state = hift_state(read_state(folder / HIFT))
    hift = fill(hift, state, where=str(folder / HIFT), device=device, dtype=torch.float32)
    if flow.config.mel_bins != hift.config.mel_bins:
        raise ModelError(
            f"flow.output_size {flow.config.mel_bins} is not hift.in_channels {hift.config.mel_bins}", where=where
        )
    return Codec(folder, Detokenizer(flow, hift), num_threads)


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a ``.pt`` state dict; nothing in the file is executed."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise ModelError(f"is not a plain file of weights ({error})", where=str(path)) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelError("holds more than named tensors", where=str(path))
    return {str(name): value for name, value in state.items()}


def hift_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Vocoder keys as ``Hift`` names them: "generator." left out, weight norm folded into plain weights."""
    state = {name.replace("generator.", ""): value for name, value in state.items()}
    folded = dict(state)
    for gain, direction in _SPELLINGS:
        for name in [name for name in state if name.endswith(direction)]:
            stem = name.removesuffix(direction)
            if stem + gain in state:
                folded[stem + ".weight"] = fold_weight_norm(folded.pop(stem + gain), folded.pop(name))
    return folded


def fold_weight_norm(gain: Tensor, direction: Tensor) -> Tensor:
    """w = g * v / |v|, the norm over all dimensions but the first.

    torch's own rounding: the vocoder sums its pitch up over seconds, where the last bit of a weight is heard.
    """
    return torch._weight_norm(direction.float(), gain.float(), 0)


def fill(
    network: _Network, state: Mapping[str, Tensor], *, where: str, device: str | torch.device, dtype: torch.dtype
) -> _Network:
    """Give a network built on the meta device its weights: every key present, none over, every shape as expected."""
    wanted = {name: value.shape for name, value in network.state_dict().items()}
    trouble = [f"{name} is missing" for name in wanted if name not in state]
    trouble += [f"{name} is not part of the network" for name in state if name not in wanted]
    trouble += [
        f"{name} has shape {list(state[name].shape)} instead of {list(shape)}"
        for name, shape in wanted.items()
        if name in state and state[name].shape != shape
    ]
    if trouble:
        more = f" (and {len(trouble) - 3} more)" if len(trouble) > 3 else ""
        raise ModelError(
            "; ".join(trouble[:3]) + more, where=where, hint="do cosyvoice2.yaml and the weights belong together?"
        )
    placed = {name: value.to(device=device, dtype=dtype) for name, value in state.items()}
    network.load_state_dict(placed, strict=True, assign=True)
    return network.eval().requires_grad_(False)
