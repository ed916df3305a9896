"""Croissant 1.1: a description of a repository that search engines and mlcroissant read.

Its texts are paragraphs of the card, also in the fields on responsible use (`rai:`). The vocabulary
is described at https://docs.mlcommons.org/croissant/. Without the classes of mlcroissant, because
publishing would then need mlcroissant and its dependencies.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from gcd_metric.yaml_files import split_card
from geoload.publishing.card import CardEntry

FILE = "croissant.json"
_CR = """arrayShape citeAs column containedIn equivalentProperty extract field fileObject
fileProperty fileSet format includes isArray isLiveDataset jsonPath key md5 parentField path
recordSet references regex repeated replace samplingRate separator source subField transform"""
_BY_LANGUAGE = {"@container": "@language"}
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    **{name: f"cr:{name}" for name in _CR.split()},
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": _BY_LANGUAGE,
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": _BY_LANGUAGE,
}
# The first words of the card's paragraphs, by field.
_RAI = {
    "rai:dataCollection": ("How", "Sources"),
    "rai:dataUseCases": ("Image geolocation", "Geographic attributes", "Zooming", "Retrieval"),
    "rai:dataAnnotationProtocol": ("Labels",),
    "rai:personalSensitiveInformation": ("Personal and sensitive information",),
    "rai:dataBiases": ("Biases",),
    "rai:dataLimitations": ("Other limits",),
    "rai:dataSocialImpact": ("Social impact",),
}
_ONE_TEXT = ("rai:dataCollection", "rai:dataSocialImpact")
_MEDIA = {"parquet": "application/x-parquet", "tar": "application/x-tar", "csv": "text/csv"}
_TYPES = {"image": "sc:ImageObject", "string": "sc:Text", "bool": "sc:Boolean",
          "float64": "cr:Float64", "int64": "cr:Int64"}  # fmt: skip


class Component(NamedTuple):
    """A part of a data set, and its licence."""

    licence: str
    link: str
    what: str


def describe(
    card: str,
    entries: Sequence[CardEntry],
    files: Mapping[str, tuple[int, str]],
    components: Iterable[Component],
    base: str,
) -> dict[str, Any]:
    """Return the description of a repository as JSON-LD.

    Parameters
    ----------
    card : str
        The text of the data set's card.
    entries : sequence of CardEntry
    files : mapping
        The size in bytes and the SHA-256 of each file, by name.
    components : iterable of Component
    base : str
        The address of the repository; empty for a folder, whose files are named relatively.
    """
    header, text = split_card(card)
    paragraphs = _paragraphs(text)
    cite = re.search(r"```bibtex\n(.*?)\n```", text, re.DOTALL)
    cited = dict(re.findall(r"(\w+)\s*= \{(.*)\}", cite[1])) if cite else {}
    page = re.search(r"^- Project page: <(.*)>$", text, re.MULTILINE)
    configs = {entry.name for entry in entries}
    # Others may have put files there.
    ours = [n for n in files if n.partition("/")[0] in configs and n.rpartition(".")[2] in _MEDIA]
    files = {name: files[name] for name in sorted(ours)}
    document: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": [f"http://mlcommons.org/croissant/{one}" for one in ("1.1", "RAI/1.0")],
        "name": header["pretty_name"],
        "description": _plain(text.split("\n\n")[1]),
        "url": base or (page[1] if page else ""),
        "sameAs": page[1] if page else None,
        "version": "1.0.0",
        "datePublished": cited.get("year"),
        "creator": [{"@type": "sc:Person", "name": " ".join(reversed(name.split(", ")))}
                    for name in cited.get("author", "").split(" and ") if name],
        "citeAs": cite[1] if cite else None,
        "keywords": header.get("tags"),
        "inLanguage": header.get("language"),
        "license": [{"@type": "sc:CreativeWork", "name": one.licence, "url": one.link,
                     "description": one.what} for one in components],
    }  # fmt: skip
    for name, words in _RAI.items():
        found = [paragraphs[word] for word in words if word in paragraphs]
        document[name] = " ".join(found) if name in _ONE_TEXT else found
    sets = [_FileSet(entry, split, files) for entry in entries for split in entry.patterns]
    document["distribution"] = [_file(name, *of, base) for name, of in files.items()]
    document["distribution"] += [one.node() for one in sets if len(one.names) > 1]
    document["recordSet"] = [one.records() for one in sets if one.names and one.columns]
    return {name: value for name, value in document.items() if value}


def _file(name: str, size: int, sha256: str, base: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": f"{base}/resolve/main/{name}" if base else name,
        "contentSize": f"{size} B",
        "encodingFormat": _MEDIA[name.rpartition(".")[2]],
        "sha256": sha256,
    }


class _FileSet:
    """The files of a split, and its records."""

    def __init__(self, entry: CardEntry, split: str, files: Iterable[str]) -> None:
        self._id, self._pattern = f"{entry.name}/{split}", entry.patterns[split]
        self.names, self.columns = fnmatch.filter(files, self._pattern), entry.columns

    def node(self) -> dict[str, Any]:
        """Return the set, whose files mlcroissant finds beside the description."""
        return {
            "@type": "cr:FileSet",
            "@id": self._pattern,
            "name": self._pattern,
            "encodingFormat": _MEDIA[self._pattern.rpartition(".")[2]],
            "includes": self._pattern,
        }

    def records(self) -> dict[str, Any]:
        """Return the record set; `geometry` and `bbox`, which repeat the place, are left out."""
        where = {"fileSet": {"@id": self._pattern}}
        if len(self.names) == 1:  # mlcroissant then checks the digest
            where = {"fileObject": {"@id": self.names[0]}}
        fields = []
        for name, column in self.columns.items():
            kind, is_list = str(column.get("list") or column.get("dtype")), "list" in column
            if kind in _TYPES:
                source: dict[str, Any] = {**where, "extract": {"column": name}}
                if kind == "image":
                    source["transform"] = {"jsonPath": "bytes"}
                shape = {"isArray": True, "arrayShape": "-1"} if is_list else {}
                fields.append({"@type": "cr:Field", "@id": f"{self._id}/{name}", "name": name,
                               "dataType": _TYPES[kind], **shape, "source": source})  # fmt: skip
        return {"@type": "cr:RecordSet", "@id": self._id, "name": self._id, "field": fields}


def _paragraphs(text: str) -> dict[str, str]:
    """Return the card's paragraphs that begin with bold words, by these words."""
    found = re.findall(r"^\*\*(.+?)\.\*\* (.*?)(?=\n\n|\Z)", text, re.MULTILINE | re.DOTALL)
    return {words: _plain(paragraph) for words, paragraph in found}


def _plain(paragraph: str) -> str:
    return " ".join(paragraph.split())
