"""The course made, run and reported: sources to notebooks, lectures executed, sample submissions graded."""
