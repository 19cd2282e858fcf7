from pathlib import Path

import pytest
from humanref_addon.session.problem import Problem, ProblemError, mask_private_paths
from humanref_addon.shared_protocol.errors import Error


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/ada/pictures/me.png is gone", "~/pictures/me.png is gone"),
        ("(/home/ada)", "(~)"),
        # Another home on a remote machine, macOS, Windows with both slashes.
        ("/home/bob/x and /Users/eve/y", "~/x and ~/y"),
        (r"C:\Users\Eve\AppData\log.txt", r"~\AppData\log.txt"),
        ("C:/Users/Eve/log.txt", "~/log.txt"),
        # Not a home: nothing to hide, and a longer name is another folder.
        ("/srv/humanref/jobs", "/srv/humanref/jobs"),
    ],
)
def test_home_folders_are_masked(text: str, shown: str) -> None:
    assert mask_private_paths(text, Path("/home/ada")) == shown


def test_a_home_outside_the_usual_places_is_masked_and_its_neighbour_is_not() -> None:
    assert mask_private_paths("/data/u1/a /data/u12/a", Path("/data/u1")) == "~/a /data/u12/a"


def test_what_is_copied_holds_all_of_it() -> None:
    error = Error(code="disk_full", message=f"{Path.home()}/x is full.", hint="Make room.")
    text = Problem.of(error, "job-1").as_text()
    assert text == "[disk_full] ~/x is full.\nMake room.\nJob job-1"
    assert ProblemError("a", f"{Path.home()}/x").problem.message == "~/x"
