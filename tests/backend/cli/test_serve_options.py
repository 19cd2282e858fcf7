"""``humanref serve``: what a server offers, by the prior that it was given."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from backend.cli.arguments import Serve, parse
from backend.cli.serve_command import serve_options
from backend.errors import HumanRefError
from backend.guidance.compact_files import SHIPPED
from backend.guidance.tiny_stable_diffusion import make_tiny_stable_diffusion
from backend.service.options import SHIPPED_GUIDANCES, ServeOptions
from backend.settings import Guidance


def asked(*words: object) -> ServeOptions:
    command = parse(["serve", *map(str, words)])
    assert isinstance(command, Serve)
    return serve_options(command)


def test_vsd_is_offered_with_a_stable_diffusion_and_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asked().guidances == SHIPPED_GUIDANCES
    assert asked("--prior", SHIPPED).guidances == SHIPPED_GUIDANCES
    tiny = make_tiny_stable_diffusion(tmp_path / "sd")
    with_peft = asked("--prior", tiny)
    assert with_peft.prior == str(tiny)
    assert set(with_peft.guidances) == set(get_args(Guidance))
    assert with_peft.guidances[0] == "ref-sds"
    monkeypatch.setattr("backend.cli.serve_command.find_spec", lambda name: None)
    assert asked("--prior", tiny).guidances == SHIPPED_GUIDANCES


def test_a_prior_that_is_none_is_refused_before_anything_listens(tmp_path: Path) -> None:
    with pytest.raises(HumanRefError) as refused:
        asked("--prior", tmp_path / "nowhere")
    assert refused.value.code == "weights_missing"
