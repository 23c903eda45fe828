"""Check the project's English: docstrings, comments, messages, templates and pages.

`docs/style.md` explains the rules. The check finds patterns, not bad sentences: a text that
passes may still be hard to read.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# Words that the docstring of a function may begin with.
_VERBS = """
.split( Accept Add Align Allow Annotate Answer Append Apply Ask Assign Average Batch Begin Bind
Bound Build Calibrate Call Carry Change Check Choose Clear Close Collect Combine Compare Complete
Compute Connect Continue Convert Copy Correct Count Create Cut Deal Decide Describe Divide Do
Download Draw Drop Encode End Evaluate Exit Expect Explain Export Extend Fail Fetch Fill Find
Finish Fit Flush Forecast Forget Format Free Gather Give Group Hide Hold Import Initialize Install
Issue Iterate Join Judge Keep Kill Label Lay Learn Leave Let List Load Locate Log Look Make Map Mark
Match Measure Mend Merge Mix Move Name Normalize Open Pack Parse Pass Perform Pick Place Plot
Predict Prepare Print Pull Put Raise Read Register Remove Rename Render Repair Replace Report Reset
Resolve Restore Resume Return Round Run Sample Save Say Score Seal Search Select Send Serve Set Show
Sort Split Start Stop Store Swap Switch Take Test Time Train Translate Try Turn Undo Unpack Update
Use Wait Warn Work Wrap Write Yield
"""
VERBS = frozenset(_VERBS.split())


class Rule(NamedTuple):
    """A pattern to avoid.

    Attributes:
        pattern: A regular expression, matched against whole passages.
        advice: How to write it.
    """

    pattern: re.Pattern[str]
    advice: str


def _rule(pattern: str, advice: str) -> Rule:
    return Rule(re.compile(pattern), advice)


# Of the first lines of docstrings, and of titles.
SUMMARY_RULES = [
    _rule(
        r"^(What(ever)?|Which(ever)?|Where|How(?! to)|Whether|As|Of|That of|Those of|Who(ever)?)\b"
        r"(?!.*\?)",
        "begin with a noun or a verb",
    ),
]
RULES = [
    _rule(r"\b(?i:less) (the|an?|its|their|those|that|what)\b", 'write "minus" or "without"'),
    _rule(r"\b(?i:tells?|told)\b(?!( \w+)? apart)", 'write "say", "show" or "report"'),
    _rule(r"\b(?i:stands?|stood)\b(?! for\b|-)", 'write "be" or "is in"'),
    _rule(r"\b(?i:so do|so does|do so too|does so too)\b", 'write "too" or repeat the verb'),
    _rule(
        r"\b(?i:his|hers?|(?<!this )(?<!first )(?<!other )(?<!that )(?<!each )one's)\b",
        'write "their" or "your"',
    ),
    _rule(r"(?<!(?i:there) )\b(is|are|was|were|be) no (?!longer|more|less)", 'write "is not a"'),
    _rule(r"(?<!(?i:there) )\b(is|are|was|were|be) none\b", 'write "is not one"'),
    _rule(r"\b(is|are) there to\b", "say what it does"),
    _rule(r"\bof which\b", "split the sentence"),
    _rule(r"\d\s%(?!\w)", "no space before the percent sign"),
    _rule(r"\bbut for\b", 'write "except"'),
    _rule(r"\bgiven? up\b", 'write "drop"'),
    _rule(r"\bhangs? on\b", 'write "depends on"'),
    _rule(r"\bwithout a word\b", 'write "silently"'),
    _rule(r"\b(?i:there(of|with)|where(of|with)|hereof|hitherto|whilst|amongst)\b", "plain words"),
    _rule(r"(^|[.!?] )(What|Who)\b[^?.!]*([.!](?!\w)|$)", "begin with the subject"),
    _rule(r"^CODE: (Of|That of|As there|See there)\b", 'name the thing: "Seed of the split"'),
    _rule(r"(?<!CODE): [^.!?:;()]*(?<!CODE): ", "one colon in a sentence"),
]


class Passage(NamedTuple):
    """A text of the project.

    Attributes:
        path: The file.
        line: The line it begins in.
        kind: "function" or "summary" for the first line of a docstring, "docstring" for the rest;
            "comment", "message", "title" or "text".
        text: The text on one line, with code replaced by `CODE`.
    """

    path: Path
    line: int
    kind: str
    text: str


class Finding(NamedTuple):
    """A pattern that was found.

    Attributes:
        passage: The text.
        excerpt: The part that matches.
        advice: How to write it.
    """

    passage: Passage
    excerpt: str
    advice: str

    def __str__(self) -> str:
        """Return the finding as a line of a report."""
        place = f"{self.passage.path}:{self.passage.line}"
        first = f"{place}: {self.passage.kind}: {self.excerpt!r}: {self.advice}"
        return f"{first}\n    {self.passage.text}"


CODE = "CODE"


def check(passage: Passage) -> list[Finding]:
    """Return the findings in a passage."""
    rules = RULES + (SUMMARY_RULES if passage.kind in ("function", "summary", "title") else [])
    found = [
        Finding(passage, match.group().strip(), rule.advice)
        for rule in rules
        for match in rule.pattern.finditer(passage.text)
    ]
    if passage.kind == "function" and passage.text.split()[0] not in VERBS:
        found.append(Finding(passage, passage.text.split()[0], "begin with a verb"))
    return found


def _clean(text: str) -> str:
    """Return a text on one line, without code, links and quoted examples."""
    text = re.sub(r"``.*?``|`[^`]*`", CODE, text, flags=re.DOTALL)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    text = re.sub(r'"[^"]{,200}"', CODE, text)
    return " ".join(text.split())


def _paragraphs(text: str, line: int) -> Iterator[tuple[int, str]]:
    """Yield the paragraphs, list items and arguments of a text with their lines."""
    begin, lines = line, list[str]()
    for number, content in enumerate(text.split("\n"), line):
        starts = re.match(r"\s*([-*]|\d+\.|\||#+|\w+:\s)", content)
        if lines and (not content.strip() or starts):
            yield begin, "\n".join(lines)
            lines = []
        if content.strip():
            begin, lines = (begin, lines) if lines else (number, [])
            lines.append(content)
    if lines:
        yield begin, "\n".join(lines)


def passages_of_python(path: Path, source: str, *, messages: bool) -> Iterator[Passage]:
    """Yield docstrings, comments and, of the package, the other texts of a module."""
    tree = ast.parse(source)
    docstrings = set[int]()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        docstring = ast.get_docstring(node)
        if docstring is None or not docstring.strip():
            continue
        value = node.body[0].value  # type: ignore[attr-defined]
        docstrings.add(id(value))
        summary, _, rest = docstring.partition("\n\n")
        kind = "function" if _needs_verb(node) else "summary"
        yield Passage(path, value.lineno, kind, _clean(summary))
        for line, text in _paragraphs(rest, value.lineno + summary.count("\n") + 2):
            if not re.match(r"\s*([{[]|>>>|\.\.\. )", text):
                yield Passage(path, line, "docstring", re.sub(r"^\w+: ", f"{CODE}: ", _clean(text)))
    yield from _comments(path, source)
    if messages:
        yield from _messages(path, tree, docstrings)


def _needs_verb(node: ast.AST) -> bool:
    """Return whether a docstring is of a function, but not of a property or a test."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    decorators = {ast.unparse(decorator).rpartition(".")[2] for decorator in node.decorator_list}
    return not (node.name.startswith("test") or decorators & {"property", "cached_property"})


def _comments(path: Path, source: str) -> Iterator[Passage]:
    """Yield the comments of a module, with those of following lines joined."""
    begin, end, lines = 0, -1, list[str]()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT or re.match(r"# (noqa|type:)|#!", token.string):
            continue
        line = token.start[0]
        if lines and line != end + 1:
            yield Passage(path, begin, "comment", _clean(" ".join(lines)))
            lines = []
        begin, end = begin if lines else line, line
        lines.append(token.string.lstrip("# "))
    if lines:
        yield Passage(path, begin, "comment", _clean(" ".join(lines)))


def _messages(path: Path, tree: ast.Module, docstrings: set[int]) -> Iterator[Passage]:
    """Yield the strings of a module that are texts for people: with three words at least."""
    inside = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part in node.values
    }
    for node in ast.walk(tree):
        if id(node) in docstrings | inside:
            continue
        if isinstance(node, ast.JoinedStr):
            text = "".join(
                str(part.value) if isinstance(part, ast.Constant) else CODE for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        else:
            continue
        if re.search(r"[a-z]+ [a-z]+ [a-z]+", text):
            yield Passage(path, node.lineno, "message", _clean(text))


def passages_of_markdown(path: Path, source: str) -> Iterator[Passage]:
    """Yield the titles and paragraphs of a page."""
    source = re.sub(
        r"```.*?```|~~~.*?~~~|<!--.*?-->|:::.*?:::",
        lambda match: "\n" * match.group().count("\n"),
        source,
        flags=re.DOTALL,
    )
    for line, text in _paragraphs(source, 1):
        if text.startswith("#"):
            yield Passage(path, line, "title", _clean(text.lstrip("# ")))
        else:
            text = re.sub(r"^\s*([-*]|\d+\.) |\[(default|required|env var)\b[^]]*\]", "", text)
            for cell in text.split("|") if text.lstrip().startswith("|") else [text]:
                yield Passage(path, line, "text", _clean(cell))


def passages_of_template(path: Path, source: str) -> Iterator[Passage]:
    """Yield the texts of a Jinja template, and its comments."""
    source = re.sub(r"\{\{.*?\}\}", CODE, source, flags=re.DOTALL)
    source = re.sub(r"</?(br|h\d|li|p|t[dhr])\b[^>]*>", "\n\n", source)
    source = re.sub(r"\{%.*?%\}|<[^>]*>", "", source, flags=re.DOTALL)
    for line, text in _paragraphs(source, 1):
        yield Passage(path, line, "text", _clean(text))


def passages_of_settings(path: Path, source: str) -> Iterator[Passage]:
    """Yield the comments and help texts of a file such as project.yml or the Makefile."""
    for line, text in enumerate(source.splitlines(), 1):
        found = re.search(r"(^\s*|\s)#\s*(.*)$|\b(help|script|description)\b\s*[:=]\s*(.*)$", text)
        if found:
            yield Passage(path, line, "comment", _clean(found[2] or found[4] or ""))


def passages_of(path: Path, root: Path) -> list[Passage]:
    """Return the texts of a file, of none for a kind of file that is not checked."""
    source = (root / path).read_text(encoding="utf8")
    if path.suffix == ".py":
        is_package = path.parts[0] == "spacy_btl"
        return list(passages_of_python(path, source, messages=is_package))
    if path.suffix == ".md":
        return list(passages_of_markdown(path, source))
    if path.suffix == ".j2":
        return list(passages_of_template(path, source))
    return list(passages_of_settings(path, source))
