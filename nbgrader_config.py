"""nbgrader's settings: solutions/ is the source, assignments/ the release; run nbgrader from this folder.

Grading leaves submitted/, autograded/, feedback/ and gradebook.db here; git ignores them.
"""

import os
import sys

from course_tools.build.project import prepare_jupyter

prepare_jupyter()  # nbgrader finds its programs even where the environment is not activated
from course_tools.grading.jail import missing, unsafe  # noqa: E402

# ExecuteLab grades in a jail. `nbgrader validate` knows no other setting for where its kernels run; the
# Validate button in JupyterLab, pressed on one's own work, keeps to ordinary ones.
if "validate" in sys.argv[1:] and not (missing() or unsafe()):
    os.environ.setdefault("JUPYTER_DEFAULT_PROVISIONER_NAME", "course-jail")

c = get_config()  # noqa: F821 (nbgrader defines it)

c.CourseDirectory.course_id = "ssl-vision-course"
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "assignments"
# Text sources hold the solutions: they never reach a release. Formgrader would run settings (*_config.*) that
# a student handed in. verdicts.json is the grader's own record.
_SOURCES = ["*.py", "*.pyc", "__pycache__", ".ipynb_checkpoints"]
c.CourseDirectory.ignore = [*_SOURCES, "*_config.json", "feedback", "verdicts.json"]

# A blank lab fails with NotImplementedError and nothing else.
c.ClearSolutions.code_stub = {"python": "raise NotImplementedError"}
c.ClearSolutions.text_stub = "*Your answer here.*"
# An item's third hint is the way itself: a release is without, unless c.LeaveOutWays.enabled = False.
c.GenerateAssignment.preprocessors.insert(0, "course_tools.grading.ways.LeaveOutWays")

# A deleted test is put back; what goes wrong in one cell costs that cell's points alone.
c.OverwriteCells.add_missing_cells = True
# Formgrader shows autograded/ as it is, on the origin on which Jupyter runs: nothing in there may be active.
# The first list's notebook lies there while it is executed; ExecuteLab does the same with the outcome.
c.Autograde.sanitize_preprocessors = [
    "nbgrader.preprocessors.ClearOutput",
    "nbgrader.preprocessors.DeduplicateIds",
    "nbgrader.preprocessors.OverwriteKernelspec",
    "nbgrader.preprocessors.OverwriteCells",
    "nbgrader.preprocessors.CheckCellMetadata",
    "course_tools.grading.harmless.Harmless",
]
c.Autograde.autograde_preprocessors = [
    "course_tools.grading.execute.ExecuteLab",
    "nbgrader.preprocessors.IgnorePattern",
    "nbconvert.preprocessors.ClearMetadataPreprocessor",
    "nbgrader.preprocessors.LimitOutput",
    "nbgrader.preprocessors.SaveAutoGrades",
    "nbgrader.preprocessors.AssignLatePenalties",
    "nbgrader.preprocessors.CheckCellMetadata",
]
c.Execute.timeout = 90  # seconds a cell; a graded one takes less than 10 on two free cores
c.Execute.startup_timeout = 120
c.Execute.iopub_timeout = 10
c.Execute.shutdown_kernel = "immediate"
c.Execute.extra_arguments = ["--log-level=ERROR"]
c.LimitOutput.max_lines = 200

# A student's page shows no hidden test.
c.GenerateFeedback.preprocessors = [
    "course_tools.grading.report.feedback.StudentView",
    "nbgrader.preprocessors.GetGrades",
    "nbconvert.preprocessors.CSSHTMLHeaderPreprocessor",
]

# `nbgrader zip_collect` reads alice_lab1_contrastive_losses.ipynb, or alice.zip with the notebook in it.
c.FileNameCollectorPlugin.named_regexp = r".*/(?P<student_id>[\w.@-]+?)[_/](?:.*[_/])?(?P<file_id>lab\d+_\w+)"
