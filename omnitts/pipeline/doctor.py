"""What this machine has, what it lacks, and what to do about each lack. Nothing in, a list of `Symptom`s out.

Looks without loading models, and at the network only when asked. torch is asked in a process of its own: a broken
installation of it is a finding, not a crash.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from omnitts import __version__, paths
from omnitts.errors import FfmpegError, OmnittsError

TORCH_TIMEOUT_S = 120.0  # the first import from a cold disk is slow
LEAST_FREE_GB, COMFORTABLE_FREE_GB = 0.3, 5.0
LEAST_MEMORY_GB = 3.0
ENCODERS = {"aac": "m4b", "libmp3lame": "mp3", "libopus": "opus", "flac": "flac"}
# Import name and distribution of what the main job cannot do without; pyproject.toml lists the versions.
PACKAGES = {
    "torch": "torch", "transformers": "transformers", "soundfile": "soundfile", "ffmpeg": "ffmpeg-python", "av": "av",
    "faster_whisper": "faster-whisper", "resemblyzer": "resemblyzer", "pkg_resources": "setuptools", "jiwer": "jiwer",
    "nltk": "nltk", "onnxruntime": "onnxruntime", "lxml": "lxml", "soxr": "soxr", "safetensors": "safetensors",
    "huggingface_hub": "huggingface-hub", "wetext": "wetext", "num2words": "num2words", "hibari": "hibari-tts",
}  # fmt: skip
_ASK_TORCH = """
import json, torch
devices = []
for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
    found = torch.cuda.get_device_properties(index)
    devices.append({"device": f"cuda:{index}", "name": found.name, "memory_gb": round(found.total_memory / 1e9, 1)})
print(json.dumps({"version": torch.__version__, "cuda": torch.version.cuda, "devices": devices,
                  "threads": torch.get_num_threads(), "cpu": torch.backends.cpu.get_cpu_capability()}))
