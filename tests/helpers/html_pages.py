"""A parser for the tests of HTML pages."""

import re
from html.parser import HTMLParser

VOID = {"meta", "br"}


class Page(HTMLParser):
    """A parsed page: its tags, attributes and texts; fails where tags are not balanced."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.texts = [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append((tag, dict(attrs)))

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        self.texts.append((tuple(self.open), data))

    def values(self, name):
        return [value for _, key, value in self.attributes if key == name]

    def text(self, tag="main", css_class=None, without=None, **attributes):
        """Return the text in elements with a tag and attributes, outside of those of a class."""
        return "".join(
            data
            for path, data in self.texts
            if any(
                t == tag and css_class in (None, a.get("class")) and attributes.items() <= a.items()
                for t, a in path
            )
            and not any(without and a.get("class") == without for _, a in path)
        )


REPORT_STYLE = r"--share:\d+%|left:[\d.]+%(;width:[\d.]+%)?"


def check_report(html):
    """Return a page that is well-formed, loads nothing, and in which no word has become markup."""
    page = Page(html)
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    references = page.values("href") + page.values("xlink:href")
    assert all(value.startswith("#") for value in references)
    assert {value[1:] for value in references} <= set(ids)
    allowed = "html head meta title style body main h1 h2 h3 p div span b i br mark nav a table "
    allowed += "thead tbody tr th td details summary strong"
    drawn = "svg g path defs use text clippath rect"
    assert set(page.tags) <= {*allowed.split(), *drawn.split()}
    assert page.tags.count("style") == 1
    outside = [value for tag, name, value in page.attributes if name == "style" and tag in "tdib"]
    assert all(re.fullmatch(REPORT_STYLE, value) for value in outside)
    assert not any(name.startswith("on") or name == "src" for _, name, _ in page.attributes)
    assert "default-src 'none'" in html
    assert not re.search(r"url\((?!#)|@import|<script|<link", html)
    html.encode("utf8")
    return page
