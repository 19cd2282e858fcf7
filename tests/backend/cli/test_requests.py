"""What is said on the command line reaches the pipeline."""

import pytest

from backend.cli.arguments import Doctor, Estimate, parse
from backend.cli.requests import estimate_request


@pytest.mark.parametrize(("command", "out"), [("generate", "a.glb"), ("estimate", "a.json")])
@pytest.mark.parametrize("device", ["cpu", "cuda", "auto"])
def test_providers_run_on_the_device_that_was_asked_for(
    command: str, out: str, device: str
) -> None:
    args = parse([command, "photo.png", "-o", out, "--device", device, "--captioner", "blip"])
    assert not isinstance(args, Doctor)
    choices = estimate_request(args).providers
    assert (choices.device, choices.caption) == (device, "blip")


def test_a_refit_and_its_locks_reach_the_pipeline() -> None:
    line = ["estimate", "a.png", "-o", "b.json", "--pose", "c.json", "--refit", "--lock"]
    args = parse([*line, "left_elbow, right_knee,"])
    assert isinstance(args, Estimate)
    request = estimate_request(args)
    assert request.refit
    assert request.locked_joints == {"left_elbow", "right_knee"}
    plain = parse(["estimate", "a.png", "-o", "b.json"])
    assert isinstance(plain, Estimate)
    assert not estimate_request(plain).refit
    assert estimate_request(plain).locked_joints == frozenset()
