"""Reference voices: the library and the presets, adding a clip, and saying what is wrong with it."""
