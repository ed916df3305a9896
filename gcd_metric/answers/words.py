"""Words that answers use: compass points, reasoning, markers, refusals, errors, nothing.

English, German, French, Spanish, Portuguese and Italian, with the Chinese and Japanese compass.
"""

from __future__ import annotations

import re
from functools import lru_cache


def words_of(text: str) -> frozenset[str]:
    """The words of a text, as a set."""
    return frozenset(text.split())


# --- characters ---------------------------------------------------------------------------------

_ALIKE = {
    "-": "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe63\uff0d",
    " ": "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b\u200e"
    "\u200f\u202f\u205f\u2066\u2067\u2068\u2069\u3000\ufeff`*$~\u2248",  # also Markdown and LaTeX
    "'": "\u2032\u2018\u2019\u00b4\u02b9\u02bc\uff07",
    '"': "\u2033\u201c\u201d\u201e\u02ba\u3003\uff02\u00ab\u00bb",
    "°": "\u00ba\u02da\u1d52\u2218\u2070",
    ",": "\uff0c\u3001\u060c",
    ".": "\uff0e\u066b",
    ";": "\uff1b",
    ":": "\uff1a",
    "(": "\uff08",
    ")": "\uff09",
    "[": "\u3010",
    "]": "\u3011",
    "+": "\uff0b",
    "/": "\uff0f",
}
_ZEROS = (0x0660, 0x06F0, 0x0966, 0x09E6, 0x0E50, 0xFF10)  # digits of other scripts start here
# each character becomes one character, so that places in the text stay the same
CHARACTERS = {
    **{ord(other): plain for plain, others in _ALIKE.items() for other in others},
    **{zero + digit: str(digit) for zero in _ZEROS for digit in range(10)},
}

# --- compass ------------------------------------------------------------------------------------

_COMPASS = {
    "N": r"north(?:ern)?|nord(?:en)?|norte|n(?:ö|oe)rdl(?:ich(?:e[rn]?)?|\.)|北[纬緯]",
    "S": r"south(?:ern)?|s(?:ü|ue|u)d(?:en)?|sur|sul|s(?:ü|ue)dl(?:ich(?:e[rn]?)?|\.)|南[纬緯]",
    "E": r"east(?:ern)?|ost(?:en)?|l?este|est|(?:ö|oe)stl(?:ich(?:e[rn]?)?|\.)|东经|東[経經]",
    "W": r"west(?:ern|en)?|ouest|oeste|ovest|westl(?:ich(?:e[rn]?)?|\.)|西[经経經]",
}
COMPASS = "|".join(f"(?:{words})" for words in _COMPASS.values())
_POINTS = {letter: re.compile(words, re.IGNORECASE) for letter, words in _COMPASS.items()}
# also "is" in French, "this" in Spanish, "on" in French: compass words only beside a degree mark
AMBIGUOUS = frozenset(["est", "este", "sur"])

LATITUDE = r"lat(?:itud(?:e|ine)?|\.)?|(?:geogr?\w{0,8}\.? )?breite(?:ngrade?)?|[纬緯]度"
LONGITUDE = (
    r"l(?:ong?|ng)\.?|longitud(?:e|ine)?|(?:geogr?\w{0,8}\.? )?l(?:ä|ae)nge(?:ngrade?)?|[经経經]度"
)


def compass_letter(word: str) -> str:
    """N, S, E, W, O or L of a compass letter or word."""
    if len(word) == 1:
        return word.upper()
    return next(letter for letter, words in _POINTS.items() if words.fullmatch(word))


_GERMAN = re.compile(
    r"\b(?:breite(?:ngrad)?|l(?:ä|ae)nge(?:ngrad)?|grad|koordinaten|und|der|die|das|ist|ort|bild"
    r"|nördl\w*|östl\w*|süd\w*|ost|minuten|sekunden|liegt|etwa|ungefähr|standort|aufnahme)\b",
    re.IGNORECASE,
)
_ROMANCE = re.compile(
    r"\b(?:latitud(?:e|ine)?|longitud(?:e|ine)?|ouest|oeste|ovest|norte|sul|sud|sur|leste|este|est"
    r"|coordonnées|coordenadas|coordinate|grados|degrés|graus|gradi|et|y|e|la|le|les|el|los|las|de"
    r"|du|del|della|il|em|en|que|foto|imagen|imagem|immagine|ubicación|localização)\b",
    re.IGNORECASE,
)


@lru_cache(maxsize=2)  # a text may have many an O
def letter_o(text: str) -> str:
    """What O stands for, by the other words of the text: E in German, W in Romance languages."""
    german, romance = (len(words.findall(text)) for words in (_GERMAN, _ROMANCE))
    return "" if german == romance else "E" if german > romance else "W"


# --- parts of an answer -------------------------------------------------------------------------

