"""Install the built pipeline into an empty virtual environment and use it with sockets blocked.

    python .ci/check_wheel.py packages

Takes the newest wheel under the folder, and the wheel of spacy-btl beside it. Installing needs a
package index; loading and annotating must not need any network. Before that the wheel is looked
through: the model card, the size by part, and that nothing is in it twice.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Iterable
from pathlib import Path

from spacy_btl.packaging.card import render_card
from spacy_btl.packaging.size import File, pieces, sizes
from spacy_btl.util.text import markdown_table

TEXT = "She took 5 mg of warfarin daily for chest pain, and her temperature was 38.2 °C."

LEAST = 16 * 1024
"""Bytes from which equal content is a duplicate: small tensors, such as biases, are often equal."""

VOCABULARIES = ("vocab.txt", "vocab.json", "merges.txt", "spiece.model", "sentencepiece.bpe.model")
"""Files of tokenizers whose content is in tokenizer.json too."""

CODE = """
import socket

def refuse(*args, **kwargs):
    raise OSError("the network was asked for")

for name in ("connect", "connect_ex", "bind", "sendto"):
    setattr(socket.socket, name, refuse)
socket.create_connection = socket.getaddrinfo = refuse

import spacy
nlp = spacy.load({name!r})
docs = list(nlp.pipe([{text!r}, ""]))
print([(ent.text, ent.label_) for ent in docs[0].ents])
pipe = nlp.get_pipe("btl_knn_ner")
print(len(pipe.labels), "labels, neighbors fitted:", pipe.has_neighbors)
assert pipe.has_neighbors == {neighbors!r}
assert nlp.meta["model_card"]["name"] == {name!r}
"""


def stored_twice(files: Iterable[File]) -> list[tuple[str, ...]]:
    """Return the names of content that is stored more than once.

    These are pieces of the same content, vocabularies of a tokenizer beside its tokenizer.json, and
    more than one store of strings.
    """
    groups: dict[bytes, list[str]] = {}
    names = []
    for name, data in pieces(files):
        names.append(name)
        if len(data) >= LEAST:
            groups.setdefault(data, []).append(name)
    found = [tuple(group) for group in groups.values() if len(group) > 1]
    for name in names:
        folder, _, file = name.rpartition("/")
        if file in VOCABULARIES and f"{folder}/tokenizer.json" in names:
            found.append((f"{folder}/tokenizer.json", name))
    strings = tuple(name for name in names if name.endswith("vocab/strings.json"))
    return [*found, strings] if len(strings) > 1 else found


def check_content(path: Path) -> dict[str, int]:
    """Print the size of a wheel by part; the bytes of each.

    Raises SystemExit where there is no model card, or something is there twice.
    """
    with zipfile.ZipFile(path) as wheel:
        files = [(name, wheel.read(name)) for name in wheel.namelist()]
    content = dict(files)
    name, version = path.name.split("-")[:2]
    folder = f"{name}/{name}-{version}"
    # spaCy keeps meta.json beside the pipeline once more: the package reads its version there.
    if twice := stored_twice(file for file in files if file[0] != f"{name}/meta.json"):
        raise SystemExit(f"{path.name} holds twice: {'; '.join(map(' = '.join, twice))}")
    facts = json.loads(content[f"{folder}/meta.json"]).get("model_card")
    if facts is None or f"{folder}/README.md" not in content:
        raise SystemExit(f"{path.name} has no model card; python -m spacy btl card writes one")
    card = render_card(facts)
    metadata = next(data for file, data in files if file.endswith(".dist-info/METADATA"))
    for where in (content[f"{folder}/README.md"], metadata):
        if card.strip() not in where.decode("utf8").replace("\r\n", "\n"):
            raise SystemExit(f"{path.name}: the README is not what the facts in meta.json give")
    parts = sizes(files)
    rows = [[part, f"{count:,}"] for part, count in {**parts, "all": sum(parts.values())}.items()]
    print("\n".join(markdown_table(["part, unpacked", "bytes"], rows)))
    print(f"{path.name}: {path.stat().st_size:,} bytes, nothing twice, model card of {len(card)}")
    return parts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("packages", type=Path, help="folder in which the wheels were built")
    parser.add_argument("--constraints", type=Path, default=Path("constraints.txt"))
    options = parser.parse_args()
    wheels = sorted(options.packages.glob("*/dist/*.whl"), key=lambda path: path.stat().st_mtime)
    if not wheels:
        raise SystemExit(f"no wheel in {options.packages}")
    parts = check_content(wheels[-1])
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        install = [python, "-m", "pip", "install", "--quiet", "--find-links", options.packages]
        subprocess.run([*install, "-c", options.constraints, wheels[-1]], check=True)
        name = wheels[-1].name.split("-")[0]
        code = CODE.format(name=name, text=TEXT, neighbors=parts["neighbors"] > 0)
        subprocess.run([python, "-c", code], check=True, cwd=folder)
    print(f"{wheels[-1].name} loads and annotates without a network")


if __name__ == "__main__":
    main()
