"""Probes for known factors: against scikit-learn, and against features of which we know what they hold."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score

from course_lib.data import Shapes
from course_lib.evaluate import factor_scores, raw_pixels, regression_probe_r2


def test_regression_probe_is_ridge_regression_on_standardised_features():
    rng = np.random.default_rng(0)
    x, x_test = rng.standard_normal((80, 5)) * [1, 10, 0.1, 3, 1], rng.standard_normal((40, 5))
    mixing = rng.standard_normal((5, 2))
    y, y_test = (a @ mixing + rng.standard_normal((len(a), 2)) for a in (x, x_test))
    mean, std = x.mean(0), x.std(0)
    # scikit-learn's penalty goes with the sum of squared errors, ours with their mean.
    peer = Ridge(alpha=0.05 * len(x)).fit((x - mean) / std, y)
    expected = r2_score(y_test, peer.predict((x_test - mean) / std))
    found = regression_probe_r2(*map(torch.tensor, (x, y, x_test, y_test)), weight_decay=0.05)
    assert found == pytest.approx(expected, rel=1e-6)


def test_regression_probe_knows_all_and_nothing():
    torch.manual_seed(0)
    x, x_test = torch.randn(500, 4), torch.randn(200, 4)
    assert regression_probe_r2(x, x[:, :2], x_test, x_test[:, :2]) > 0.99
    assert abs(regression_probe_r2(x, torch.randn(500, 2), x_test, torch.randn(200, 2))) < 0.1
    # A feature that never changes must not make the system singular.
    assert regression_probe_r2(torch.zeros(500, 3), x, torch.zeros(200, 3), x_test) == pytest.approx(
        0, abs=0.05
    )


@pytest.mark.parametrize(
    ("features", "targets"), [((5, 3), (4, 1)), ((5,), (5, 1)), ((5, 3), (5,)), ((0, 3), (0, 1))]
)
def test_regression_probe_says_what_it_was_given(features, targets):
    x, y = torch.zeros(features), torch.zeros(targets)
    with pytest.raises(ValueError, match="expected features"):
        regression_probe_r2(x, y, x, y)


def test_regression_probe_refuses_a_target_that_does_not_vary():
    with pytest.raises(ValueError, match="does not vary"):
        regression_probe_r2(torch.randn(9, 2), torch.randn(9, 1), torch.randn(9, 2), torch.ones(9, 1))


def test_factor_scores_find_what_features_hold_and_nothing_else():
    """Features that are one factor itself give that factor away and, all being independent, no other."""
    world = Shapes(agreement=0.0)
    known = {"train": world.factors(range(300)), "test": world.factors(range(2**40, 2**40 + 300))}

    def palette_only(images):
        which = "train" if torch.equal(images, world.render(known["train"])) else "test"
        return torch.nn.functional.one_hot(known[which].palette[:, 0], 10).float()

    scores = factor_scores(palette_only, train=300, test=300)
    assert scores["colour"] == 1
    assert scores["shape"] < 0.2
    assert max(scores["position"], scores["background"]) < 0.1


def test_factor_scores_follow_the_augmentation_that_destroys_them():
    def no_position(images):  # the mean colour of an image does not say where anything is
        return raw_pixels(images).view(len(images), 3, -1).mean(2)

    whole = factor_scores(raw_pixels, size=8, train=600, test=300)
    mean = factor_scores(no_position, size=8, train=600, test=300)
    assert whole["position"] > 0.3
    assert mean["position"] < 0.1
    assert mean["background"] > 0.2
