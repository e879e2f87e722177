"""Voice parcels: bytes there and back, prompts found by the name the engine gives them, kept at home once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from omnitts import paths
from omnitts.audio import Waveform, save
from omnitts.errors import VoiceError
from omnitts.fleet.parcel import keep_prompts, pack, repack, unpack
from omnitts.types import Voice


@pytest.fixture
def anna(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Voice:
    monkeypatch.setenv("OMNITTS_HOME", str(tmp_path / "driver"))
    folder = paths.voices_dir() / "anna"
    folder.mkdir(parents=True)
    save(Waveform(np.zeros(16_000, np.float32), 16_000), folder / "clip.flac")
    return Voice("anna", folder / "clip.flac", digest="ab" * 32, transcript="Hello.", folder=folder)


def test_a_voice_arrives_whole(anna: Voice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert anna.folder is not None
    (anna.folder / f"prompt-0123-{anna.digest[:12]}.safetensors").write_bytes(b"prompt")
    (anna.folder / "prompt-0123-anothervoice.safetensors").write_bytes(b"not ours")
    parcel = pack(anna)
    monkeypatch.setenv("OMNITTS_HOME", str(tmp_path / "worker"))
    there = unpack(parcel)
    assert there.audio.read_bytes() == anna.audio.read_bytes()
    assert tmp_path / "worker" in there.audio.parents
    assert [file.read_bytes() for file in paths.cache_dir().rglob("prompt-*")] == [b"prompt"]
    assert replace(there, audio=anna.audio, folder=anna.folder) == anna


def test_a_damaged_copy_is_mended(anna: Voice) -> None:
    parcel = pack(anna)
    unpack(parcel).audio.write_bytes(b"half")
    assert unpack(parcel).audio.read_bytes() == anna.audio.read_bytes()


def test_what_the_engine_hears_there_is_kept_here(anna: Voice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The prompt is stored by the engines' own `stored_prompt`: this also guards the name it is looked for by."""
    torch = pytest.importorskip("torch")
    from omnitts.engines.voice_prompt import stored_prompt
    from omnitts.models.codec.prompt import VoicePrompt

    prompt = VoicePrompt(torch.arange(4), torch.zeros(8, 80), torch.zeros(192))
    parcel = pack(anna)
    monkeypatch.setenv("OMNITTS_HOME", str(tmp_path / "worker"))
    stored_prompt(unpack(parcel), "c0dec" * 8, lambda samples: prompt)
    heard = repack(parcel)
    monkeypatch.setenv("OMNITTS_HOME", str(tmp_path / "driver"))
    keep_prompts(heard)
    [name] = heard.prompts
    assert anna.folder is not None
    assert (anna.folder / name).read_bytes() == heard.prompts[name]
    again = stored_prompt(anna, "c0dec" * 8, lambda samples: pytest.fail("heard a second time"))
    assert torch.equal(again.tokens, prompt.tokens)
    assert pack(anna).prompts == heard.prompts


@pytest.mark.parametrize("is_preset", [True, False])
def test_a_preset_or_a_loose_recording_has_its_prompt_in_the_cache(
    anna: Voice, is_preset: bool, tmp_path: Path
) -> None:
    loose = replace(anna, folder=tmp_path / "package" if is_preset else None)
    keep_prompts(replace(pack(loose), prompts={f"prompt-1-{anna.digest[:12]}.safetensors": b"heard"}))
    assert [file.read_bytes() for file in (paths.cache_dir() / "voice_prompts").iterdir()] == [b"heard"]
    assert list(pack(loose).prompts.values()) == [b"heard"]


def test_a_missing_recording_is_named(anna: Voice) -> None:
    anna.audio.unlink()
    with pytest.raises(VoiceError, match=r"clip\.flac: the recording cannot be read"):
        pack(anna)
