"""The brain of MGM-Omni: a multimodal language model that reads, hears and sees, and answers in text (spec 6).

config         what config.json says
audio_input    sound -> log-mel blocks            audio_towers   blocks -> frames of two encoders
vision_input   pictures, frames -> patches        projector      frames -> embeddings
prompt         turns -> ids with markers          positions      three-axis positions
network        Brain: ids and media -> logits     answer         logits -> tokens and text, as they come
joint          brain and mouth together           loading        a checkpoint folder -> Brain
keys, tower_sources, placement, quantise          what loading is made of
"""