_THINKING = r"think(?:ing)?|thoughts?|reasoning|scratchpad|analysis|reflection|seed:think"
REASONING = re.compile(
    rf"(?P<open><(?:{_THINKING})>|\[THINK\]|◁think▷|<\|channel\|>(?:analysis|commentary))"
    rf"|(?P<close></(?:{_THINKING})>|\[/THINK\]|◁/think▷|<\|channel\|>final)",
    re.IGNORECASE,
)
_THING = r"(?:answer|guess|estimate|estimation|coordinates?|location|prediction|decision|verdict)"


def _any_case(*patterns: str) -> str:
    """Patterns that begin a word, in any case.

    Each alternative begins with a letter, so that `re` skips all other characters quickly; it does
    not with IGNORECASE or a leading boundary.
    """
    return "|".join(
        rf"{first}(?<!\w{first})(?i:{pattern[1:]})"
        for pattern in patterns
        for first in (pattern[0], pattern[0].upper())
    )


FINAL = re.compile(
    r"<answer>|\\boxed\s?\{|<\|begin_of_box\|>|####|"
    + _any_case(
        rf"final[ _-]{_THING}",
        r"final\s?:",
        r"endgültige (?:antwort|schätzung|koordinaten)",
        r"réponse finale",
        r"estimation finale",
        r"respuesta (?:final|definitiva)",
        r"resposta (?:final|definitiva)",
        r"risposta (?:finale|definitiva)",
    )
)
GUESS = re.compile(
    _any_case(
        *(
            rf"{word} (?:overall |single )?(?:guess|estimate|answer|location)"
            for word in ("best", "my", "top", "primary", "most likely")
        ),
        *(
            rf"{word}[\"'\s]{{0,3}}[:=]"
            for word in ("answer", "prediction", "antwort", "réponse", "respuesta")
        ),
        r"guess(?<!first guess)(?<!initial guess)[\"'\s]{0,3}[:=]",
        r"resposta[\"'\s]{0,3}[:=]",
        r"risposta[\"'\s]{0,3}[:=]",
        r"beste schätzung",
        r"meilleure estimation",
        r"mejor estimación",
        r"melhor estimativa",
        r"migliore stima",
        r"i(?:'d| would) (?:guess|estimate|say)",
    )
)

EXAMPLE = re.compile(
    r"(?:\be\.?g\b|\bfor (?:example|instance)\b|\bsuch as\b|\bexample\b|\bformat\b|\bz\.\s?b\b"
    r"|\bzum beispiel\b|\bpar exemple\b|\bpor ejemplo\b|\bpor exemplo\b|\bad esempio\b)"
    r"[^0-9]{0,40}$",
    re.IGNORECASE,
)

# --- no answer ----------------------------------------------------------------------------------

