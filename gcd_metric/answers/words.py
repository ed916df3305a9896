"""Words that answers use: compass points, reasoning, markers, refusals, errors, nothing.

English, German, French, Spanish, Portuguese and Italian, with the Chinese and Japanese compass.
"""

from __future__ import annotations

import re
from functools import lru_cache, partial


def words_of(text: str) -> frozenset[str]:
    """The words of a text, as a set."""
    return frozenset(text.split())


# --- characters ---------------------------------------------------------------------------------

_ALIKE = {
    "-": "\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d",
    " ": "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b\u200e"
    "\u200f\u202f\u205f\u2066\u2067\u2068\u2069\u3000\ufeff`*$~\u2248",  # also Markdown and LaTeX
    "'": "\u2032\u2018\u2019\u00b4\u02b9\u02bc\uff07",
    '"': "\u2033\u201c\u201d\u201e\u02ba\u3003\uff02\u00ab\u00bb",
    "°": "\u00ba\u02da\u1d52\u2218\u2070",
    ",": "\uff0c\u3001\u060c",
    ".": "\uff0e\u066b",
    ";": "\uff1b",
    ":": "\uff1a\u2014\u2015",  # a dash this long is no minus
    "(": "\uff08",
    ")": "\uff09",
    "[": "\u3010",
    "]": "\u3011",
    "+": "\uff0b",
    "/": "\uff0f",
}
_ZEROS = (0x0660, 0x06F0, 0x0966, 0x09E6, 0x0E50, 0xFF10)  # digits of other scripts start here
# each character becomes one character, so that places in the text stay the same
_CHARACTERS = {
    **{ord(other): plain for plain, others in _ALIKE.items() for other in others},
    **{zero + digit: str(digit) for zero in _ZEROS for digit in range(10)},
}
_SPACED_MINUS = re.compile(r"(?<![0-9°NSEW])(?<![0-9°NSEW] )\u2212([ \u00a0*]{1,4})(?=[0-9])")
_REWRITTEN = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        # LaTeX: \\text{N}, spaces, and the comma of 48{,}85
        (r"\\(?:text|math|operatorname)[a-z]{0,2}\{([^{}\\]{0,60})\}", r"\1"),
        (r"\\(?:[,;:! ]|q?quad(?![a-z])|(?:left|right)(?![a-z])|(?=-[0-9]))", ""),
        (r"([0-9])\{,\}([0-9]{1,20})", r"\1,\2"),
        # a minus with a gap behind it; at the start of a line it may be a bullet
        (r"(?<![^\n])-( {1,3})(?=[0-9.]{1,20}°? ?[,;] ?- [0-9])", r"\1-"),
        (r"(?<=[(\[,;:=|])( {0,3})-( {1,4})(?=[0-9])", r"\1\2-"),
        (
            r"(?<!\w)(?<!\b[ao][lru] )(?<!\bo )(?<!elo )"  # not "o menos", "au moins"
            r"(?i:minus|negative?|menos|moins|meno)\s{1,3}(?=[0-9])",
            "-",
        ),
    )
]


def plain(text: str) -> str:
    """A text in plain characters and signs, each about where it was."""
    text = _SPACED_MINUS.sub(r"\1-", text).translate(_CHARACTERS)
    for pattern, replacement in _REWRITTEN:
        text = pattern.sub(partial(_same_length, replacement), text)
    return text


def _same_length(replacement: str, match: re.Match[str]) -> str:
    rewritten = match.expand(replacement)
    blanks = " " * (len(match.group()) - len(rewritten))
    return blanks + rewritten if rewritten.endswith("-") else rewritten + blanks


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
    """N, S, E, W, O or L of a compass letter or word, else an empty text."""
    if len(word) == 1:
        return word.upper() if word.upper() in "NSEWOL" else ""
    return next((letter for letter, words in _POINTS.items() if words.fullmatch(word)), "")


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
        r"guess(?<!(?:irst|tial|cond|dary|tive|ther) guess)[\"'\s]{0,3}[:=]",
        r"top[ #-]{0,2}1\b",
        r"guess[ #-]{0,2}1\b",
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

