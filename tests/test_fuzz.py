"""Files from strangers: the corpora, what fuzzing has found, and bytes changed at random raise only errors of ours."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.harnesses import HARNESSES, feed
from tests.fuzz.seeds import outside
from tests.small_networks import model

FUZZ = Path(__file__).parent / "fuzz"
CORPUS = {path.relative_to(FUZZ): path for path in sorted(FUZZ.glob("corpus/*/*"))}
FOUND = {path.name: path for path in sorted((FUZZ / "found").glob("*-*"))}


@pytest.mark.parametrize("name", CORPUS, ids=str)
def test_a_file_of_the_corpus_does_no_harm(name: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    feed(name.parts[1], CORPUS[name].read_bytes())
    assert not (tmp_path / "escaped").exists()  # which the pickles in it would have written


@pytest.mark.parametrize("name", FOUND)
def test_what_fuzzing_found_is_refused_in_one_line(name: str) -> None:
    feed(name.partition("-")[0], FOUND[name].read_bytes())


@settings(deadline=None, max_examples=40)
@given(st.data())
@pytest.mark.parametrize("name", HARNESSES)
def test_bytes_changed_at_random_are_refused_or_understood(name: str, data: st.DataObject) -> None:
    seed = data.draw(st.sampled_from([p.read_bytes() for k, p in CORPUS.items() if k.parts[1] == name]))
    content = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 4))):
        where = data.draw(st.integers(0, max(len(content) - 1, 0)))
        content[where : where + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    feed(name, bytes(content))


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "a/../../secret", "link"])
def test_external_data_cannot_leave_its_folder(location: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(24))
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "link").symlink_to(tmp_path / "secret")
    from gscompile.errors import ModelError
    from gscompile.graph.network import Network

    (inner / "m.onnx").write_bytes(outside(location))
    with pytest.raises(ModelError, match=r"m\.onnx: invalid graph: ") as caught:
        Network.load(inner / "m.onnx")
    assert "\n" not in str(caught.value)
    (inner / "m.onnx").write_bytes(model("g (float[2] x) => (float[2] y) { y = Neg (x) }").SerializeToString())
    assert Network.load(inner / "m.onnx").layers == ()
