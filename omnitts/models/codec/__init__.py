"""The codec of MGM-Omni: sound to speech tokens, speech tokens to sound (spec sections 2.6, 3, 4 and 5).

    sound  -> features -> s3_tokenizer, campplus          -> VoicePrompt            (prompt.py)
    tokens -> conformer -> flow_matching (estimator)      -> mel at 50 frames/s     (flow.py)
    mel    -> hift                                        -> 24 kHz waveform        (detokenizer.py, streaming.py)

``loading.load_codec`` opens the checkpoint's ``cosyvoice2/`` folder. Knows tensors only: no text, no jobs, no files
of sound.
"""
