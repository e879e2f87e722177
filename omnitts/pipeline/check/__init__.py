"""Checks: one take of an utterance, or a whole audiobook, against the text it should say and the voice it should have.

`judge` is the door for takes, `whole_file` for finished audio. The rest: `asr_models` and `transcribe` (what was
heard), `text_equal`, `numbers_en`, `spelling_en`, `sounds` and `wer` (is it the same text), `signal` and `pace` (is the
sound sound), `similarity` (is it the same speaker), `rules` (what of all that is a fault).
"""
