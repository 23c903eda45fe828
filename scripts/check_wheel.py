"""Install the built pipeline into an empty virtual environment and use it with sockets blocked.

    python scripts/check_wheel.py packages

Takes the newest wheel under the folder, and the wheel of spacy-btl beside it. Installing needs a
package index; loading and annotating must not need any network.
"""

import argparse
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

TEXT = "She took 5 mg of warfarin daily for chest pain, and her temperature was 38.2 °C."

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
print(len(pipe.labels), "labels, neighbours fitted:", pipe.has_neighbors)
assert pipe.has_neighbors
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("packages", type=Path, help="folder in which the wheels were built")
    parser.add_argument("--constraints", type=Path, default=Path("constraints.txt"))
    options = parser.parse_args()
    wheels = sorted(options.packages.glob("*/dist/*.whl"), key=lambda path: path.stat().st_mtime)
    if not wheels:
        raise SystemExit(f"no wheel in {options.packages}")
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        install = [python, "-m", "pip", "install", "--quiet", "--find-links", options.packages]
        subprocess.run([*install, "-c", options.constraints, wheels[-1]], check=True)
        code = CODE.format(name=wheels[-1].name.split("-")[0], text=TEXT)
        subprocess.run([python, "-c", code], check=True, cwd=folder)
    print(f"{wheels[-1].name} loads and annotates without a network")


if __name__ == "__main__":
    main()
