"""English spelling in one form: British and American, abbreviations, contractions. Word tables and rules only.

The rules need not give a real word: both texts go through them, so it is enough that two spellings of one word meet and
that two different common words do not.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

_VARIANTS: Final = {
    "mister": "mr", "missus": "mrs", "mistress": "mrs", "doctor": "dr", "saint": "st", "street": "st",
    "versus": "vs", "junior": "jr", "senior": "sr", "captain": "capt", "colonel": "col", "general": "gen",
    "lieutenant": "lieut", "lt": "lieut", "sergeant": "sgt", "reverend": "rev", "professor": "prof",
    "honourable": "hon", "honorable": "hon", "esquire": "esq", "company": "co", "brothers": "bros",
    "monsieur": "m", "madame": "mme", "mademoiselle": "mlle", "etcetera": "etc", "number": "no",
    "ok": "okay", "grey": "gray", "greyish": "grayish", "plough": "plow", "tyre": "tire", "tyres": "tires",
    "cheque": "check", "cheques": "checks", "programme": "program", "programmes": "programs", "sceptic": "skeptic",
    "sceptical": "skeptical", "waggon": "wagon", "waggons": "wagons", "storey": "story", "storeys": "stories",
    "gaol": "jail", "gaoler": "jailer", "draught": "draft", "draughts": "drafts", "jewellery": "jewelry",
    "pyjamas": "pajamas", "mould": "mold", "moustache": "mustache", "kerb": "curb", "catalogue": "catalog",
    "dialogue": "dialog", "axe": "ax", "defence": "defense", "offence": "offense", "pretence": "pretense",
    "licence": "license", "practise": "practice", "practised": "practiced", "judgement": "judgment",
    "acknowledgement": "acknowledgment", "ageing": "aging", "manoeuvre": "maneuver", "manoeuvres": "maneuvers",
    "aluminium": "aluminum", "cosy": "cozy", "sulphur": "sulfur", "shew": "show", "shewed": "showed",
    "shewn": "shown", "connexion": "connection", "gipsy": "gypsy", "enquire": "inquire", "enquiry": "inquiry",
    "enquired": "inquired", "skilful": "skillful", "wilful": "willful", "fulfil": "fulfill", "enrol": "enroll",
    "instalment": "installment", "woollen": "woolen", "mum": "mom", "racquet": "racket", "whisky": "whiskey",
    "burnt": "burned", "dollars": "dollar", "pounds": "pound", "euros": "euro", "cents": "cent",
    "ye": "you", "thro": "through", "tho": "though", "altho": "although", "til": "till", "ha": "hah",
}  # fmt: skip

_Rewrite = str | Callable[[re.Match[str]], str]
_RULES: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"(?<=[a-z]{2})our(?=$|s$|ed$|ing|ite|able|ful|less|er|ably|hood|ist)", "or"),  # colour, favourite
        (r"(?<=[a-z]{3})is(?=e$|ed$|es$|er$|ers$|ing$|ation)", "iz"),  # realise
        (r"(?<=[a-z]{3})ys(?=e$|ed$|es$|ing$)", "yz"),  # analyse
        (r"(?<=[bcdfgkptv])re(?=$|s$|d$)", "er"),  # centre
        (r"(?<=[a-z]{4})ll(?=ed$|ing$|er$|ers$|ous$)", "l"),  # travelled
        (r"ae", "e"),  # mediaeval
        (r"(?<=[a-z]{2})ogue$", "og"),  # catalogue
        (r"(?<=[a-z]{3})wards$", "ward"),  # towards
    )
)

_CONTRACTED: Final = {
    "is": "s", "has": "s", "am": "m", "are": "re", "have": "ve", "will": "ll", "shall": "ll", "would": "d", "had": "d",
}  # fmt: skip
_SUBJECTS: Final = frozenset({
    "i", "you", "he", "she", "it", "we", "they", "that", "there", "here", "what", "who", "where", "how", "when",
    "let", "this", "one",
})  # fmt: skip
_NEGATABLE: Final = {
    "do": "dont", "does": "doesnt", "did": "didnt", "is": "isnt", "are": "arent", "was": "wasnt", "were": "werent",
    "has": "hasnt", "have": "havent", "had": "hadnt", "can": "cant", "could": "couldnt", "will": "wont",
    "would": "wouldnt", "shall": "shant", "should": "shouldnt", "must": "mustnt", "need": "neednt", "might": "mightnt",
}  # fmt: skip


def one_spelling(word: str) -> str:
    """Canonical spelling of a lower-case word without apostrophes."""
    word = _VARIANTS.get(word, word)
    for pattern, replacement in _RULES:
        word = pattern.sub(replacement, word)
    return word


def contraction(first: str, second: str) -> str | None:
    """The contracted form of two words (``it is`` -> ``its``, ``do not`` -> ``dont``), or None if they have none.

    "He has" and "he is" meet in ``hes``: the ear cannot tell them apart either.
    """
    if second == "not":
        return _NEGATABLE.get(first)
    if first == "let" and second == "us":
        return "lets"
    if first in _SUBJECTS and second in _CONTRACTED and first != "let":
        return first + _CONTRACTED[second]
    return None
