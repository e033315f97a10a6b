import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from course_lib.evaluate import retrieval_scores


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("chunk", [7, 10**6])
def test_matches_a_loop_and_scikit_learn(chunk: int, monkeypatch) -> None:
    monkeypatch.setattr("course_lib.evaluate.retrieval.CHUNK", chunk)
    rng = np.random.default_rng(0)
    queries, gallery = rng.standard_normal((20, 6)), rng.standard_normal((50, 6))
    q_labels, g_labels = rng.integers(0, 6, 20), rng.integers(0, 5, 50)  # class 5 is not in the gallery
    similarity = unit(queries) @ unit(gallery).T
    precisions, hits = [], {1: [], 5: [], 80: []}
    for row, label in zip(similarity, q_labels, strict=True):
        right = g_labels == label
        if right.any():
            precisions.append(average_precision_score(right, row))
            for k, found in hits.items():
                found.append(right[np.argsort(-row)[:k]].any())
    scores = retrieval_scores(*map(torch.tensor, (queries, q_labels, gallery, g_labels)), ks=(1, 5, 80))
    assert scores["mAP"] == pytest.approx(np.mean(precisions), rel=1e-5)
    assert scores["recall@1"] == pytest.approx(np.mean(hits[1]))
    assert scores["recall@5"] == pytest.approx(np.mean(hits[5]))
    assert scores["recall@80"] == 1


def test_among_themselves_no_image_finds_itself() -> None:
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((30, 4)), rng.integers(0, 4, 30)
    similarity = unit(x) @ unit(x).T
    precisions, first = [], []
    for i in range(30):
        others = np.arange(30) != i
        right, row = (labels == labels[i])[others], similarity[i][others]
        precisions.append(average_precision_score(right, row))
        first.append(right[row.argmax()])
    scores = retrieval_scores(torch.tensor(x), torch.tensor(labels), ks=(1,))
    assert scores["mAP"] == pytest.approx(np.mean(precisions), rel=1e-5)
    assert scores["recall@1"] == pytest.approx(np.mean(first))


def test_duplicates_may_find_each_other() -> None:
    x = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    assert retrieval_scores(x, torch.tensor([0, 0, 1, 1]), ks=(1,)) == {"recall@1": 1, "mAP": 1}


def test_bad_input() -> None:
    x, y = torch.eye(3), torch.arange(3)
    with pytest.raises(ValueError, match="no query has an image of its class"):
        retrieval_scores(x, y)
    with pytest.raises(ValueError, match="or neither"):
        retrieval_scores(x, y, x)
    with pytest.raises(ValueError, match="depths of at least 1"):
        retrieval_scores(x, y, x, y, ks=(0,))
