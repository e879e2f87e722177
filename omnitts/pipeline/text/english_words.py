"""English words that are not written as they are said: abbreviations, initials, Roman numerals, acronyms, capitals.

Text in, text out. Knows nothing of numbers in digits. What it does not know it leaves alone; a word is changed only
between Unicode word boundaries, so that the ``dr`` of ``drôle`` is no doctor.
"""

from __future__ import annotations

import re
from typing import Final

from omnitts.pipeline.text.english_numbers import cardinal, ordinal, roman_value

_SPOKEN_ABBREVIATIONS: Final = {
    "Mr": "Mister", "Mrs": "Missus", "Ms": "Miz", "Dr": "Doctor", "Prof": "Professor", "Rev": "Reverend",
    "Hon": "Honourable", "Capt": "Captain", "Col": "Colonel", "Gen": "General", "Lt": "Lieutenant", "Sgt": "Sergeant",
    "Cpl": "Corporal", "Maj": "Major", "Cmdr": "Commander", "Adm": "Admiral", "Gov": "Governor", "Sen": "Senator",
    "Rep": "Representative", "Pres": "President", "Supt": "Superintendent", "Insp": "Inspector", "Messrs": "Messers",
    "Mme": "Madame", "Mlle": "Mademoiselle", "Jr": "Junior", "Sr": "Senior", "Bros": "Brothers", "Esq": "Esquire",
    "Mt": "Mount", "Ft": "Fort", "Ave": "Avenue", "Blvd": "Boulevard", "Rd": "Road", "Dept": "Department",
    "Inc": "Incorporated", "Ltd": "Limited", "Co": "Company", "Corp": "Corporation", "vs": "versus", "etc": "et cetera",
    "approx": "approximately", "dept": "department", "vol": "volume", "Vol": "Volume", "vols": "volumes",
    "ch": "chapter", "Ch": "Chapter", "chap": "chapter", "Chap": "Chapter", "fig": "figure", "Fig": "Figure",
    "figs": "figures", "ed": "editor", "eds": "editors", "est": "established", "cf": "compare", "ca": "circa",
    "viz": "namely", "Jan": "January", "Feb": "February", "Apr": "April", "Aug": "August", "Sept": "September",
    "Sep": "September", "Oct": "October", "Nov": "November", "Dec": "December", "Mon": "Monday", "Tues": "Tuesday",
    "Weds": "Wednesday", "Thurs": "Thursday",
    "ext": "extension", "MS": "manuscript", "MSS": "manuscripts", "Fri": "Friday",
}  # fmt: skip
_AMBIGUOUS: Final = frozenset({"ch", "Ch", "ed", "est", "Rep", "Mon", "Fri", "Gen", "Col", "Ft", "Mt", "ca", "Hon"})
_MAY_END: Final = frozenset({"Jr", "Sr", "Bros", "Esq", "Ave", "Blvd", "Rd", "Inc", "Ltd", "Corp", "Co", "etc"})
_BEFORE_NUMBER: Final = {
    "No": "Number", "no": "number", "Nos": "Numbers", "nos": "numbers", "p": "page", "pp": "pages", "P": "Page",
    "art": "article",
    "Art": "Article", "sec": "section", "Sec": "Section", "par": "paragraph", "op": "opus", "Op": "Opus", "c": "circa",
    "nr": "number", "pt": "part", "Pt": "Part", "vv": "verses", "ll": "lines", "Mar": "March", "Jun": "June",
    "Jul": "July", "ex": "example", "b": "born", "d": "died",
}  # fmt: skip
_LETTERS: Final = {
    "e.g": "for example",
    "i.e": "that is",
    "n.b": "note well",
    "a.m": "a m",
    "p.m": "p m",
    "o.k": "okay",
}