_NOTHING = re.compile(
    r"[\W_]*(?:(?:n/?a|n\.a\.|nan|nil|null|none|nothing|unknown|unspecified|undetermined|undefined"
    r"|undisclosed|unidentified|unidentifiable|undeterminable|redacted|withheld|unavailable|unclear|indeterminate|inconclusive"
    r"|missing|empty|tbd|false|no|not"
    r"|unbekannt|keine(?: angabe)?|inconnue?|desconocid[oa]|desconhecid[oa]|sconosciut[oa]|ninguno"
    r"|nenhum|nessuno|aucune?|idk)"
    r"|(?:no|not|none|unable|cannot|can't|could not|insufficient|unknown|unspecified)\b"
    r"[\w ,'/()-]{0,80})?"
    r"[\W_]*",
    re.IGNORECASE,
)
_FIND = (
    r"(?:determin|identif|provid|tell|say|locat|pinpoint|geoloc|help|assist|infer|establish|give"
    r"|answer|guess|share|comply|deduce|specify|assess|confirm|find|offer|view|see|process|analy[sz]e)"
)
_REFUSAL = re.compile(
    # English
    r"\b(?:i|we)(?:'m| am|'re| are) (?:really |very |so |truly )?(?:sorry|afraid)\b|\bsorry\b"
    r"|\bmy apologies\b|\bi apologi[sz]e\b|\bas an ai\b|\bi'?m (?:just |only )?an ai\b"
    r"|\b(?:i|we)(?: simply| really| just| unfortunately)? (?:cannot|can't|can not|won't|will not"
    r"|couldn't|could not|must decline|decline|refuse|have no idea|don't know|do not know)\b"
    rf"|\b(?:cannot|can't|could not|couldn't|can not) (?:be )?(?:\w+ly )?{_FIND}"
    rf"|\b(?:unable|impossible|not possible|not able|declin\w+)(?: for me)? to (?:\w+ly )?{_FIND}"
    r"|\b(?:could|might|may) be (?:almost |practically )?any(?:where| place)\b|\bno idea\b"
    r"|\bagainst (?:my|our|the) (?:\w+ )?(?:guideline|polic)|\bprivacy (?:concern|reason|polic)"
    r"|\bprefer not to\b"
    r"|\brequest (?:denied|refused|blocked)\b|\b(?:isn't|is not|not) something i\b"
    r"|\b(?:don't|do not) see (?:any|an|the) (?:image|photo|picture)"
    r"|\bno (?:image|photo|picture) (?:is|was|has|attached|provided|uploaded)"
    r"|\bplease (?:provide|upload|share|attach) (?:the|an?|your) (?:image|photo|picture)"
    # German
    r"|\btut mir (?:sehr )?leid\b|\bich kann\b[^.\n]{0,80}\b(?:nicht|kein\w{0,2})\b"
    r"|\bkann (?:ich )?(?:leider )?(?:nicht|kein)|\bunmöglich\b|\bich weiß (?:es )?nicht\b"
    r"|\bnicht (?:\w+ )?(?:möglich|bestimm|feststell|erkenn|identifizier)|\bnicht in der lage\b"
    # French
    r"|\bdésolée?\b|\bje (?:ne|n') ?(?:peux|suis pas|sais|parviens|arrive|dispose)\b"
    r"|\bimpossible (?:de|d')|\bil n'est pas possible\b|\bje regrette\b"
    # Spanish and Portuguese
    r"|\blo (?:siento|lamento)\b|\bno (?:puedo|es posible|me es posible|soy capaz|sé)\b"
    r"|\b(?:des|dis)culpe\b|\blamento\b|\bsinto muito\b|\bimposible\b|\bimpossível\b"
    r"|\bnão (?:posso|consigo|é possível|sou capaz|sei)\b"
    # Italian
    r"|\bmi dispiace\b|\bnon (?:posso|è possibile|sono in grado|riesco|so)\b|\bimpossibile\b"
    # Chinese and Japanese
    r"|抱歉|对不起|無法|无法|不能确定|申し訳|できません|わかりません",
    re.IGNORECASE,
)
# doubts; they make a refusal of a text that names no place
_DOUBT = re.compile(
    rf"\b(?:difficult|hard|challenging|tough|tricky)(?: for me)? to (?:\w+ly )?{_FIND}"
    r"|\b(?:not|isn't|aren't|without|no|lacks?|lacking|insufficient|limited|keine|pas|sin|sem|senza)"
    r" (?:\w+ ){0,2}?(?:information|context|detail|clue|evidence|landmark|indicat|hinweis|indice"
    r"|pista|indizi|sign)"
    r"|\b(?:more|additional|further) (?:information|context|details)\b|\bambiguous\b",
    re.IGNORECASE,
)
_ERROR = re.compile(
    r"^\W{0,5}(?:(?:api|http|server|internal|request|connection|network|value|type|runtime|key|json)?"
    r"[ _]?(?:error|exception|failure)\b|[\w.]{0,60}(?:Error|Exception)\b"
    r"|failed (?:to|after|with)\b"
    r"|traceback \(most|request (?:timed out|failed)|timed? ?out\b|rate limit|too many requests"
    r"|(?:status|http)(?:[ _]code)?\W{0,3}[45][0-9][0-9]\b|[45][0-9][0-9]\s[a-z]"
    r"|connection (?:reset|refused|aborted|timed)"
    r"|service unavailable|bad gateway|gateway time|internal server|<!doctype html|<html)"
    r"|\b(?:error code|status code|http)[: ]{1,3}[45][0-9][0-9]\b|\brate_limit_exceeded\b"
    r"|\binvalid_request_error\b|\boverloaded_error\b|\bcontent_policy_violation\b"
    r"|\bserver_error\b|\bauthentication_error\b|\binsufficient_quota\b|\bRESOURCE_EXHAUSTED\b"
    r"|\btimed out\b|\bcontent[ _]filter"
    r"|\bcuda out of memory\b|\bcontext_length_exceeded\b|\bmax retries exceeded\b",
    re.IGNORECASE,
)
_FIELD = re.compile(
    rf"[\W\d_]*(?:{LATITUDE}|{LONGITUDE}|coord\w*|gps|city|state|country|location|place|answer)\W*",
    re.IGNORECASE,
)
_ENDS = 4000  # characters at both ends, where errors and refusals stand


def is_nothing(text: str) -> bool:
    """Whether a cell or a value says nothing: "", "N/A", "Unknown", "Not visible"."""
    return len(text) < 200 and _NOTHING.fullmatch(text) is not None


def says_nothing(text: str) -> bool:
    """Whether all parts of an answer say nothing: "nan, nan", "Latitude: N/A; Longitude: N/A"."""
    if is_nothing(text):
        return True
    parts = re.split(r"[,;|:=\n()\[\]]", text) if len(text) < 500 else [text]
    return all(is_nothing(part) or _FIELD.fullmatch(part) for part in parts)


def is_error(text: str) -> bool:
    """Whether the text is an error of an API that was kept in place of an answer."""
    return _ERROR.search(text[:_ENDS].strip()) is not None


def is_refusal(text: str) -> bool:
    """Whether the text says that it will not or cannot tell."""
    return _REFUSAL.search(_ends(text)) is not None


def is_doubt(text: str) -> bool:
    """Whether the text says that the photo shows too little, which is a refusal without a place."""
    return _DOUBT.search(_ends(text)) is not None


def _ends(text: str) -> str:
    return text if len(text) <= 2 * _ENDS else f"{text[:_ENDS]}\n{text[-_ENDS:]}"
