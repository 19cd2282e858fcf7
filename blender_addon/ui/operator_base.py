"""What all our operators share: greyed-out buttons say why, and errors are shown in words."""

from __future__ import annotations

from typing import ClassVar

import bpy

from ..scene.errors import SceneError
from ..session.current import current_session
from ..session.problem import Problem, ProblemError
from .requirements import Need, first_reason


class ExplainedOperator:
    """Mix-in of every operator that can fail or must wait for something.

    Subclasses name what they need (functions of ``requirements``) and do their work in ``run``.
    """

    needs: ClassVar[tuple[Need, ...]] = ()

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether all that it needs is there; if not, the tooltip says what is missing."""
        reason = first_reason(context, *cls.needs)
        if reason:
            cls.poll_message_set(reason)
        return not reason

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Run; a problem ends as a dialog (in background mode: as an error report)."""
        try:
            self.run(context)
        except (ProblemError, SceneError) as error:
            return self.fail(as_problem(error))
        return {"FINISHED"}

    def run(self, context: bpy.types.Context) -> None:
        """The work.

        Raises:
            ProblemError, SceneError: what is wrong, in words.
        """
        raise NotImplementedError

    def fail(self, problem: Problem) -> set[str]:
        """Show what went wrong."""
        current_session().report(problem)
        if bpy.app.background:
            self.report({"ERROR"}, problem.as_text())
        else:
            # An ERROR report would pop up on top of the dialog that says the same.
            self.report({"WARNING"}, problem.message)
        return {"CANCELLED"}


def as_problem(error: ProblemError | SceneError) -> Problem:
    """Either kind of error, masked."""
    if isinstance(error, ProblemError):
        return error.problem
    return Problem.say(error.code, error.message, error.hint)
