"""Which language a text is in, from its script and commonest words. Honest: empty when it cannot tell.

Knows nothing of books. A dozen languages is what two lists of words can separate; a book's own metadata comes first.
"""

from __future__ import annotations

import re
from collections import Counter

SAMPLE_CHARS = 20_000
MIN_STOP_WORD_SHARE = 0.12
MIN_LEAD = 1.3  # over the second best language

STOP_WORDS = {
    "en": "the of and to a in that he was it his is with as i had for at on her not be but you "
    "which from she they this",
    "de": "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an er sie ich war",
    "fr": "de la le et les des en un du une que est pour qui dans a par plus pas au sur ne se il elle je ce son avait",
    "es": "de la que el en y a los del se las por un para con no una su al lo como más pero sus le ya o este había",
    "it": "di e il che la in a per un è del non sono una si le da con i al della come lo più gli ma se era nel",
    "pt": "de a o que e do da em um para com não uma os no se na por mais as dos como mas ao ele das à seu era",
    "nl": "de van een het en in is dat op te zijn voor met die niet aan er om ook als dan maar bij uit ik hij was",
    "sv": "och i att det som en på är av för med till den har de inte om ett han men var jag sig från vi så kan",
    "pl": "i w nie na się z do to że jest o jak a po co tak za od ale jego był tym przez czy już ja ze są",
    "tr": "bir ve bu da de için ile ne o gibi çok daha var ama kadar olarak sonra ben mi her ki şey iki onun",
}
SCRIPTS = {
    "ja": re.compile(r"[\u3040-\u30ff]"),
    "ko": re.compile(r"[\uac00-\ud7af]"),
    "zh": re.compile(r"[\u4e00-\u9fff\u3400-\u4dbf]"),
    "ru": re.compile(r"[\u0400-\u04ff]"),
    "el": re.compile(r"[\u0370-\u03ff]"),
    "he": re.compile(r"[\u0590-\u05ff]"),
    "ar": re.compile(r"[\u0600-\u06ff]"),
    "hi": re.compile(r"[\u0900-\u097f]"),
    "th": re.compile(r"[\u0e00-\u0e7f]"),
}
PERSIAN_LETTERS = re.compile(r"[\u067e\u0686\u0698\u06af\u06cc\u06a9]")
UKRAINIAN_LETTERS = re.compile(r"[іїєґ]", re.IGNORECASE)


def guess_language(text: str) -> str:
    """A primary tag such as ``"en"`` or ``"zh"``, or ``""``. Looks at the first `SAMPLE_CHARS` characters only."""
    sample = text[:SAMPLE_CHARS]
    letters = sum(map(str.isalpha, sample))
    if not letters:
        return ""
    counts = {tag: len(pattern.findall(sample)) for tag, pattern in SCRIPTS.items()}
    if counts["ja"] > 0.1 * letters:  # kana among Chinese characters
        return "ja"
    script = max(counts, key=lambda tag: counts[tag])
    if counts[script] > 0.4 * letters:
        return _within_script(script, sample, counts[script])
    return _by_stop_words(sample)


def primary_tag(language: str) -> str:
    """``"en-GB"`` -> ``"en"``, ``"eng"`` -> ``"en"``; empty for what is not a language tag (``"und"``, ``"zxx"``)."""
    match = re.match(r"[A-Za-z]{2,3}(?=$|[-_])", language.strip())
    tag = match.group().lower() if match else ""
    tag = THREE_LETTER_TAGS.get(tag, tag)
    return "" if tag in {"und", "zxx", "mul", "mis"} else tag


THREE_LETTER_TAGS = {
    "eng": "en", "zho": "zh", "chi": "zh", "cmn": "zh", "deu": "de", "ger": "de", "fra": "fr", "fre": "fr", "spa": "es",
    "ita": "it", "por": "pt", "nld": "nl", "dut": "nl", "swe": "sv", "pol": "pl", "tur": "tr", "rus": "ru", "jpn": "ja",
    "kor": "ko", "ara": "ar", "fas": "fa", "per": "fa", "ukr": "uk", "ell": "el", "gre": "el", "heb": "he", "hin": "hi",
}  # fmt: skip
LANGUAGE_NAMES = {
    "english": "en", "chinese": "zh", "german": "de", "french": "fr", "spanish": "es", "italian": "it",
    "portuguese": "pt", "dutch": "nl", "swedish": "sv", "polish": "pl", "turkish": "tr", "russian": "ru",
    "japanese": "ja", "korean": "ko", "arabic": "ar", "persian": "fa", "farsi": "fa", "greek": "el", "hebrew": "he",
}  # fmt: skip


def _within_script(script: str, sample: str, count: int) -> str:
    if script == "ar" and len(PERSIAN_LETTERS.findall(sample)) > 0.02 * count:
        return "fa"
    if script == "ru" and len(UKRAINIAN_LETTERS.findall(sample)) > 0.03 * count:
        return "uk"
    return script


def _by_stop_words(sample: str) -> str:
    words = Counter(re.findall(r"[^\W\d_]+", sample.lower()))
    total = words.total()
    hits = sorted(
        ((sum(words[word] for word in stops.split()), tag) for tag, stops in STOP_WORDS.items()),
        key=lambda pair: (-pair[0], pair[1]),
    )
    (best, tag), (second, _) = hits[:2]
    return tag if total and best >= MIN_STOP_WORD_SHARE * total and best >= MIN_LEAD * second else ""
