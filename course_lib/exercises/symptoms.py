"""Mistakes that are usual in any training loop on views; the exercises list them where they belong."""

from course_lib.exercises.training import Symptom

BACKWARD_IS_NEVER_CALLED = Symptom(
    "backward is never called",
    lambda t: t.backward == 0,
    "no gradient was ever computed.",
    "Call .backward() on the loss in every step.",
    credit=0.0,
)
AUGMENTATION_IS_NOT_USED = Symptom(
    "the augmentation is not used",
    lambda t: t.augmented == 0,
    "the images were never augmented.",
    "Both views are augment(images[...]); without it the two are the same: nothing to learn.",
)
VIEWS_ARE_OF_DIFFERENT_IMAGES = Symptom(
    "the views are of different images",
    lambda t: t.mispaired > 0.5,
    "the two views in a batch are of different images.",
    "Row i of both must come from the same image: use the same indices for both views.",
    credit=0.0,
)
ZERO_GRAD_IS_MISSING = Symptom(
    "zero_grad is missing",
    lambda t: t.accumulated > 0.5,
    "the gradient of every step is added to those of all earlier ones.",
    "Call optimiser.zero_grad() before .backward().",
)
TRAINING_ENDS_TOO_EARLY = Symptom(
    "the training ends too early",
    lambda t: t.steps < t.expected_steps,
    "you make {steps} steps where epochs times batches are {expected_steps}.",
    "Is the `return` inside a loop, or is an epoch only one batch?",
)
