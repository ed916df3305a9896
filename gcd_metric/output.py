"""Prints a score in the formats of `gcd-metric --format`: for people, papers and programs."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from . import text
from .figures import flattened
from .layout import wrapped
from .names import visible
from .scoring import Scored

FORMATS = ("table", "markdown", "latex", "csv", "json")
_ACCURACY = "Accuracy in percent within each distance"
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|#~&$!{}])")
_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "^": r"\textasciicircum{}",
        "~": r"\textasciitilde{}",
        "`": r"\textasciigrave{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': r"\textquotedbl{}",
        "[": "{[}",  # after the end of a row, [ and * would be read as its arguments
        "*": "{*}",
        "\u2212": "$-$",
        **{char: f"\\{char}" for char in "&%$#_{}"},
    }
)
_ENDS = re.compile(r"^(.*?) \[(.*)\]$")
_SIDES = re.compile(r"^(.*?) \+(.*)/\u2212([\d.,]+)(.*)$")


class Output(NamedTuple):
    """How a score is printed."""

    format: str = "table"  # one of FORMATS
    intervals: str = "brackets"  # one of `text.INTERVALS`; for markdown and latex
    published: bool = False  # whether markdown, latex and csv contain published results

    def check(self) -> None:
        """Raise a ValueError for an option that this format does not have."""
        if self.intervals != "brackets" and self.format not in ("markdown", "latex"):
            raise ValueError(
                f"--intervals is for --format markdown and latex; {self.format} has both ends of "
                "each interval"
            )


def formatted(scored: Scored, output: Output, settings: dict[str, Any]) -> str:
    """The score as text; JSON begins with the `settings`."""
    if output.format == "json":
        return _as_json(scored, settings)
    if output.format == "table":
        return _as_table(scored)
    if not output.published:
        scored = replace(scored, published=[])
    if output.format == "csv":
        return _as_csv(scored)
    write = _latex_table if output.format == "latex" else _markdown_table
    return "\n\n".join(write(*part) for part in _paper_tables(scored, output.intervals))


# --- for people ---------------------------------------------------------------------------------


def _as_table(scored: Scored) -> str:
    lines = [_ACCURACY, text.terminal_table(scored)]
    if not scored.remarks:
        lines += [wrapped(text.summary(scored, run)) for run in scored.runs]
    lines += map(wrapped, text.remarks(scored))
    if scored.runs[0].places:
        lines += ["", wrapped(text.PLACES), text.terminal_places(scored)]
    for run in scored.runs:
        for name, found in run.by.items():
            lines += ["", wrapped(text.slice_title(run, name))]
            lines.append(text.terminal_slices(name, found, scored.options, scored.labels))
            lines.append(wrapped(text.slice_remark(found, scored.options)))
    if scored.differences:
        lines += ["", wrapped(text.paired_title(scored)), text.terminal_differences(scored)]
        lines += [wrapped(line) for line in text.verdicts(scored)]
        lines.append(wrapped(text.paired_remark(scored)))
    return "\n".join(lines)


# --- for papers ---------------------------------------------------------------------------------


def _paper_tables(scored: Scored, intervals: str) -> Iterator[tuple[text.Table, list[str]]]:
    """The tables to paste, each with the remarks below it."""
    headers, rows = text.table(scored, intervals)
    # the remark says who took the photos and how many have no prediction
    rows = [[*cells, re.split("[ ,](?!\\d)", n)[0]] for *cells, n in rows]
    remarks = [f"{_ACCURACY}; {text.scope(scored)}.", *scored.remarks]
    if intervals != "none":
        remarks.append(text.intervals(scored))
    if scored.published:
        remarks.append(text.sources(scored))
    yield (headers, rows), remarks
    if scored.runs[0].places:
        yield text.place_table(scored, intervals), [f"{text.PLACES}."]
    for run in scored.runs:
        for name, found in run.by.items():
            table = text.slice_table(name, found, scored.options, scored.labels, intervals)
            remark = text.slice_remark(found, scored.options)
            yield table, [f"{_ACCURACY}: {text.slice_title(run, name)}.", remark]
    if scored.differences:
        remarks = [f"{text.paired_title(scored)}.", *text.verdicts(scored)]
        yield text.paired_table(scored, intervals), [*remarks, text.paired_remark(scored)]


def _heading(header: str) -> str:
    """A header as papers have it: `1 km (%)`, `median (km)`."""
    header = re.sub(r"^% (.+)$", r"\1 (%)", header)
    return re.sub(r"^(mean|median) (k?m)$", r"\1 (\2)", header)


def _markdown_table(table: text.Table, remarks: Sequence[str]) -> str:
    """A table of GitHub's Markdown, with the remarks as a paragraph below it."""
    from tabulate import tabulate

    headers, rows = table
    rows = [[_markdown(name), *map(_minus, cells)] for name, *cells in rows]
    headers = [_markdown(_heading(header)) for header in headers]
    aligned = ("left", *["right"] * (len(headers) - 1))
    lines = tabulate(rows, headers, "pipe", disable_numparse=True, colalign=aligned)
    return f"{lines}\n\n{_markdown(' '.join(remarks))}"


def _markdown(name: str) -> str:
    return _MARKDOWN.sub(r"\\\1", visible(name))


