from itertools import permutations

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    adjusted_rand_score,
    fowlkes_mallows_score,
    normalized_mutual_info_score,
)

from course_lib.evaluate import clustering_accuracy, clustering_scores


@pytest.mark.parametrize("clusters", [2, 3, 5])
@pytest.mark.parametrize("seed", range(4))
def test_accuracy_is_the_best_over_all_matchings(clusters: int, seed: int) -> None:
    """Against trying every way to name clusters; names beyond the classes stand for 'none'."""
    rng = np.random.default_rng(seed)
    labels, found = rng.integers(0, 3, 40), rng.integers(0, clusters, 40)
    names = range(max(3, clusters))
    expected = max(np.mean(np.array(p)[found] == labels) for p in permutations(names, clusters))
    assert clustering_accuracy(torch.tensor(labels), torch.tensor(found)) == pytest.approx(expected)


def test_perfect_groups() -> None:
    torch.manual_seed(0)
    labels = torch.arange(60) % 3
    # Lengths differ wildly, directions do not: k-means works on directions.
    features = torch.eye(3)[labels] * torch.rand(60, 1).mul(5).exp() + 1e-3 * torch.randn(60, 3)
    scores = clustering_scores(features, labels)
    assert (scores.accuracy, scores.ari, scores.nmi, scores.fmi) == pytest.approx((1, 1, 1, 1))


def test_scores_are_scikit_learn_s_and_repeatable() -> None:
    from sklearn.cluster import KMeans

    torch.manual_seed(0)
    features, labels = torch.randn(80, 5), torch.randint(0, 4, (80,))
    scores = clustering_scores(features, labels, num_clusters=6, seed=3)
    assert scores == clustering_scores(features, labels, num_clusters=6, seed=3)
    unit = torch.nn.functional.normalize(features, dim=1).numpy()
    found = KMeans(6, n_init=10, random_state=3).fit_predict(unit)
    assert scores.ari == pytest.approx(adjusted_rand_score(labels, found))
    assert scores.nmi == pytest.approx(normalized_mutual_info_score(labels, found))
    assert scores.fmi == pytest.approx(fowlkes_mallows_score(labels, found))
    assert scores.accuracy == pytest.approx(clustering_accuracy(labels, torch.tensor(found).long()))


def test_a_class_number_that_never_occurs_makes_no_cluster() -> None:
    labels = torch.tensor([0, 0, 5, 5])
    features = torch.tensor([[1.0, 0], [1, 0.1], [0, 1], [0.1, 1]])
    assert clustering_scores(features, labels).accuracy == 1


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="from 1 to 4 clusters"):
        clustering_scores(torch.eye(4), torch.arange(4), num_clusters=5)
    with pytest.raises(ValueError, match="two vectors of one length"):
        clustering_accuracy(torch.arange(3), torch.arange(4))
