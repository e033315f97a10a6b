"""`python -m course_tools.cli` is `course`."""

import sys

from course_tools.cli import main

sys.exit(main())
