"""The one training loop, the batches of views that feed it, and what it writes down.

    history = fit(SimCLR(backbone), Views(images, augment), epochs=20, probe=online_knn(train, test))

`loop.py` is the loop; every other file here is one thing that it asks for.
"""

from course_lib.train.history import History
from course_lib.train.lars import LARS
from course_lib.train.loop import fit
from course_lib.train.schedule import warmup_cosine
from course_lib.train.views import Views

__all__ = ["LARS", "History", "Views", "fit", "warmup_cosine"]
