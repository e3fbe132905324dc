"""The course's exercises: ``course.check("04.2", answer)`` in a notebook tells whether an answer is right.

::

    from vfiokit import course

    answer = ...                    # the reader's
    course.check("01.1", answer)    # "not answered yet", "right", or what is wrong

Each chapter is a module of this package with a function for each exercise. Right answers are found by running
a migration, so they follow the code; the tests hold that every exercise can be solved.
"""

from vfiokit.course.exercises import Verdict, check

__all__ = ("Verdict", "check")
