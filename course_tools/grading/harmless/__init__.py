"""What students hand in, made harmless before an instructor's browser shows it.

Formgrader shows autograded notebooks on the page's own origin, where a script could write marks or start a
kernel outside the jail; it passes on raw HTML as it stands in answers and outputs.
"""

from course_tools.grading.harmless.notebook import Harmless, known_outputs, make_harmless

__all__ = ["Harmless", "known_outputs", "make_harmless"]
