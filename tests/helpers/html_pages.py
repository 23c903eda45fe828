"""A parser for the tests of HTML pages."""

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
        """Text inside of elements of a tag with these attributes, outside of those of a class."""
        return "".join(
            data
            for path, data in self.texts
            if any(
                t == tag and css_class in (None, a.get("class")) and attributes.items() <= a.items()
                for t, a in path
            )
            and not any(without and a.get("class") == without for _, a in path)
        )
