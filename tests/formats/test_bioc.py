import pytest

from tests.helpers.sources import entities, problems, read_tree


def annotation(label="Sign", places=((0, 5),), text="Fever"):
    locations = "".join(f'<location offset="{a}" length="{n}"/>' for a, n in places)
    kind = f'<infon key="type">{label}</infon>' if label else ""
    return f'<annotation id="1">{kind}{locations}<text>{text}</text></annotation>\n'


def document(annotations, own_id="7"):
    return (
        f"<document><id>{own_id}</id>\n"
        "<passage><offset>0</offset><text>Fever &amp; rash.</text></passage>\n"
        "<passage><offset>20</offset><text>No rash.</text>\n"
        f"{annotations}</passage></document>\n"
    )


def collection(*documents):
    return '<?xml version="1.0"?>\n<collection>\n' + "".join(documents) + "</collection>\n"


def read(tmp_path, content):
    return read_tree(tmp_path, {"c.xml": content})


ANNOTATIONS = {
    # an annotation: fragments in the text, or a reason
    "of the first passage": (annotation(), ((0, 5),)),
    "of the second": (annotation(places=[(23, 4)], text="rash"), ((17, 21),)),
    "in two pieces": (annotation(places=[(0, 5), (8, 4)], text="Fever rash"), ((0, 5), (8, 12))),
    "outside": (annotation(places=[(90, 5)]), "outside"),
    "other words": (annotation(text="Chill"), "surface"),
    "no type": (annotation(label=""), "unreadable"),
    "no number": (annotation(places=[("x", 5)]), "unreadable"),
    "no place": (annotation(places=[]), "unreadable"),
}


@pytest.mark.parametrize("name", ANNOTATIONS)
def test_annotations(tmp_path, name):
    content, wanted = ANNOTATIONS[name]
    source = read(tmp_path, collection(document(content + annotation("Last"))))
    assert source.documents[0].text == "Fever & rash.\nNo rash."
    *found, last = entities(source)
    assert last[:4] == ("7", 7, "Last", ((0, 5),))
    if isinstance(wanted, str):
        assert problems(source) == [(6, "error", wanted)]
    else:
        assert [(line, fragments) for _, line, _, fragments, _ in found] == [(6, wanted)]
        assert problems(source) == []


def test_a_document_that_is_no_xml_costs_no_other(tmp_path):
    good, bad = document(annotation()), document(annotation(text="<b>"), "8")
    source = read(tmp_path, collection(good, bad, good))
    assert [(name, line) for name, line, *_ in entities(source)] == [("7", 6), ("7-2", 16)]
    assert [d.text is None for d in source.documents] == [False, True, False]
    assert problems(source) == [(11, "error", "no-text")]


def test_entities_of_xml_are_not_expanded(tmp_path):
    bomb = '<!DOCTYPE c [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
    content = collection(document(annotation(text="&b;"))).replace(
        "<collection>", f"{bomb}<collection>"
    )
    source = read(tmp_path, content)
    assert [reason for *_, reason in problems(source)] == ["no-text"]


ENCODINGS = {
    # the encoding that is declared and that of the bytes; the words that are read, and the problems
    "as declared": ("windows-1252", "cp1252", "h\u00e9mat\u00e9m\u00e8se \u2013", []),
    "another one": ("iso-8859-2", "iso8859-2", "\u017ee\u0142", []),
    "utf-8": ("utf-8", "utf-8", "h\u00e9 \u017e", []),
    "none declared": ("", "utf-8", "h\u00e9 \u017e", []),
    "not declared": ("", "cp1252", "h\ufffd", ["encoding"]),
    "unknown": ("x-none", "utf-8", "h\u00e9", []),
    "no text at all": ("base64", "utf-8", "h\u00e9", []),
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_a_file_is_read_in_the_encoding_that_it_declares(tmp_path, name):
    declared, encoding, words, expected = ENCODINGS[name]
    head = f'<?xml version="1.0" encoding="{declared}"?>' if declared else '<?xml version="1.0"?>'
    written = words.replace("\ufffd", "\u00e9")
    content = collection(document(annotation(text=written, places=((0, len(words)),))))
    content = content.replace('<?xml version="1.0"?>', head).replace("Fever &amp; rash.", written)
    source = read(tmp_path, content.encode(encoding))
    assert source.documents[0].text == f"{words}\nNo rash."
    assert [reason for _, _, reason in problems(source) if reason != "surface"] == expected
