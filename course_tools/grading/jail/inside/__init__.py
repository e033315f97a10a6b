"""What runs inside a jail: seen there as the folder /jail, so that it needs nothing of course_lib."""