_ABBREVIATION: Final = re.compile(
    rf"(?<![\w.])({'|'.join(sorted(_SPOKEN_ABBREVIATIONS, key=len, reverse=True))})\.(?=(\s*)(\S?))"
)
_BARE_TITLE: Final = re.compile(r"(?<![\w.])(Mr|Mrs|Ms|Dr|Prof)(?= [A-Z])")
_NUMBERED: Final = re.compile(
    rf"(?<![\w.])({'|'.join(sorted(_BEFORE_NUMBER, key=len, reverse=True))})\.\s?(?=\d|[IVXLC]{(2,)}\b|[VX]\b)"
)
_SAINT: Final = re.compile(r"(?<![\w.])St\.?(?= [A-Z])")
_STREET: Final = re.compile(r"(?<=[a-z] )St\b(\.?)(?=\s*(.?))")
_TWO_LETTERS: Final = re.compile(
    r"(?<![\w.])([Ee]\.[Gg]|[Ii]\.[Ee]|N\.B|n\.b|[AaPp]\.[Mm]|O\.K)\.?(?!\w)(?=(\s*)(\S?))"
)
_INITIALS: Final = re.compile(r"(?<![\w.'])((?:[A-Z]\.[ ]?)+)(?=(\S?))")
_DOTTED_ACRONYM: Final = re.compile(r"(?<![\w.])((?:[A-Z]\.){2,})(?=(\s*)(\S?))")
_DEGREE: Final = re.compile(r"\b(Ph|B|M|LL)\.(D|Sc|A|Phil|B|Ed)\.(?=(\s*)(\S?))")

_NUMBERED_THING: Final = (
    "chapter|book|part|volume|act|scene|section|canto|appendix|psalm|article|phase|type|class|stage|figure|table|plate|"
    "lesson|letter|number|war|bowl|title|verse|page|level|grade|mark|episode|season|series|stave|fit|sonnet|corps"
)
_ROMAN: Final = r"([IVXLC]+)"
_THING_ROMAN: Final = re.compile(rf"\b({_NUMBERED_THING}) {_ROMAN}(?![\w'’])", re.IGNORECASE)
_MONARCHS: Final = (
    "Henry|Louis|Charles|George|Edward|Richard|James|William|Elizabeth|Mary|Philip|Pius|Leo|Paul|Benedict|Gregory|"
    "Clement|Innocent|Urban|Alexander|Boniface|Napoleon|Frederick|Ferdinand|Francis|Catherine|Nicholas|Ivan|Peter|"
    "Ramses|Ramesses|Ptolemy|Darius|Xerxes|Christian|Gustav|Oscar|Otto|Wilhelm|Carlos|Alfonso|Alphonso|Umberto|"
    "Emmanuel|Haakon|Olaf|Harald|Robert|David|Margaret|Kenneth|Constantine|Justinian|Theodosius|Sixtus|Julius|"
    "Adrian|Celestine|Honorius|Eugene|Stephen|Baldwin|Leopold|Albert|Maximilian|Rudolf|Sigismund|Casimir|Mehmed|Murad|"
    "Selim|Suleiman|Thutmose|Amenhotep|Seti|Pedro|John|Joseph|Victor|Theodore|Isabella|Maria|Antiochus|Cleopatra"
)
_MONARCH_ROMAN: Final = re.compile(rf"\b({_MONARCHS}) {_ROMAN}(['’]s)?(?![\w'’])(?=(\s*)(\S?))")
_CROWNED: Final = re.compile(
    r"\b(?:[Kk]ing|[Qq]ueen|[Pp]ope|[Ee]mperor|[Ee]mpress|[Tt]sar|[Cc]zar|[Kk]aiser|[Ss]ultan)\b[^.!?]{0,24}\Z"
)
_NAME_ROMAN: Final = re.compile(r"\b([A-Z][\w’']*[a-z]) ((?:I{2,3}|I?[VX]|[VX]I{1,3}|X+[IVX]*))(?![\w'’])")
_HEADING_ROMAN: Final = re.compile(r"\A\W*([IVXLC]+)(?=\W*\Z|[.:)]\s|\s?[—–-]\s)")

