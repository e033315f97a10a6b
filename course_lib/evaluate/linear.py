"""The linear probe: how much of the label can one matrix read from frozen features?"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.evaluate.inputs import check_split, standardise


def linear_probe_accuracy(
    train_features: Tensor,
    train_labels: Tensor,
    test_features: Tensor,
    test_labels: Tensor,
    *,
    weight_decay: float = 1e-4,
    steps: int = 100,
) -> float:
    """Test accuracy of multinomial logistic regression on standardised features.

    The problem is convex, so full-batch L-BFGS finds the optimum without a learning rate to choose.
    `linear_probe_sweep` trains as the papers do.

    Args:
        train_features, test_features: (N, F) and (M, F).
        train_labels, test_labels: (N,) and (M,), integers.
        weight_decay: L2 penalty on the weights, relative to the mean loss.
        steps: L-BFGS iterations at most.

    Returns:
        Fraction right, in [0, 1]. Chance is the share of the most frequent class.

    Raises:
        ValueError: features and labels do not fit together.
    """
    check_split(train_features, train_labels, test_features, test_labels)
    x, x_test = standardise(train_features.float(), test_features.float())
    classifier = nn.Linear(x.shape[1], int(train_labels.max()) + 1, device=x.device)
    nn.init.zeros_(classifier.weight)
    nn.init.zeros_(classifier.bias)
    optimiser = torch.optim.LBFGS(
        classifier.parameters(), max_iter=steps, history_size=10, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = F.cross_entropy(classifier(x), train_labels)
        loss = loss + weight_decay / 2 * classifier.weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    with torch.no_grad():
        return int((classifier(x_test).argmax(1) == test_labels).sum()) / len(test_labels)