"""


class State(str, Enum):
    """``MISSING``: books cannot be narrated without it."""

    OK = "ok"
    LIMITED = "limited"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Symptom:
    """One thing that was looked at: what was found, and what to do when it is not as it should be."""

    name: str
    state: State
    found: str
    remedy: str = ""

    def as_dict(self) -> dict[str, str]:
        return {**asdict(self), "state": self.state.value}


def examine(*, online: bool = False) -> Iterator[Symptom]:
    """Looks at everything in turn; each look is answered at once, so that a display can follow.

    ``online`` also asks whether the model hub can be reached. Never raises for a lack.
    """
    looks: list[Callable[[], Iterator[Symptom]]] = [
        _program, _packages, _torch, _processor, _ffmpeg, _home, _engines, _models, _asr, _voices,
    ]  # fmt: skip
    for look in looks + ([_hub] if online else []):
        try:
            yield from look()
        except (OmnittsError, ImportError, OSError) as error:
            remedy = error.hint if isinstance(error, OmnittsError) else "install omnitts again"
            yield Symptom(look.__name__.strip("_"), State.LIMITED, str(error), remedy)


def can_narrate(symptoms: list[Symptom]) -> bool:
    """Whether a book can be narrated here, in whatever voice."""
    return all(symptom.state is not State.MISSING for symptom in symptoms)


def _program() -> Iterator[Symptom]:
    version = platform.python_version()
    yield Symptom("omnitts", State.OK, f"{__version__} on Python {version} ({platform.platform(terse=True)})")


def _packages() -> Iterator[Symptom]:
    absent = [name for module, name in PACKAGES.items() if importlib.util.find_spec(module) is None]
    if absent:
        remedy = "pip install " + " ".join("'setuptools<81'" if name == "setuptools" else name for name in absent)
        yield Symptom("packages", State.MISSING, f"not installed: {', '.join(absent)}", remedy)
        return
    shown = ("transformers", "faster-whisper", "onnxruntime", "resemblyzer", "hibari-tts")
    yield Symptom("packages", State.OK, ", ".join(f"{name} {importlib.metadata.version(name)}" for name in shown))


def _torch() -> Iterator[Symptom]:
    if importlib.util.find_spec("torch") is None:
        return  # `_packages` said it
    remedy = "pip install --force-reinstall torch"
    try:
        asked = subprocess.run(
            [sys.executable, "-c", _ASK_TORCH], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=TORCH_TIMEOUT_S, check=False,
        )  # fmt: skip
        facts: dict[str, Any] = json.loads(asked.stdout)
    except subprocess.TimeoutExpired:
        yield Symptom("torch", State.LIMITED, f"does not answer within {TORCH_TIMEOUT_S:.0f} s", remedy)
        return
    except ValueError:
        last = (asked.stderr.strip().splitlines() or [f"exit status {asked.returncode}"])[-1]
        yield Symptom("torch", State.LIMITED, f"does not load: {last}", remedy)
        return
    build = f"CUDA {facts['cuda']}" if facts["cuda"] else "CPU only"
    yield Symptom("torch", State.OK, f"{facts['version']} ({build}), {facts['threads']} threads, {facts['cpu']}")
    if facts["devices"]:
        listed = ", ".join(f"{item['device']} {item['name']} ({item['memory_gb']} GB)" for item in facts["devices"])
        yield Symptom("devices", State.OK, f"{listed}; cpu")
    else:
        remedy = "cloning on a CPU is many times slower than speech; a GPU needs a CUDA build of torch and its driver"
        yield Symptom("devices", State.LIMITED, "cpu only", remedy)


def _processor() -> Iterator[Symptom]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    flags = _cpu_flags()
    fast = [name for name in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if name in flags]
    half = "bf16 in hardware" if {"amx_bf16", "avx512_bf16"} & flags else "no bf16 in hardware"
    known = f", {half} ({', '.join(fast)})" if flags else ""
    yield Symptom("processor", State.OK, f"{cores} cores, {platform.machine()}{known}")
    memory_gb = _memory_gb()
    if memory_gb is not None:
        total, free = memory_gb
        is_tight = free < LEAST_MEMORY_GB
        remedy = "close other programs: the speech check alone takes 1 GB" if is_tight else ""
        found = f"{total:.1f} GB, {free:.1f} GB free"
        yield Symptom("memory", State.LIMITED if is_tight else State.OK, found, remedy)


def _ffmpeg() -> Iterator[Symptom]:
    from omnitts.ffmpeg import installation

    try:
        found = installation()
    except FfmpegError as error:
        yield Symptom("ffmpeg", State.MISSING, str(error).partition(";")[0], error.hint)
        return
    lacking = [f"{name} ({used})" for name, used in ENCODERS.items() if name not in found.encoders]
    what = f"{found.version} ({found.program})"
    if not lacking:
        yield Symptom("ffmpeg", State.OK, f"{what}, writes {', '.join(ENCODERS.values())}")
        return
    state = State.LIMITED if "aac" in found.encoders else State.MISSING
    yield Symptom("ffmpeg", state, f"{what} lacks {', '.join(lacking)}", "pip install imageio-ffmpeg brings a full one")


def _home() -> Iterator[Symptom]:
    home = paths.home_dir()
    existing = next(folder for folder in (home, *home.parents) if folder.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)):
        remedy = f"make {existing} writable, or set {paths.HOME_VARIABLE} to another folder"
        yield Symptom("home folder", State.MISSING, f"{home} cannot be written", remedy)
        return
    yield Symptom("home folder", State.OK, str(home))
    free_gb = shutil.disk_usage(existing).free / 1e9
    state = State.MISSING if free_gb < LEAST_FREE_GB else State.LIMITED if free_gb < COMFORTABLE_FREE_GB else State.OK
    remedy = "" if state is State.OK else "a book takes about 0.2 GB per hour while it is made, a model 3 to 10 GB"
    yield Symptom("disk space", state, f"{free_gb:.1f} GB free at {existing}", remedy)


def _engines() -> Iterator[Symptom]:
    if importlib.util.find_spec("hibari") is None:
        yield Symptom("draft narrator", State.LIMITED, "not installed", "pip install hibari-tts")
    else:
        yield Symptom("draft narrator", State.OK, "ready: one American voice, English, any CPU, no download")


def _models() -> Iterator[Symptom]:
    from omnitts.models.hub import bundled_model, list_models

    stored = list_models()
    ready = [item.repo for item in stored if not item.missing]
    for item in stored:
        if item.missing:
            lack = f"{item.repo} lacks {', '.join(item.missing)}"
            yield Symptom("models", State.LIMITED, lack, f"omnitts models pull {item.repo}")
    if ready:
        yield Symptom("models", State.OK, ", ".join(ready))
    elif not stored:
        small = bundled_model()
        found = "only the small model that comes with omnitts" if small else "no model that clones voices"
        remedy = "to clone voices well: omnitts models pull 2b (5.5 GB), or --model FOLDER"
        yield Symptom("models", State.LIMITED, found, remedy)


def _asr() -> Iterator[Symptom]:
    from omnitts.pipeline.check.asr_models import list_asr_models

    found = list_asr_models()
    if found:
        listed = ", ".join(f"{model.name} ({model.origin})" for model in found)
        yield Symptom("speech recognition", State.OK, listed)
    else:
        remedy = "pip install 'omnitts[offline]', or let the first run fetch one (150 MB); --no-check does without"
        yield Symptom("speech recognition", State.LIMITED, "no Whisper model on this machine", remedy)


def _voices() -> Iterator[Symptom]:
    from omnitts.pipeline.voices.library import list_voices

    entries = list_voices()
    broken = [entry for entry in entries if entry.error]
    own = sum(not entry.is_preset for entry in entries) - sum(not entry.is_preset for entry in broken)
    presets = len(entries) - len(broken) - own
    for entry in broken:
        yield Symptom("voices", State.LIMITED, f"{entry.name}: {entry.error}", f"omnitts voices remove {entry.name}")
    if presets:
        yield Symptom("voices", State.OK, f"{presets} presets, {own} of your own")
    else:
        yield Symptom("voices", State.LIMITED, f"no presets, {own} of your own", "install omnitts again")


def _hub() -> Iterator[Symptom]:
    from omnitts.models.pull import hub_fault

    fault = hub_fault()
    remedy = "set HF_ENDPOINT to a mirror, or copy models here by hand (--model FOLDER, --asr FOLDER)" if fault else ""
    yield Symptom("model hub", State.LIMITED if fault else State.OK, fault or "answers", remedy)


def _cpu_flags() -> frozenset[str]:
    """Linux only; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line for line in lines if line.startswith(("flags", "Features"))), "").split()[2:])


def _memory_gb() -> tuple[float, float] | None:
    """Total and available memory; None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 / 1e9 for line in lines if len(line.split()) > 1}
    return sizes["MemTotal"], sizes.get("MemAvailable", sizes["MemFree"])
