"""What an instructor and a maintainer of the course need: grading, building, the `course` command."""
