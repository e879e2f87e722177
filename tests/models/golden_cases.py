"""Golden cases on disk: finds them under a folder and reads their parts.

Goes in: a folder of any depth. Comes out: `GoldenCase` (a folder with a meta.json) and `GoldenRun` (one of its tensor
files). A folder's kind is the longest known kind its name begins with (`speechlm-generate-b` is a `speechlm-generate`),
else `kind` in its meta.json, else the way its meta.json describes itself. Knows nothing of the models.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

# kind -> how the reference's dump describes itself in `what`
KINDS = {
    "speechlm-forward": "MGMTTSForCausalLM:",
    "speechlm-generate": "MGMTTSForCausalLM.generate",
    "token2audio": "rows -> speech tokens",
    "brain-audio": "DualAudioTower",
    "brain-lm": "MGMQwen25VLForCausalLM",
    "omni-generate": "MGMOmniForCausalLM",
    "features": "feature extraction",
    "flow": "CausalMaskedDiffWithXvec",
    "hift": "HiFTGenerator",
    "token2wav": "CosyVoice2Model.token2wav",
    "streamer-schedule": "MGMOmniStreamer",
}
SHIPPED_DIR = Path(__file__).parents[1] / "golden"


@dataclass(frozen=True)
class GoldenCase:
    """One folder: `config`, `meta`, `weights()`, and its runs."""

    kind: str
    name: str
    folder: Path

    @cached_property
    def meta(self) -> dict[str, Any]:
        return json.loads((self.folder / "meta.json").read_text(encoding="utf-8"))

    @cached_property
    def config(self) -> dict[str, Any]:
        return json.loads((self.folder / "config.json").read_text(encoding="utf-8"))

    def beside(self, relative: str) -> Path:
        """A path that meta.json names relative to the case; a tokenizer not there comes from the shipped copy."""
        path = (self.folder / relative).resolve()
        if not path.exists() and "tokenizer" in relative:
            path = SHIPPED_DIR / relative.lstrip("./")
        return path

    def weights(self, index: int = 0) -> dict[str, torch.Tensor]:
        """State dict number `index` of those the case names (brain first, mouth second in joint cases)."""
        named = self.meta.get("weights", "weights.safetensors")
        return load_file(self.beside(named if isinstance(named, str) else named[index]))

    @property
    def tokenizer_dirs(self) -> list[Path]:
        named = self.meta.get("tokenizers") or [self.meta.get("tokenizer", "../tokenizer/mouth")]
        return [self.beside(relative) for relative in named]

    @property
    def runs(self) -> list[GoldenRun]:
        files = sorted(path for path in self.folder.glob("*.safetensors") if not path.stem.startswith("weights"))
        return [GoldenRun(self, path.stem) for path in files]


@dataclass(frozen=True)
class GoldenRun:
    """One tensor file of a case, with the part of meta.json about it."""

    case: GoldenCase
    name: str

    @property
    def id(self) -> str:
        return f"{self.case.name}/{self.name}"

    @property
    def meta(self) -> dict[str, Any]:
        return self.case.meta.get("runs", {}).get(self.name, {})

    def tensors(self) -> dict[str, torch.Tensor]:
        return load_file(self.case.folder / f"{self.name}.safetensors")


def find_cases(root: Path) -> list[GoldenCase]:
    """All cases under `root` (or `root` itself), sorted by name."""
    cases = []
    for meta_path in sorted(root.rglob("meta.json")):
        folder = meta_path.parent
        kind = _kind_of(folder)
        if kind:
            name = folder.name if folder == root else folder.relative_to(root).as_posix()
            cases.append(GoldenCase(kind=kind, name=name, folder=folder))
    return cases


def max_error(got: torch.Tensor, want: torch.Tensor) -> float:
    """Largest absolute difference; shapes must agree."""
    assert got.shape == want.shape, f"shape {tuple(got.shape)} is not {tuple(want.shape)}"
    return (got.double() - want.double()).abs().max().item() if want.numel() else 0.0


def scaled_error(got: torch.Tensor, want: torch.Tensor) -> float:
    """Largest difference over 1 + |want|: at most e means equal at rtol e and atol e, as the golden meta.json asks."""
    assert got.shape == want.shape, f"shape {tuple(got.shape)} is not {tuple(want.shape)}"
    return ((got.double() - want.double()).abs() / (1 + want.double().abs())).max().item() if want.numel() else 0.0


def _kind_of(folder: Path) -> str:
    by_name = [kind for kind in KINDS if folder.name.startswith(kind)]
    if by_name:
        return max(by_name, key=len)
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    what = str(meta.get("what", ""))
    return meta.get("kind") or next((kind for kind, start in KINDS.items() if what.startswith(start)), "")
