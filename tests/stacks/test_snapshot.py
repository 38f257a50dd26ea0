"""What is deployed is in the repository for reading; a change of it is a change that somebody reads."""

from pathlib import Path

from stacks.snapshot import readable, snapshots, write
from tests.stacks.deployment import Deployment

SNAPSHOTS = Path(__file__).with_name("snapshots")


def test_the_committed_templates_are_what_is_deployed(deployed: Deployment) -> None:
    made = snapshots(deployed.folder)
    known = {file.stem: file.read_text() for file in SNAPSHOTS.glob("*.yaml")}
    changed = sorted(name for name in made.keys() | known.keys() if made.get(name) != known.get(name))
    assert not changed, f"run `make synth` and read the difference of {', '.join(changed)}"


def test_hashes_are_masked_and_nothing_is_folded_into_references() -> None:
    shared = {"a": 1}
    template = {
        "Resources": {"X": {"Key": f"{'0a' * 32}.zip", "One": shared, "Two": shared, "Short": "0a" * 31}},
        "Rules": {"CheckBootstrapVersion": {}},
        "Parameters": {"BootstrapVersion": {}, "Mine": {"Type": "String"}},
    }
    text = readable(template)
    assert "HASH.zip" in text and "0a" * 31 in text
    assert "&" not in text and "Bootstrap" not in text
    assert text.startswith("Parameters:\n  Mine:")


def test_writing_says_what_changed_and_removes_what_is_gone(tmp_path: Path) -> None:
    assembly, folder = tmp_path / "out", tmp_path / "kept"
    assembly.mkdir()
    (assembly / "A.template.json").write_text('{"Resources": {}}')
    (assembly / "B.template.json").write_text('{"Resources": {}}')
    assert write(assembly, folder) == ["A.yaml", "B.yaml"]
    assert write(assembly, folder) == []
    (assembly / "B.template.json").unlink()
    (assembly / "A.template.json").write_text('{"Resources": {"X": {"Type": "T"}}}')
    assert write(assembly, folder) == ["A.yaml", "B.yaml"]
    assert [file.name for file in folder.iterdir()] == ["A.yaml"]
