"""A clean working copy of whatever a student handed in, made before nbgrader sees it.

Students' notebooks come back with cells deleted, copied, moved and renamed, in old formats and odd encodings.
What can be put right fairly is put right from the release, and told to the student in a sentence; only a file
that holds no notebook at all is refused.
"""

from course_tools.grading.repair.mend import Mended, mend
from course_tools.grading.repair.reading import Unreadable

__all__ = ["Mended", "Unreadable", "mend"]