# A pair in a text that refuses is no answer if these words stand before it, in any case, ...
_INSTEAD = (
    r"\be\.?g\b\.?|\bfor (?:example|instance)|\bsuch as\b|\bexample|\bsample|\btemplate"
    r"|placeholder|\bz\.\s?b\b\.?|beispiel|\bvorlage|platzhalter|\bexempl[eo]"
    r"|\bp(?:ar|or|\.) ?e[xj](?:\b\.?|emp)|\bejemplo|\besempio|\bmodèle|\bplantilla"
    r"|\bsegnaposto|\bprompt|\bgenannten|\bvous avez"
    r"|\byou (?:gave|mention|provid|suggest|wrote|quote|list)|\b(?:default|fall back|revert)"
    r"|\byour (?:message|question|request|text|hint|caption|instruction)"
    r"|\b(?:ihrer?|votre|[ts]u|su?a|[ts]uo|[ts]ua) (?:nachricht|an?frage|question|demande|mensaje"
    r"|pregunta|solicitud|mensagem|pergunta|messaggio|domanda|richiesta)"
)
# ... or if these stand before or behind it, unless the sentence calls the pair a guess.
_PERHAPS = (
    r"\bformat|\bformul|\b(?:in|has|have) the (?:form|style)|\blike(?: this)?:|\bsomething like"
    r"|\b(?:could|may|might|will|would|they|usually|typically) look|\b(?:would|could) be"
    r"|\bmight read|\bhad it been|\bif (?:it|this) were|\bwhether|\brefuse"
    r"|\b(?:confirm|verify) that|\b(?:provide|give me|send) coordinates|\bcoordinates like"
    r"|\bwould (?:mean|correspond|point|give)|\bwäre|\bso (?:aus|etwas wie)\b|\betwa so"
    r"|\bserai(?:t|ent)|\bseríam?\b|\bseriam?\b|\bserían\b|\bsarebbe|\bde la forme|\bd[eo]l? tipo"
    r"|\b(?:quelque chose comme|algo como|qualcosa come)"
)
_BETWEEN = r"(?:[^0-9.!?]|\.(?!\s)){0,60}"
# ... or if it is negated: "not 48.86, 2.35", "definitely not Paris (48.86, 2.35)"
NEGATED = re.compile(
    r"(?:\b(?i:not|nicht|pas|não|non|other than|rather than|instead of|except)|(?i:n't))"
    r" (?:(?:at|in|near|bei|à|em|a) )?(?:(?:[A-Z]\w{1,20}[, ]{1,2}){1,4})?\(?$"
)
INSTEAD = re.compile(rf"(?:{_INSTEAD}){_BETWEEN}$", re.IGNORECASE)
PERHAPS = re.compile(rf"(?:{_PERHAPS}){_BETWEEN}$", re.IGNORECASE)
BEHIND = re.compile(rf"[^0-9.!?\n]{{0,40}}(?:{_INSTEAD}|{_PERHAPS})", re.IGNORECASE)
OFFERED = re.compile(  # "my best estimate, in the format that you ask for, is"
    r"(?:not|n't|nicht|\bpas|\bnon?|\bnão)\b.{0,30}\b(?:sure|certain|sicher|genau|sûr|segur|cert)"
    r"|asegurar|guess|approximat|roughly|likely|probabl|\bschätz|vermut|wahrscheinlich|ungefähr"
    r"|devin|environ|estim|aproximad|supo|palpite|stima|circa|i(?:'d| would) say|\bich würde",
    re.IGNORECASE,
)

# --- no answer ----------------------------------------------------------------------------------

