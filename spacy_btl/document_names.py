"""Names of documents that files are named by, on any system."""

from pathlib import PureWindowsPath

MAX_NAME = 250  # bytes of a file name, with room for its suffix


def name_error(name: str) -> str:
    """Why no files of a folder can be named by a document's name, "" if they can."""
    path = PureWindowsPath(name)  # which knows both slashes and drives
    if path.drive or path.root or "\0" in name or not path.parts:
        return "it cannot name a file"
    if any(not part.strip(". ") for part in path.parts):
        return "it cannot name a file: it leaves the folder"
    if any(part.startswith(".") for part in path.parts):
        return "it cannot name a file: hidden files are passed over where BRAT files are read"
    if any(len(part.encode("utf-8")) > MAX_NAME for part in path.parts):
        return "it cannot name a file: it is too long"
    if any(part.lower().endswith((".txt", ".ann")) for part in path.parts[:-1]):
        return "it cannot name a file: a folder in it is named like one"
    return ""


def file_key(name: str) -> str:
    """The same for names whose files would be the same, on file systems that ignore case too."""
    return str(PureWindowsPath(name)).lower()