_WORD_ACRONYMS_LIST: Final = (
    "NASA NATO UNESCO UNICEF AIDS OPEC SWAT NAFTA FIFA UEFA COVID INTERPOL NOAA LASER RADAR SONAR SCUBA BASIC "
    "COBOL ASCII JPEG MIDI RAM ROM SIM GIF FEMA OSHA DARPA PIN WASP YUPPIE NIMBY CERN"
)
_WORD_ACRONYMS: Final = frozenset(_WORD_ACRONYMS_LIST.split())
_LETTER_ACRONYMS_LIST: Final = (
    "USA UK EU UN US BBC CIA FBI IBM AI IT TV DVD ATM ABC CBS NBC CNN KGB NSA IRA IRS UFO FAQ CEO CFO CTO VIP DNA RNA "
    "HIV IQ ID OK USSR UAE AOL API URL USB CPU GPU PC DIY DJ MC ESP EEG EKG ECG ICU IOU MIA POW RAF SOS VAT "
    "VHF UHF FM AC DC AD BC CE BCE AKA ASAP ETA NYC NY OCD PO PR QED RSVP SUV TLC UV WWI WWII EPUB IPO ACLU "
    "NAACP AFL CIO MIT UCLA HQ ER ESA GOP IMF IPA LED MRI NGO OED PDF PHD ROTC SAS STD UPS"
)
_LETTER_ACRONYMS: Final = frozenset(_LETTER_ACRONYMS_LIST.split())
_SOUNDS_LIST: Final = "SHH SHHH HMM HMMM MMM MM PSST BRR BRRR GRR GRRR TSK TSKS PFFT SSH SH ZZZ ZZ HM NTH CWM"
_SOUNDS: Final = frozenset(_SOUNDS_LIST.split())
_AFTER_NAME: Final = re.compile(r"\b(?:[A-Z]|[A-Z][a-z]+) \Z")  # Lady MONTAGUE, H G WELLS
_CAPITALS: Final = re.compile(r"(?<![\w&])([A-Z][A-Z’']*[A-Z]|[A-Z]{2,})(s?)(?![\w])")
_MIXED_ACRONYM: Final = re.compile(r"(?<!\w)([A-Z]{2,})(?= ?\d)")


_ABBREVIATED: Final = re.compile(r"\.(?=[^\s.]|\s+\S)|\bSt\b|[A-Za-z]{2}\.\Z")
_MAYBE_ROMAN: Final = re.compile(r"(?<=[A-Za-z] )(?:[IVXLC]{2,}|[IVXLC])\b")


def words_to_words(text: str, *, is_heading: bool = False) -> str:
    """Abbreviations and Roman numerals. Runs before numbers, so that ``No. 5`` is still told from ``No.``"""
    if is_heading:
        text = _HEADING_ROMAN.sub(_heading_roman, text)
    if _ABBREVIATED.search(text):
        text = _abbreviations(text)
    if _MAYBE_ROMAN.search(text):
        text = _THING_ROMAN.sub(_thing_roman, text)
        text = _MONARCH_ROMAN.sub(_monarch, text)
        text = _NAME_ROMAN.sub(_name_roman, text)
    text = _BARE_TITLE.sub(lambda m: _SPOKEN_ABBREVIATIONS[m[1]], text)
    return text


def _abbreviations(text: str) -> str:
    """What ends in a full stop without ending a sentence, and ``St``."""
    text = _TWO_LETTERS.sub(_two_letters, text)
    text = _STREET.sub(_street, _SAINT.sub(_saint, text))
    text = _ABBREVIATION.sub(_abbreviation, text)
    text = _DEGREE.sub(
        lambda m: f"{' '.join((m[1] + m[2]).upper() if m[1] != 'Ph' else 'PHD')}{_kept_stop(m[3], m[4])}", text
    )
    text = _NUMBERED.sub(lambda m: f"{_BEFORE_NUMBER[m[1]]} ", text)
    text = _DOTTED_ACRONYM.sub(_dotted_acronym, text)
    return _INITIALS.sub(lambda m: m[1].replace(".", " ").replace("  ", " ") if m[2].isalpha() else m[1], text)


def capitals_to_words(text: str) -> str:
    """Words in capitals: acronyms are spelled or said, shouted words and all-capital titles become ordinary words."""
    is_shouted = _is_shouted(text)
    text = _MIXED_ACRONYM.sub(lambda m: " ".join(m[1]) if m[1] not in _WORD_ACRONYMS else m[1].capitalize(), text)
    return _CAPITALS.sub(lambda m: _capitals(m, is_shouted=is_shouted), text)


