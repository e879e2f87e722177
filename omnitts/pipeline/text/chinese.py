"""Chinese display text in, spoken text out: marks, dates, times, money, percentages, units, phones, numbers.

Own rules throughout; words in Latin letters stay as they are. Never raises; see the golden table in the tests.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from omnitts.pipeline.text.chinese_numbers import cardinal, digit_by_digit, fraction, number_words
from omnitts.pipeline.text.english_numbers import roman_value

_INVISIBLE: Final = dict.fromkeys([0xAD, *range(0x200B, 0x2010), *range(0x202A, 0x202F), 0x2060, 0xFEFF, 0xFE0F])
_MARKS: Final[dict[int, str | None]] = {
    **_INVISIBLE,
    **dict.fromkeys([*range(0x20), *range(0x7F, 0xA1), 0x3000], " "),
    **dict.fromkeys(map(ord, "“”„‟「」『』《》〈〉«»\"〝〞【】〖〗*_^`|\\<>#●○■□◆◇★☆•※▪"), " "),
    **dict.fromkeys(map(ord, "（(［[｛{〔）)］]｝}〕"), "，"),
    **dict.fromkeys(map(ord, "·・‧"), ""),
    ord("〇"): "零", ord("～"): "~", ord("〜"): "~", ord("￥"): "¥", ord("−"): "-", ord("–"): "-", ord("‐"): "-",
    ord("℃"): "°C", ord("℉"): "°F", ord("㎡"): "m²", ord("㎞"): "km", ord("㎏"): "kg", ord("⁉"): "？", ord("‽"): "？",
}  # fmt: skip
_APOSTROPHES: Final = re.compile(r"(?<![A-Za-z])['‘’]|['‘’](?![A-Za-z])")
_ODD: Final = re.compile(r"[^\w\s，。！？；：、,.;:!?'’…—%‰°/&+=×÷@$£€¥₩~²³½⅓⅔¼¾-]")
_NUMBER: Final = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_TO: Final = r"\s*(?:-|~|—|至|到)\s*"
_CURRENCIES: Final = {"¥": "元", "$": "美元", "€": "欧元", "£": "英镑", "₩": "韩元"}
_UNITS: Final = {
    "km/h": "公里每小时", "m/s": "米每秒", "km²": "平方公里", "m²": "平方米", "cm²": "平方厘米", "m³": "立方米",
    "cm³": "立方厘米", "km": "公里", "cm": "厘米", "mm": "毫米", "nm": "纳米", "m": "米", "kg": "公斤", "mg": "毫克",
    "g": "克", "t": "吨", "ml": "毫升", "mL": "毫升", "L": "升", "l": "升", "°C": "摄氏度", "°F": "华氏度", "°": "度",
    "kHz": "千赫", "MHz": "兆赫", "GHz": "吉赫", "Hz": "赫兹", "kW": "千瓦", "kWh": "千瓦时", "W": "瓦", "V": "伏",
    "min": "分钟", "h": "小时", "s": "秒", "ms": "毫秒", "dB": "分贝", "mph": "英里每小时", "lb": "磅", "ft": "英尺",
}  # fmt: skip
_VULGAR: Final = {"½": "二分之一", "⅓": "三分之一", "⅔": "三分之二", "¼": "四分之一", "¾": "四分之三"}
# Measure words before which a lone two is 两.
_MEASURES: Final = (
    "个|位|名|本|只|条|张|把|件|台|辆|艘|座|间|家|次|遍|回|场|种|块|片|口|头|匹|棵|朵|颗|粒|滴|杯|瓶|碗|盘|盒|箱|包|袋|双|对|"
    "套|份|篇|段|句|行|首|部|幅|架|门|所|层|道|项|天|周|年|小时|分钟|秒|星期|个月|岁|人|米|公里|厘米|公斤|斤|吨|元|美元|倍|点|封|顿|"
    "支|枝|根|群|排|步|声|眼|亩|里|尺|寸|升|毫升|克|度|万|亿|千|百分点"
)

_ADDRESS: Final = re.compile(
    r"(?:https?://)?(?:www\.)?[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.(?:com|org|net|cn|edu|gov|io)(?:\.cn)?(?:/[\w/.-]*\w)?"
)
_EMAIL: Final = re.compile(r"[\w.+-]+@[\w-]+(?:\.[A-Za-z0-9-]+)+")
_DATE: Final = re.compile(r"(?<![\d.])(\d{4})([-/.])(0?[1-9]|1[0-2])\2(0?[1-9]|[12]\d|3[01])(?![\d.])")
_YEARS: Final = re.compile(rf"(?<!\d)(\d{{4}}){_TO}(\d{{4}})\s*(?=年)")
_YEAR: Final = re.compile(
    r"(?<![\d.])(\d{4})\s*(?=年(?!前|后|来|间|以|多|的历史))|(?<!\d)(?:[''’])?(\d\d)\s*(?=年\s*\d{1,2}\s*月)"
)
_CLOCK: Final = re.compile(r"(?<![\d:])([01]?\d|2[0-4])[:：]([0-5]\d)(?:[:：]([0-5]\d))?(?![\d:])")
_RATIO: Final = re.compile(r"(?<![\d:：])(\d{1,3})\s*[:：]\s*(\d{1,3})(?![\d:：])")
_SCORE: Final = re.compile(
    r"(?<=比分)(\s*(?:为|是)?\s*)(\d{1,3})-(\d{1,3})|(?<=以)(\d{1,3})-(\d{1,3})(?=[^\d]{0,4}(?:胜|赢|战胜|击败|输|负|取胜|获胜))"
)
_MONEY: Final = re.compile(
    rf"(?:(?:US|HK)(?=\$))?([¥$€£₩])\s*({_NUMBER})(?:{_TO}\1?({_NUMBER}))?\s*(万亿|亿|万|千|百)?"
)
_PERCENT: Final = re.compile(rf"([-+])?({_NUMBER})([%‰])?(?:{_TO}({_NUMBER}))?([%‰])")
_PER: Final = {"%": "百分之", "‰": "千分之"}
_UNIT_NAMES: Final = "|".join(re.escape(unit) for unit in sorted(_UNITS, key=len, reverse=True))
_MEASURED: Final = re.compile(
    rf"(?<![\w.])(-)?({_NUMBER})(?:{_TO}({_NUMBER}))?\s*({_UNIT_NAMES})(?![A-Za-z²³/])", re.ASCII
)
_FRACTION: Final = re.compile(r"(?<![\d/.])(\d{1,4})/(\d{1,4})(?![\d/])")
_MOBILE: Final = re.compile(r"(?<!\d)(?:\+?86[- ]?)?(1[3-9]\d)[- ]?(\d{4})[- ]?(\d{4})(?!\d)")
_LANDLINE: Final = re.compile(r"(?<!\d)(0\d{2,3}|400|800)-(\d{3,4})-?(\d{4})(?!\d)")
_HOTLINE: Final = re.compile(
    r"((?:拨打|拨通|呼叫|打|电话|热线|报警|号码)(?:[是为:：了]|\s)*)(\d{3,5})(?!\d|个|次|元|分|通|人|年|天)"
)
_ORDINAL_ROMAN: Final = re.compile(r"第\s*([IVXLC]+)(?![A-Za-z])")
_NUMBER_ONE: Final = re.compile(r"\bNo\.\s*(?=\d)", re.IGNORECASE)
_ORDINAL: Final = re.compile(r"(第|初)\s*(\d+)")
_TWO: Final = re.compile(rf"(?<![\d.第星期周])2\s*(?=(?:{_MEASURES})(?!月|日|号))")
_ROOM: Final = re.compile(r"(?<!\d)(\d{3,4})\s*(?=号?(?:房|室|航班|次列车|路公交|教室))")
_RANGE: Final = re.compile(rf"(?<![\w.-])({_NUMBER}){_TO}({_NUMBER})(?![\d-])", re.ASCII)
_NEGATIVE: Final = re.compile(r"(?<![\w\d)])-\s*(?=\d)", re.ASCII)
_LATIN_HYPHEN: Final = re.compile(r"(?<=[A-Za-z])-(?=\d)|(?<=\d)-(?=[A-Za-z])")
_PLAIN: Final = re.compile(_NUMBER)
_SIGNS: Final = (
    (re.compile(r"(?<=[A-Za-z])\s*&\s*(?=[A-Za-z])"), " and "),
    (re.compile(r"\s*&\s*"), "和"),
    (re.compile(r"(?<=\d)\s*[+]\s*(?=\d)"), "加"),
    (re.compile(r"(?<=\d)\s*[×]\s*(?=\d)"), "乘"),
    (re.compile(r"(?<=\d)\s*÷\s*(?=\d)"), "除以"),
    (re.compile(r"(?<=[\w])\s*=\s*(?=[\w])"), "等于"),
    (re.compile(r"(?<=\d)\+"), "多"),
)
_HAN: Final = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_DASHES: Final = re.compile(r"\s*[—─―]+\s*|\s+-+\s+|--+")
_DOTS: Final = re.compile(r"(?:…|\.{3,}|。{2,})+")
_INNER_BLANK: Final = re.compile(rf"(?<=[{_HAN}，。！？；：、])\s+|\s+(?=[{_HAN}，。！？；：、])")
_HALF_MARK: Final = re.compile(
    rf"(?<=[{_HAN}，。！？])\s*([,;:!?])|([,;:!?])\s*(?=[{_HAN}])|(?<=[{_HAN}])(\.)(?=\s|\Z|[{_HAN}])"
)
_WIDE: Final = {",": "，", ";": "；", ":": "：", "!": "！", "?": "？", ".": "。"}
_SOFT_RUN: Final = re.compile(r"[，、；：,]+(?=[，、；：。！？.!?,])")
_HARD_RUN: Final = re.compile(r"[。！？!?]{2,}")
_HARD_THEN_SOFT: Final = re.compile(r"(?<=[。！？])[，、；：,\s]+")
_EDGES: Final = re.compile(r"\A[\s，。、；：,.;:!?！？—/-]+|[\s，、；：,;:/-]+\Z")
_LETTER_OR_DIGIT: Final = re.compile(r"[^\W_]")
_NEEDS_CARE: Final = re.compile(rf"[^{_HAN}，。！？；：、]|[，。！？；：、]{{2}}|\A[，。！？；：、]|[，；：、]\Z")


def speak_chinese(text: str) -> str:
    """``text`` as it is said. Empty only when it has no letter and no digit."""
    if not _NEEDS_CARE.search(text):
        return text
    spoken = _settle(_numbers(_marks(text)))
    if _LETTER_OR_DIGIT.search(spoken):
        return spoken
    return " ".join(_LETTER_OR_DIGIT.findall(text))


def _marks(text: str) -> str:
    text = unicodedata.normalize("NFC", text).translate(_MARKS)
    text = "".join(unicodedata.normalize("NFKC", c) if _is_wide_letter(c) else c for c in text)
    text = _APOSTROPHES.sub(" ", text).replace("’", "'")
    return _ODD.sub(_odd, text)


def _is_wide_letter(character: str) -> bool:
    code = ord(character)
    is_wide = 0xFF10 <= code <= 0xFF5A and (character.isalnum() or character in "：") and character != "："
    return (
        is_wide or code in {0xFF05, 0xFF04, 0xFF0B, 0xFF1D, 0xFF0F, 0xFF0D, 0xFF0E, 0xFF06} or 0x2160 <= code <= 0x217F
    )


def _odd(found: re.Match[str]) -> str:
    character = found.group()
    return character if unicodedata.category(character).startswith("M") else " "


def _numbers(text: str) -> str:
    text = _EMAIL.sub(lambda m: m.group().replace("@", " at ").replace(".", "点"), text)
    text = _ADDRESS.sub(lambda m: re.sub(r"\Ahttps?://", "", m.group()).replace(".", "点").replace("/", "斜杠"), text)
    text = _ORDINAL_ROMAN.sub(_ordinal_roman, text)
    if not any(character.isdecimal() or character in _VULGAR for character in text):
        return _signs(text)
    text = _NUMBER_ONE.sub("第", text)
    text = _DATE.sub(lambda m: f"{digit_by_digit(m[1])}年{cardinal(int(m[3]))}月{cardinal(int(m[4]))}日", text)
    text = _YEARS.sub(lambda m: f"{digit_by_digit(m[1])}到{digit_by_digit(m[2])}", text)
    text = _YEAR.sub(lambda m: digit_by_digit(m[1] or m[2]), text)
    text = _SCORE.sub(lambda m: f"{m[1] or ''}{number_words(m[2] or m[4])}比{number_words(m[3] or m[5])}", text)
    text = _CLOCK.sub(_clock, text)
    text = _RATIO.sub(lambda m: f"{number_words(m[1])}比{number_words(m[2])}", text)
    text = _MONEY.sub(_money, text)
    text = _PERCENT.sub(_percent, text)
    text = _MOBILE.sub(lambda m: "，".join(digit_by_digit(part, is_phone=True) for part in m.groups()), text)
    text = _LANDLINE.sub(lambda m: "，".join(digit_by_digit(part, is_phone=True) for part in m.groups()), text)
    text = _HOTLINE.sub(lambda m: m[1] + digit_by_digit(m[2], is_phone=True), text)
    text = _MEASURED.sub(_measured, text)
    text = _FRACTION.sub(lambda m: fraction(m[1], m[2]), text)
    text = re.sub(f"[{''.join(_VULGAR)}]", lambda m: _VULGAR[m.group()], text)
    text = _ORDINAL.sub(lambda m: m[1] + number_words(m[2]), text)
    text = _ROOM.sub(lambda m: digit_by_digit(m[1], is_phone=True), text)
    text = _RANGE.sub(lambda m: f"{_maybe_two(m, 1)}到{_maybe_two(m, 2)}", text)
    text = _TWO.sub("两", text)
    text = _signs(text)
    text = _NEGATIVE.sub("负", _LATIN_HYPHEN.sub(" ", text))
    return _PLAIN.sub(lambda m: number_words(m.group()), text)


def _signs(text: str) -> str:
    for pattern, words in _SIGNS:
        text = pattern.sub(words, text)
    return text


def _maybe_two(match: re.Match[str], group: int) -> str:
    """In a range, a two counts like the number it leads to: ``2-3个`` is 两到三个, ``2-3月`` 二到三月."""
    is_counted = re.match(rf"\s*(?:{_MEASURES})(?!月|日|号)", match.string[match.end() :]) is not None
    return "两" if match[group] == "2" and is_counted else number_words(match[group])


def _ordinal_roman(match: re.Match[str]) -> str:
    value = roman_value(match[1])
    return match.group() if value is None else f"第{cardinal(value)}"


def _clock(match: re.Match[str]) -> str:
    hour = "两" if int(match[1]) == 2 else cardinal(int(match[1]))
    minute = int(match[2])
    spoken = f"{hour}点"
    if minute or match[3]:
        spoken += f"{'零' if minute < 10 and minute else ''}{cardinal(minute)}分"
    return f"{spoken}{cardinal(int(match[3]))}秒" if match[3] else spoken


def _money(match: re.Match[str]) -> str:
    sign, first, last, scale = match.groups()
    first_words = "两" if first == "2" else number_words(first)
    upper = f"到{number_words(last)}" if last else ""
    return f"{first_words}{upper}{scale or ''}{_CURRENCIES[sign]}"


def _percent(match: re.Match[str]) -> str:
    sign, first, first_per, last, per = match.groups()
    spoken = f"{'负' if sign == '-' else ''}{_PER[first_per or per]}{number_words(first)}"
    if last is None:
        return spoken
    return f"{spoken}到{_PER[per] if first_per else ''}{number_words(last)}"


def _measured(match: re.Match[str]) -> str:
    minus, first, last, unit = match.groups()
    sign = ("零下" if unit == "°C" else "负") if minus else ""
    first_words = "两" if first == "2" and not last else number_words(first)
    upper = f"到{number_words(last)}" if last else ""
    return f"{sign}{first_words}{upper}{_UNITS[unit]}"


def _settle(text: str) -> str:
    text = _DASHES.sub("，", text)
    text = _DOTS.sub("，", re.sub(r"(?:…|\.{3,})+\s*\Z", "。", text))
    text = text.replace("~", "")
    text = _INNER_BLANK.sub("", " ".join(text.split()))
    text = _HALF_MARK.sub(lambda m: _WIDE[m[1] or m[2] or m[3]], text)
    text = _INNER_BLANK.sub("", text)
    text = _SOFT_RUN.sub("", text)
    text = _HARD_RUN.sub(lambda m: "？" if set(m.group()) & {"？", "?"} else m.group()[0], text)
    text = _HARD_THEN_SOFT.sub("", text)
    return _EDGES.sub("", text)
