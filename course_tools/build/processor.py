"""Processor time of this process and of all that it started, jailed kernels among them."""

from __future__ import annotations

from course_tools.grading.jail.meter import family_seconds, seconds_of_the_dead


def processor_seconds() -> float:
    """Used so far by this process, by those it waited for, those that run, and kernels that were killed.

    A difference of two such numbers is what was used between; 0 where the system does not tell.
    """
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return 0.0
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    own = sum(each.ru_utime + each.ru_stime for each in used)
    return own + family_seconds() + seconds_of_the_dead()
