from pathlib import Path

import pytest

from course_tools.build import doctor

ROOT = Path(__file__).parents[3]


def test_this_machine_can_run_the_course(capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    assert doctor.main() == 0
    report = capsys.readouterr().out
    for name in (
        "python",
        "packages",
        "torch",
        "gpu",
        "cores",
        "memory",
        "disk",
        "nbgrader",
        "jail",
        "repository",
    ):
        assert name in report


def test_every_line_that_is_not_well_names_a_cure(monkeypatch) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda _: None)
    (finding,) = [f for f in doctor.examine(ROOT) if f.name == "nbgrader"]
    assert "alembic not on PATH" in finding.found
    assert "PATH=" in finding.cure
    assert "->" in str(finding)


def test_other_versions_than_pinned_are_named(tmp_path: Path) -> None:
    (tmp_path / "constraints.txt").write_text("# pins\nnumpy==0.0.1\nno-such-package==1.0\n")
    (finding,) = [f for f in doctor.examine(tmp_path) if f.name == "packages"]
    assert "pinned 0.0.1" in finding.found
    assert "make setup" in finding.cure


def test_a_check_that_breaks_is_a_finding_and_the_round_goes_on(monkeypatch, capsys) -> None:
    def broken() -> doctor.Finding:
        raise OSError("no such device")

    monkeypatch.setattr(doctor, "_memory", broken)
    assert doctor.main() == 1
    report = capsys.readouterr().out
    assert "no such device" in report
    assert "disk" in report


def test_outside_a_clone_it_says_so(tmp_path: Path) -> None:
    found = {f.name: f.found for f in doctor.examine(tmp_path)}
    assert found["repository"] == "not a clone of the course"
    assert "no constraints.txt" in found["packages"]


def test_without_bubblewrap_the_jail_has_a_cure_and_the_course_still_runs(monkeypatch) -> None:
    from course_tools.grading.jail import probe

    monkeypatch.setattr(probe, "missing", lambda: "the program bwrap (bubblewrap) is not installed")
    (finding,) = [f for f in doctor.examine(ROOT) if f.name == "jail"]
    assert "not installed" in finding.found
    assert "apt-get install bubblewrap" in finding.cure
    assert not finding.fatal
