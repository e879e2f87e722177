"""Engines: text and voice in, waveform out, many utterances at once. See `base` for the protocol."""
