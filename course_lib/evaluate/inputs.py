"""What every probe asks of its features and labels."""

from torch import Tensor


def check_pair(features: Tensor, labels: Tensor, name: str) -> None:
    """Features (N, F) with one label each, N >= 1."""
    if features.ndim != 2 or len(features) == 0:
        raise ValueError(f"{name} features must have shape (N, F) with N >= 1, got {tuple(features.shape)}")
    if labels.shape != features.shape[:1]:
        raise ValueError(
            f"one label a feature is needed, got {len(features)} {name} features "
            f"and labels of shape {tuple(labels.shape)}"
        )
    if labels.is_floating_point() or int(labels.min()) < 0:
        raise ValueError(
            f"{name} labels must be integers from 0, got {labels.dtype}, smallest {labels.min()}"
        )


def check_split(
    train_features: Tensor, train_labels: Tensor, test_features: Tensor, test_labels: Tensor
) -> None:
    """A training and a test set whose features have the same length."""
    check_pair(train_features, train_labels, "training")
    check_pair(test_features, test_labels, "test")
    if train_features.shape[1] != test_features.shape[1]:
        raise ValueError(
            f"training and test features must have the same length, "
            f"got {train_features.shape[1]} and {test_features.shape[1]}"
        )


def standardise(train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
    """Both sets with the training set's mean taken off and its standard deviation divided out, by column."""
    mean, std = train.mean(0), train.std(0, correction=0).clamp_min(1e-6)
    return (train - mean) / std, (test - mean) / std