def _latex_table(table: text.Table, remarks: Sequence[str]) -> str:
    """A table for the package booktabs, with each interval in brackets below its figure."""
    headers, rows = table
    lines = [f"% {visible(remark)}" for remark in remarks]
    lines += [r"% \usepackage{booktabs}", rf"\begin{{tabular}}{{l{'r' * (len(headers) - 1)}}}"]
    lines += [r"\toprule", _latex_row(_latex(_heading(header)) for header in headers), r"\midrule"]
    for name, *cells in rows:
        cells = list(map(_minus, cells))
        ends = [_ENDS.match(cell) for cell in cells]
        figures = [end[1] if end else cell for end, cell in zip(ends, cells, strict=True)]
        lines.append(_latex_row([_latex(name), *map(_latex_figure, figures)]))
        if "$_{" in lines[-1]:
            lines[-1] += "[2pt]"  # or the limits of two rows would touch
        if any(ends):
            below = (rf"{{\scriptsize [{_latex(end[2])}]}}" if end else "" for end in ends)
            lines.append(_latex_row(["", *below]) + "[2pt]")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


def _latex_row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _latex(name: str) -> str:
    """Text in LaTeX; the fonts of pdfTeX have Latin letters, those of XeTeX and LuaTeX others."""
    return re.sub("-(?=-)", "-{}", visible(name).translate(_LATEX))  # -- would be a dash


def _latex_figure(cell: str) -> str:
    sides = _SIDES.match(cell)
    if sides:
        figure, up, down, unit = map(_latex, sides.groups())
        return f"{figure}$_{{-{down}}}^{{+{up}}}${unit}"
    return _latex(cell).replace("\u00b1", r"$\pm$")


def _minus(cell: str) -> str:
    """A figure with a minus sign in place of a hyphen."""
    return re.sub(r"(?<![\de])-(?=\d)", "\u2212", cell)


# --- for programs -------------------------------------------------------------------------------


def _as_csv(scored: Scored) -> str:
    """One row for each file, published result, slice and difference; shares are fractions."""
    rows = list(_csv_rows(scored))
    first = dict.fromkeys(("kind", "name", "minus", "by", "value", "n"), "")
    written = io.StringIO()
    names = dict.fromkeys(name for row in (first, *rows) for name in row)
    writer = csv.DictWriter(written, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: "" if value != value else value for key, value in row.items()})
    return written.getvalue().removesuffix("\n")


def _csv_rows(scored: Scored) -> Iterator[dict[str, Any]]:
    for run in scored.runs:
        places = {key: value for key, value in run.places.items() if key not in run.scores}
        yield {"kind": "run", "name": run.name, **flattened(run.scores), **flattened(places)}
    for published in scored.published:
        row = _published_row(published)
        yield {"kind": "published", "name": row.pop("method"), **row}
    for run in scored.runs:
        for name, found in run.by.items():
            for one in found:
                slices = {"by": name, "value": one.label, "is_small": one.is_small}
                yield {"kind": "slice", "name": run.name, **slices, **flattened(one.scores)}
    for a, b, figures in scored.differences:
        row = {"kind": "difference", "name": a.name, "minus": b.name, "n": figures["n"]}
        for key, value in figures.items():
            if isinstance(value, dict):
                tests = {f"{key}_{p}": value[p] for p in ("p_value", "p_holm") if p in value}
                row |= flattened({key: value["difference"], f"{key}_ci95": value["ci95"]}) | tests
        yield row


def _as_json(scored: Scored, settings: dict[str, Any]) -> str:
    differences = [{"a": a.name, "b": b.name, **found} for a, b, found in scored.differences]
    document = {
        **settings,
        "method": scored.options.method,
        "strict": scored.options.strict,
        "runs": [
            {
                "name": run.name,
                "predictions": run.file,
                "columns": run.columns,
                "scores": run.scores,
                "places": run.places or None,
                "by": {
                    name: [
                        {"value": one.value, "is_small": one.is_small, **one.scores}
                        for one in found
                    ]
                    for name, found in run.by.items()
                },
                "unmatched_predictions": run.unmatched_predictions,
                "unmatched_references": run.unmatched_references,
                "ambiguous": run.ambiguous,
            }
            for run in scored.runs
        ],
        # of two files; `differences` has the same for any number
        "comparison": scored.differences[0].figures if len(differences) == 1 else None,
        "differences": differences,
        "groups": scored.labels and {"what": scored.labels.what, "source": scored.labels.source},
        "published": [_published_row(row) for row in scored.published],
        "notes": scored.notes,
    }
    # JSON has no NaN and no infinity: they become null; and no dates of slices: they become text
    document = json.loads(json.dumps(document, default=str), parse_constant=lambda _: None)
    return json.dumps(document, indent=2)


def _published_row(row: dict[str, str]) -> dict[str, Any]:
    """Numbers as numbers, and accuracies as fractions, like those of `scores`."""
    return {key: _published_value(key, value) for key, value in row.items() if value}


def _published_value(key: str, value: str) -> Any:
    if key.startswith("acc"):
        return round(float(value) / 100, 6)
    if key.startswith(("median_", "mean_", "geoscore")):
        return float(value)
    return int(value) if key in ("n", "year") else value
