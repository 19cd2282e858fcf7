"""What is said on the command line reaches the pipeline."""

import pytest

from backend.cli.arguments import Doctor, parse
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
