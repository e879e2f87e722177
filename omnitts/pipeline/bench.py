"""Benchmarking the machine: options in, figures out: decoding, flow, vocoder, checks, and all of them together.

With a checkpoint its own weights are measured, else random ones of a published size. Knows no flags.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from omnitts.audio import Waveform
from omnitts.engines.bench import BatchFigures, Bench, BenchParts, peak_memory_bytes
from omnitts.engines.checkpoints import find_checkpoint
from omnitts.engines.mgm_omni_settings import Settings, pick_device
from omnitts.errors import OmnittsError, UsageError
from omnitts.models.codec.loading import load_codec
from omnitts.models.layout import CODEC_DIR
from omnitts.models.mgm_omni.checkpoint import load_mouth
from omnitts.models.published import published, random_codec, random_mouth
from omnitts.models.weights import dtype_by_name
from omnitts.pipeline.check.judge import Checker, QualityOptions
from omnitts.progress import Event, Progress


@dataclass(frozen=True)
class BenchOptions:
    """What `omnitts bench` is told; names are the flags'. ``model`` empty: random weights of ``config``.

    ``pieces`` None: as many as the batch holds. ``threads`` 0: as torch chooses.
    """

    model: str = ""
    config: str = "2b"
    device: str = "auto"
    dtype: str = "auto"
    batch: tuple[int, ...] = (1, 8, 32)
    piece_s: float = 5.0
    pieces: int | None = None
    check: bool = True
    threads: int = 0

    def __post_init__(self) -> None:
        if not self.batch or min(self.batch) < 1:
            raise UsageError("a batch holds at least one piece", where="--batch", hint="for example --batch 1,8,32")
        if not 0.5 <= self.piece_s <= 60:
            raise UsageError(f"a piece of {self.piece_s:g} s cannot be measured", where="--seconds", hint="0.5 to 60")


def bench(options: BenchOptions, progress: Progress) -> dict[str, Any]:
    """Figures as plain data. An event ``bench`` is emitted for each batch size as it is done."""
    if options.threads:
        torch.set_num_threads(options.threads)
    device = pick_device(options.device)
    dtype = dtype_by_name(options.dtype if options.dtype != "auto" else "fp32" if options.config == "tiny" else "bf16")
    parts, weights = _parts(options, dtype, device)
    measured = Bench(parts, options.piece_s)
    measured.warm_up(max(options.batch))
    figures: dict[str, Any] = {
        "hardware": hardware(device),
        "weights": weights,
        "dtype": str(dtype).removeprefix("torch."),
        "flow_dtype": str(parts.detokenizer.flow.encoder_proj.weight.dtype).removeprefix("torch."),
        "piece_s": options.piece_s,
        "prefill_s": round(measured.prefill_s(), 4),
        "first_audio_s": round(measured.first_audio_s(), 3),
        "batches": [],
    }
    sounds: list[Waveform] = []
    for batch in options.batch:
        row, sounds = measured.measure(batch, options.pieces)
        figures["batches"].append(_rounded(row))
        progress.emit(Event("bench", figures["batches"][-1]))
    figures["peak_memory_mb"] = round(peak_memory_bytes(device) / 1e6)
    if options.check:
        figures["checks"] = _checks(sounds)
        _add_checked_rates(figures)
    return figures


def hardware(device: torch.device) -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "torch": torch.__version__,
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def _parts(options: BenchOptions, dtype: torch.dtype, device: torch.device) -> tuple[BenchParts, str]:
    flow_dtype = Settings().flow_dtype_beside(dtype, device)
    if options.model:
        folder = find_checkpoint(options.model)
        mouth = load_mouth(folder, dtype=dtype, device=device)
        codec = load_codec(folder / CODEC_DIR, device=device, dtype=flow_dtype)
        parts = BenchParts(mouth.model, mouth.vocabulary, mouth.config.dropped_rows, codec.detokenizer)
        return parts, str(folder)
    chosen = published(options.config)
    config = chosen.mouth()
    model = random_mouth(config, dtype=dtype, device=device)
    codec_parts = random_codec(is_tiny=options.config == "tiny", flow_dtype=flow_dtype, device=device)
    weights = f"random, {options.config}: sizes presumed from {chosen.base} and {chosen.adapter_layers} adapter layers"
    return BenchParts(model, chosen.vocabulary(), config.dropped_rows, codec_parts), weights


def _checks(sounds: list[Waveform]) -> dict[str, Any]:
    """Seconds of sound heard per second; a reason where this machine cannot listen."""
    try:
        with closing(Checker(QualityOptions(), "en")) as checker:
            checker.measure("A warm-up.", sounds[0], None, "")
            started_s = time.perf_counter()
            for sound in sounds:
                checker.measure("What was said is not known.", sound, None, "")
            taken_s = time.perf_counter() - started_s
    except OmnittsError as error:
        return {"rate": None, "why": str(error)}
    return {"rate": round(sum(sound.duration_s for sound in sounds) / taken_s, 2), "why": ""}


def _add_checked_rates(figures: dict[str, Any]) -> None:
    """End to end with checks on, which share the processor with everything else (on a GPU: beside it)."""
    rate, is_gpu = figures["checks"]["rate"], figures["hardware"]["gpu"] is not None
    for row in figures["batches"]:
        plain = row["end_to_end"]
        checked = None if rate is None else min(plain, rate) if is_gpu else 1 / (1 / plain + 1 / rate)
        row["end_to_end_checked"] = None if checked is None else round(checked, 3)


def _rounded(row: BatchFigures) -> dict[str, Any]:
    data = asdict(row)
    data["utilisation"] = {stage: round(share, 3) for stage, share in row.utilisation.items()}
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in data.items()}


def _cpu_name() -> str:
    return next(_cpu_names(), platform.processor() or platform.machine())


def _cpu_names() -> Iterator[str]:
    path = Path("/proc/cpuinfo")
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                yield line.partition(":")[2].strip()