def _is_shouted(text: str) -> bool:
    """Whether the whole text is in capitals, so that capitals say nothing about a word in it."""
    words = [word for word in re.findall(r"[^\W\d_]+", text) if len(word) > 1]
    num_capital = sum(word.isupper() for word in words)
    return num_capital >= 2 and num_capital >= len(words) - 1 and any(len(word) > 3 for word in words)


def _capitals(match: re.Match[str], *, is_shouted: bool) -> str:
    word, plural = match[1], match[2]
    bare = word.replace("’", "").replace("'", "")
    if not plural and set(bare) <= set("IVX") and (value := roman_value(bare)):
        return cardinal(value)
    if bare in _SOUNDS:
        return word.lower() + plural
    if bare in _WORD_ACRONYMS:
        return word.capitalize() + plural
    is_spelled = bare in _LETTER_ACRONYMS or not set(bare) & set("AEIOUY")
    if is_shouted and (bare in {"US", "IT", "ID", "AM", "UPS", "ER", "OK", "DIY"} or not bare.isascii()):
        is_spelled = False
    if is_spelled and bare == word:
        return " ".join(word) + plural
    if plural:
        return match.group()
    starts = match.string[: match.start()].rstrip("\"'“‘(—–- \t")[-1:] in {"", ".", "!", "?"}
    starts = starts or _AFTER_NAME.search(match.string, 0, match.start()) is not None
    return word.capitalize() if starts else word.lower()


def _kept_stop(blanks: str, following: str) -> str:
    """The full stop of an abbreviation is also its sentence's when nothing, or a new sentence, follows."""
    return "." if not following or (following in '"”’)]' and not blanks) else ""


def _two_letters(match: re.Match[str]) -> str:
    spoken = _LETTERS[match[1].lower()]
    if match[1][0].isupper() and spoken[1] != " ":
        spoken = spoken.capitalize()
    return spoken + (_kept_stop(match[2], match[3]) if match.group().endswith(".") else "")


def _abbreviation(match: re.Match[str]) -> str:
    word, blanks, following = match[1], match[2], match[3]
    if word in _AMBIGUOUS and not (following.isupper() or following.isdigit()):
        return match.group()
    spoken = _SPOKEN_ABBREVIATIONS[word]
    if not following and word not in _MAY_END and word not in {"vs"} and not word[0].isupper():
        return f"{spoken}."
    return spoken + _kept_stop(blanks, following)


def _saint(match: re.Match[str]) -> str:
    before = match.string[: match.start()].rstrip()
    last_word = re.search(r"([A-Za-z]+)\Z", before)
    is_street = (
        last_word is not None
        and last_word[1][0].isupper()
        and last_word[1] not in {"The", "In", "At", "Of", "To", "And", "Near", "From"}
    )
    return match.group() if is_street and not before.endswith((",", ".")) else "Saint"


def _street(match: re.Match[str]) -> str:
    return f"Street{'.' if match[1] and not match[2] else ''}"


def _dotted_acronym(match: re.Match[str]) -> str:
    letters = match[1].replace(".", " ").strip()
    return letters + _kept_stop(match[2], match[3])


def _heading_roman(match: re.Match[str]) -> str:
    value = roman_value(match[1])
    return match.group() if value is None else match.group().replace(match[1], cardinal(value).capitalize())


def _thing_roman(match: re.Match[str]) -> str:
    value = roman_value(match[2])
    is_letter = match[2] in {"C", "L"} and match[1].lower() not in {"chapter", "psalm", "canto", "sonnet", "stave"}
    if value is None or is_letter or (match[2] == "I" and match[1].islower()):
        return match.group()
    return f"{match[1]} {cardinal(value)}"


def _monarch(match: re.Match[str]) -> str:
    value = roman_value(match[2])
    is_pronoun = match[2] == "I" and match[5].islower() and not _CROWNED.search(match.string[: match.start()])
    if value is None or value > 30 or is_pronoun:
        return match.group()
    return f"{match[1]} the {ordinal(value).capitalize()}{match[3] or ''}"


def _name_roman(match: re.Match[str]) -> str:
    value = roman_value(match[2])
    return match.group() if value is None or match[2] == "V" or match[2] == "X" else f"{match[1]} {cardinal(value)}"
