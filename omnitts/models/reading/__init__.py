"""Readers of speech codes: networks that tell from codes alone what is said, and how well it spells a text."""