_NOTHING = re.compile(
    r"[\W_]*(?:(?:n/?a|n\.a\.|nan|nil|null|none|nothing|unknown|unspecified|undetermined|undefined"
    r"|undisclosed|unidentified|unidentifiable|undeterminable|redacted|withheld|unavailable"
    r"|unclear|indeterminate|inconclusive|missing|empty|tbd|false|no|not"
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
    r"|\bfor (?:\w+,? (?:and |or )?){1,3}reasons\b|\b(?:respect|protect)\w* (?:\w+ ){0,3}privacy"
    r"|\bviolat\w* (?:\w+ ){0,3}(?:polic|guideline|terms|privacy)"
    r"|\bnot (?:allowed|permitted|authori[sz]ed|comfortable)"
    r"|\b(?:i|we) (?:don't|do not|never|am not going to|'m not going to|must not) (?:\w+ ){0,2}"
    rf"(?:disclos|reveal|speculat|(?!see|view|find|determin|tell|say){_FIND})"
    r"|\bprefer not to\b|\bbeyond my (?:cap|abil)"
    r"|^\W*(?:refus(?:ed|al)|declined|blocked)\W*$"
    r"|\brequest (?:denied|refused|blocked)\b|\b(?:isn't|is not|not) something i\b"
    r"|\b(?:don't|do not) see (?:any|an|the) (?:image|photo|picture)"
    r"|\bno (?:image|photo|picture) (?:is|was|has|attached|provided|uploaded)"
    r"|\bplease (?:provide|upload|share|attach) (?:the|an?|your) (?:image|photo|picture)"
    # German
    r"|\btut mir (?:sehr )?leid\b|\bich kann\b[^.\n]{0,80}\b(?:nicht|kein\w{0,2})\b"
    r"|\bkann (?:ich )?(?:leider )?(?:nicht|kein)|\bunmöglich\b|\bich weiß (?:es )?nicht\b"
    r"|\bnicht (?:\w+ )?(?:möglich|bestimm|feststell|erkenn|identifizier)|\bnicht in der lage\b"
    r"|\baus \w*(?:datenschutz|sicherheits|privat)|\baus gründen de[rs]\b|\bschutz der privatsphäre"
    r"|\b(?:gebe|nenne|mache|verrate|darf|möchte|werde) (?:\w+ ){0,6}(?:kein\w{0,2}|nicht)\b"
    # French
    r"|\bdésolée?\b|\bje (?:ne|n') ?(?:peux|suis pas|sais|parviens|arrive|dispose"
    r"|fournis|donne|communique|partage|révèle|divulgue|souhaite|vais|veux)\b"
    r"|\bpour des (?:raisons|motifs)\b|\bvie privée\b|\bconfidentialité"
    r"|\bimpossible (?:de|d')|\bil n'est pas possible\b|\bje regrette\b"
    # Spanish and Portuguese
    r"|\blo (?:siento|lamento)\b|\bno (?:puedo|es posible|me es posible|soy capaz|sé|proporciono"
    r"|comparto|doy|revelo|divulgo|debo|voy a|est(?:oy|á) autorizad|está permitido)"
    r"|\bp(?:or|er) (?:razones|motivos|cuestiones|razões|questões|motivi|ragioni) d|\bprivacidad"
    r"|\b(?:des|dis)culpe\b|\blamento\b|\bsinto muito\b|\bimposible\b|\bimpossível\b"
    r"|\bnão (?:posso|consigo|é possível|sou capaz|sei|forneço|compartilho|partilho"
    r"|divulgo|revelo|devo|vou|me é permitido|estou autorizad)"
    # Italian
    r"|\bmi dispiace\b|\bnon (?:posso|è possibile|sono in grado|riesco|so|fornisco|condivido|rivelo"
    r"|divulgo|devo|fornirò|mi è (?:consentito|permesso)|sono autorizzat)"
    r"|\briservatezza\b|\bimpossibile\b"
    # Chinese and Japanese
    r"|抱歉|对不起|無法|无法|不能确定|申し訳|できません|わかりません",
    re.IGNORECASE,
)
# doubts: a text with one of them is a refusal if it names no place
_DOUBT = re.compile(
    rf"\b(?:difficult|hard|challenging|tough|tricky)(?: for me)? to (?:\w+ly )?{_FIND}"
    r"|\b(?:not|isn't|aren't|without|no|lacks?|lacking|insufficient|limited|keine|pas|sin|sem|senza)"
    r" (?:\w+ ){0,2}?(?:information|context|detail|clue|evidence|landmark|indicat|hinweis|indice"
    r"|pista|indizi|sign)"
    r"|\b(?:more|additional|further) (?:information|context|details)\b|\bambiguous\b"
    r"|\bno (?:\w+ ){1,3}can be\b|\bnothing (?:\w+ ){0,6}(?:reveal|indicat|suggest|show|tell|give)"
    r"|\blässt sich (?:\w+ ){0,5}nicht\b|\bne permet(?:tent)? pas\b"
    r"|\b(?:no|não|non) (?:permite|permette|consente|contiene|contém)\b",
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
    r"|\btimed out\b|\bquota exceeded|\bblock_?reason\b"
    r"|\bfinish_?reason\W{1,4}(?:safety|recitation|blocklist|prohibited)|\bcontent[ _]filter"
    r"|\bcuda out of memory\b|\bcontext_length_exceeded\b|\bmax retries exceeded\b",
    re.IGNORECASE,
)
_FIELD = re.compile(
    rf"[\W\d_]*(?:{LATITUDE}|{LONGITUDE}|coord\w*|gps|city|state|country|location|place"
    r"|(?:(?:my|best|final) ?){0,3}(?:answer|guess))\W*",
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
    parts = re.split(r"[,;|:=\n()\[\]]|</?\w{1,20}>", text) if len(text) < 500 else [text]
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
