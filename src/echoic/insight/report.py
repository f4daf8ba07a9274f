"""The parts of which report.html is made."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Section:
    """One section of a report.

    title: heading.
    text: paragraphs in plain words, for someone who did not run it. Escaped by the report.
    tables: (caption, header, rows) each.
    figures: (caption, SVG text) each, drawn by ``insight.plots``.
    preformatted: blocks shown as they are (samples of text). Escaped by the report.
    """

    title: str
    text: list[str] = field(default_factory=list)
    tables: list[tuple[str, list[str], list[list[str]]]] = field(default_factory=list)
    figures: list[tuple[str, str]] = field(default_factory=list)
    preformatted: list[str] = field(default_factory=list)
