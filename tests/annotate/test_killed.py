"""A run that is killed, in a process of its own, goes on with nothing twice and nothing missing."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from spacy_btl.annotate.run import annotate
from tests.helpers.annotating import RECORDS, by_pipeline, found, train, tree, write

# Slow, so that it can be killed in the middle; its worker processes too, which import it.
SLOWLY = """
import sys
import time
from pathlib import Path
from spacy_btl.annotate.run import annotate
from spacy_btl.annotate.folder import RunFolder

write = RunFolder.write

def slowly(*arguments):
    time.sleep(0.05)
    write(*arguments)

RunFolder.write = slowly

if __name__ == "__main__":
    model, source, output, to, n_process = sys.argv[1:]
    annotate(model, Path(source), Path(output), to=to, shard_size=1, n_process=int(n_process))
"""


@pytest.mark.parametrize(
    ("to", "n_process", "killed_after"), [("jsonl", 1, (2, 9)), ("brat", 2, (9,))]
)
def test_after_kill_9(
    tmp_path: Path, to: str, n_process: int, killed_after: tuple[int, ...]
) -> None:
    model, source = train(tmp_path / "model"), write(tmp_path / "in.jsonl")
    options: dict[str, Any] = {"to": to, "shard_size": 1}
    annotate(model, source, tmp_path / "whole", **options)
    output, script = tmp_path / "out", tmp_path / "slowly.py"
    script.write_text(SLOWLY)
    arguments = [sys.executable, *map(str, (script, model, source, output, to, n_process))]
    for n_shards in killed_after:
        process = subprocess.Popen(arguments)
        while number_done(output) < n_shards:
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.005)
        with pytest.raises(ValueError, match="another run writes to"):
            annotate(model, source, output, **options)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    if n_process > 1:  # workers end with their parent: nobody writes on
        time.sleep(0.5)
        before = tree(output)
        time.sleep(0.5)
        assert tree(output) == before
    done = number_done(output)
    assert killed_after[-1] <= done < len(RECORDS)
    assert annotate(model, source, output, **options).resumed == done
    assert found(output, to) == by_pipeline(model)
    assert tree(output) == tree(tmp_path / "whole")


def number_done(output: Path) -> int:
    return len(list(output.glob("done/*.json")))
