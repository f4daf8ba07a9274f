"""The page: whole, escaped, and honest about who wins."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from echoic.insight.gradients import GradientReach, LayerReach
from echoic.insight.report import ReportContent, Section, render_report, verdict

METRICS = {
    "validation": {"mae": 1.5},
    "test": {"mae": 2.0, "accuracy": 0.5, "coverage_80": 0.7},
    "baselines": {"naive": {"mae": 4.0, "accuracy": 0.75, "coverage_80": 0.9}},
    "seconds": 75.0,
    "parameters": 1234567,
    "steps": 10,
    "loader_share": 0.01,
    "padding_share": 0.25,
    "stopped_because": "trained all 2 epochs",
}


def content(text: str = "words") -> ReportContent:
    return ReportContent(
        title=text,
        task="classify",
        command=f"echoic train classify {text}",
        metrics=METRICS,
        history=[{"step": 1, "loss": 2.0, "learning_rate": 0.1}, {"step": 1, "validation": {"loss": 1.5}}],
        health={"steps": [1], "layers": {text: [0.5]}, "clipped_share": 0.25},
        reach=GradientReach([LayerReach("layer 0", [1.0, 0.5], 0.5, None, None)], 3),
        sections=[Section(text, [text], [(text, [text], [[text]])], [], [text])],
        notices=[text],
        config={"settings": {"data": {"input": text}}, "data": {"path": text}, "versions": {"echoic": "0"}},
    )


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))


def tags(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(page)
    return parser.seen


@pytest.mark.parametrize("attack", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</pre><b>&amp;"])
def test_words_are_never_markup(attack):
    page = render_report(content(attack))
    names = [tag for tag, _ in tags(page)]
    assert "script" not in names
    assert "img" not in names
    assert not any(key.startswith("on") for _, attributes in tags(page) for key in attributes)


def test_nothing_is_fetched():
    for tag, attributes in tags(render_report(content())):
        for key in ("src", "href", "xlink:href"):
            assert (attributes.get(key) or "#").startswith("#"), (tag, attributes)


def test_the_best_of_a_row_is_bold_in_the_right_direction():
    page = render_report(content())
    assert '<td class="best">2</td>' in page  # mae: the model's, smaller is better
    assert '<td class="best">0.75</td>' in page  # accuracy: the baseline's, larger is better
    assert "best" not in page[page.index("coverage 80") : page.index("coverage 80") + 120]


def test_the_facts_are_there():
    page = render_report(content())
    for fact in ("1,234,567", "1 min 15 s", "25.0% of the steps", "25% of the updates"):
        assert fact in page


@pytest.mark.parametrize(
    ("scored", "baselines", "words"),
    [
        ({"mae": 2.0}, {"naive": {"mae": 4.0}}, "beats the best baseline, naive (4), by 50.0%"),
        ({"mae": 4.0}, {"naive": {"mae": 2.0}, "drift": {"mae": 3.0}}, "the baseline wins. naive reaches 2"),
        ({"accuracy": 0.9}, {"majority": {"accuracy": 0.6}}, "beats the best baseline, majority (0.6), by 50.0%"),
        ({"accuracy": 0.5}, {"majority": {"accuracy": 0.6}}, "the baseline wins"),
        ({"mae": 2.0}, {"naive": {"mae": 2.0}}, "no better and no worse"),
        ({"mae": 2.0}, {}, "mae 2."),
        ({"pinball": 2.0}, {}, "No metric"),
        ({"owa": 0.5, "mae": 9.0}, {"naive": {"mae": 4.0}}, "mae 9"),
    ],
)
def test_the_verdict_says_who_wins(scored, baselines, words):
    assert words in verdict(scored, baselines)
