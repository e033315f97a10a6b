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
VIEWS_ARE_MADE_ONCE = Symptom(
    "the views are made once",
    lambda t: t.augmented <= 2 < t.steps,
    "the images are augmented once and for all: every epoch sees the same views.",
    "Call augment in every step, twice: it draws anew at each call.",
)
ONE_VIEW_IS_NOT_AUGMENTED = Symptom(
    "one view is not augmented",
    lambda t: t.views < 1.5,
    "only one of the two views is augmented.",
    "Call augment twice on the same images, once for each view.",
)
NETWORK_IS_IN_EVALUATION_MODE = Symptom(
    "the network is in evaluation mode",
    lambda t: t.evaluating > 0.5,
    "the backbone is in evaluation mode while it trains: its batch normalisation never sees a batch.",
    "Leave out .eval(), or call .train() before the loop.",
)
IMAGES_ARE_DRAWN_WITH_REPLACEMENT = Symptom(
    "the images are drawn with replacement",
    lambda t: t.repeated > 0.5,
    "in an epoch some images come up again, and others never.",
    "Deal out all indices once an epoch: torch.randperm(len(images)).split(batch_size).",
)
IMAGES_ARE_NOT_SHUFFLED = Symptom(
    "the images are not shuffled",
    lambda t: t.unshuffled > 0.5,
    "every epoch has the very same batches.",
    "Draw a new order at the beginning of each epoch: who is whose negative then changes.",
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
    lambda t: t.accumulated > 0.6,  # a symmetric loss may call backward twice a step
    "the gradient of every step is added to those of all earlier ones.",
    "Call optimiser.zero_grad() before .backward().",
)
TRAINING_ENDS_TOO_EARLY = Symptom(
    "the training ends too early",
    lambda t: t.steps < t.expected_steps,
    "you make {steps} steps where epochs times batches are {expected_steps}.",
    "Is the `return` inside a loop, or is an epoch only one batch?",
)
