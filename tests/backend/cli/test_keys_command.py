"""``humanref keys`` and the options of ``humanref serve``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backend.cli import main
from backend.cli.arguments import parse
from backend.cli.serve_arguments import Serve
from backend.cli.serve_command import serve_options
from backend.errors import HumanRefError


def test_keys_from_nothing_to_an_allowed_client(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, client = tmp_path / "data", tmp_path / "client"
    at = ["--data-dir", str(data)]
    assert main(["keys", "server", *at]) == 0
    assert main(["keys", "client", "anna", "--to", str(client)]) == 0
    said = capsys.readouterr().out
    assert str(client / "anna.key_secret") in said
    assert "humanref keys allow anna.key" in said
    assert main(["keys", "allow", str(client / "anna.key"), *at]) == 0
    assert main(["keys", "list", "--json", *at]) == 0
    listed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert listed["server"] is True
    assert list(listed["clients"]) == ["anna"]
    assert main(["keys", "revoke", "anna", *at]) == 0
    assert main(["keys", "revoke", "anna", *at]) == 2
    assert main(["keys", "allow", *at]) == 2
    assert "needs the .key file" in capsys.readouterr().err


def test_serve_refuses_an_open_door_before_it_listens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "backend.json"
    code = main(
        ["serve", "--bind", "tcp://0.0.0.0", "--data-dir", str(tmp_path / "data"),
         "--connection-file", str(file)]
    )  # fmt: skip
    assert code == 2
    assert "humanref keys" in capsys.readouterr().err
    assert not file.exists()


def test_serve_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    command = parse(
        ["serve", "--max-jobs", "2", "--ttl-days", "1", "--idle-exit", "10", "--quota-gb", "3"]
    )
    assert isinstance(command, Serve)
    made = serve_options(command)
    assert made.bind == "tcp://127.0.0.1"
    assert (made.max_jobs, made.ttl_days, made.idle_exit_minutes) == (2, 1.0, 10.0)
    assert made.quota_gb == 3.0
    assert made.keys == made.data_dir / "keys"
    assert made.connection_file.is_absolute()


@pytest.mark.parametrize(
    "options",
    [["--max-jobs", "0"], ["--ttl-days", "0"], ["--idle-exit", "-1"], ["--quota-gb", "0"]],
)
def test_serve_options_that_make_no_sense(options: list[str]) -> None:
    command = parse(["serve", *options])
    assert isinstance(command, Serve)
    with pytest.raises(HumanRefError) as refused:
        serve_options(command)
    assert refused.value.code == "option_out_of_range"
