"""What every worker needs, imported once in the process that they are forked from."""

import sys

# Compiles parsers for seconds when jsonschema imports it; nothing here uses it.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

import nbgrader.converters  # noqa: E402
import nbgrader.preprocessors  # noqa: E402, F401

import course_tools.grading.batch.grade  # noqa: E402
import course_tools.grading.batch.within  # noqa: E402, F401
