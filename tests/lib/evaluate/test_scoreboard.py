import pytest

from course_lib.evaluate import Scoreboard
from course_lib.evaluate.scoreboard import spread


@pytest.fixture
def board(tmp_path):
    return Scoreboard(tmp_path / "data" / "scores.csv")


def add(board, method, values, **changes):
    board.record(method, values, **{"week": 1, "dataset": "shapes", "metric": "kNN", **changes})


def test_scores_survive_a_restart(board):
    add(board, "SimCLR", {0: 0.5, 1: 0.625}, seconds=12.34)
    again = Scoreboard(board.path)
    assert again.scores == board.scores
    assert again.values("SimCLR", metric="kNN", dataset="shapes") == [0.5, 0.625]


def test_recording_again_replaces_all_seeds_of_that_measurement_only(board):
    add(board, "SimCLR", {0: 0.5, 1: 0.6, 2: 0.7})
    add(board, "SimCLR", {0: 0.4}, metric="linear probe")
    add(board, "SimCLR", {0: 0.3}, profile="fast")
    add(board, "SimCLR", {5: 0.8})
    assert board.values("SimCLR", metric="kNN", dataset="shapes") == [0.8]
    assert board.values("SimCLR", metric="linear probe", dataset="shapes") == [0.4]
    assert board.values("SimCLR", metric="kNN", dataset="shapes", profile="fast") == [0.3]


def test_a_later_week_adds_to_the_same_file(board):
    add(board, "SimCLR", {0: 0.5})
    add(Scoreboard(board.path), "MoCo", {0: 0.6}, week=2)
    assert Scoreboard(board.path).methods() == ["SimCLR", "MoCo"]


def test_references_stand_together_first(board):
    for week, method in [(2, "MoCo"), (1, "supervised"), (1, "SimCLR"), (1, "random network"), (1, "chance")]:
        add(board, method, {0: 0.5}, week=week)
    assert board.methods() == ["chance", "random network", "supervised", "SimCLR", "MoCo"]


def test_table_pairs_metrics_and_shows_the_spread(board):
    add(board, "SimCLR", {0: 0.5, 1: 0.6}, seconds=20)
    add(board, "SimCLR", {0: 0.7}, metric="linear probe")
    add(board, "raw pixels", {0: 0.4})
    header, raw, simclr = board.table()
    assert header == ["week", "method", "data", "profile", "kNN", "linear probe", "seeds", "seconds"]
    assert raw == ["1", "raw pixels", "shapes", "full", "0.400", "-", "1", "-"]
    assert simclr == ["1", "SimCLR", "shapes", "full", "0.550 ± 0.071", "0.700", "2", "20"]


def test_text_is_aligned_and_html_escapes(board):
    add(board, "<b>bold</b>", {0: 0.5})
    lines = str(board).splitlines()
    assert lines[0].index("data") == lines[2].index("shapes")
    assert "<b>" not in board._repr_html_()
    assert "&lt;b&gt;" in board._repr_html_()


def test_select_keeps_data_and_profiles_apart(board):
    add(board, "SimCLR", {0: 0.5})
    add(board, "SimCLR", {0: 0.9}, dataset="pets")
    add(board, "SimCLR", {0: 0.1}, profile="fast")
    assert [score.value for score in board.select(dataset="shapes", profile="full").scores] == [0.5]


def test_select_keeps_chosen_methods(board):
    for method in ("chance", "SimCLR", "MoCo v2"):
        add(board, method, {0: 0.5})
    assert board.select(methods=("SimCLR", "chance", "DINO")).methods() == ["chance", "SimCLR"]
    assert board.select().methods() == board.methods()


def test_an_empty_board_shows_its_header(board):
    assert "method" in str(board)
    assert "method" in board._repr_html_()
    assert not board.path.exists()


@pytest.mark.parametrize("values", [{}, {0: 1.2}, {0: -0.1}, {0: float("nan")}])
def test_only_fractions_are_recorded(board, values):
    with pytest.raises(ValueError, match=r"value in \[0, 1\]"):
        add(board, "SimCLR", values)


def test_a_foreign_file_is_not_overwritten(tmp_path):
    (tmp_path / "other.csv").write_text("name,points\nme,3\n")
    with pytest.raises(ValueError, match="columns"):
        Scoreboard(tmp_path / "other.csv")


def test_spread():
    assert spread([]) == "-"
    assert spread([0.5]) == "0.500"
    assert spread([0.5, 0.6]) == "0.550 ± 0.071"
