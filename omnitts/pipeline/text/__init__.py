"""Text: a chapter's display text in, pieces of spoken text with their display spans out."""

from omnitts.pipeline.text.lexicon import Lexicon, read_lexicon
from omnitts.pipeline.text.normalise import normalise
from omnitts.pipeline.text.options import DEFAULT_PAUSES, Piece, TextOptions
from omnitts.pipeline.text.pieces import pieces_of

__all__ = ["DEFAULT_PAUSES", "Lexicon", "Piece", "TextOptions", "normalise", "pieces_of", "read_lexicon"]
