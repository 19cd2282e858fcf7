"""``humanref keys``: CURVE keys, and exactly what goes where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from backend.cli.serve_arguments import Keys
from backend.errors import HumanRefError
from backend.service.folders import default_data_dir
from backend.service.keys import (
    SERVER,
    allow_client,
    allowed_clients,
    check_name,
    make_pair,
    revoke_client,
)


def run_keys(args: Keys) -> dict[str, Any]:
    """Make, allow, revoke or list keys.

    Raises:
        HumanRefError: ``key_name``, ``key_unknown``, ``key_unreadable``, ``output_exists``.
    """
    folder = args.keys_dir or (args.data_dir or default_data_dir()) / "keys"
    if args.action in ("client", "allow", "revoke") and not args.name:
        wanted = "the .key file" if args.action == "allow" else "a name"
        raise HumanRefError(
            "key_name",
            f"humanref keys {args.action} needs {wanted}.",
            f"For example: humanref keys {args.action} anna"
            + (".key" if args.action == "allow" else ""),
        )
    result, lines = _ACTIONS[args.action](folder, args)
    if not args.json:
        print("\n".join(lines))
    return {"command": "keys", "action": args.action, **result}


def _server(folder: Path, args: Keys) -> tuple[dict[str, Any], list[str]]:
    public, secret = make_pair(folder, SERVER)
    return {"public": str(public), "secret": str(secret)}, [
        f"server key   {public}",
        f"its secret   {secret}",
        "             stays here and is shown to nobody",
        "next         humanref keys client NAME, on the machine of each client",
    ]


def _client(folder: Path, args: Keys) -> tuple[dict[str, Any], list[str]]:
    check_name(args.name)
    public, secret = make_pair(args.to.absolute(), args.name)
    return {"public": str(public), "secret": str(secret)}, [
        f"client key   {public}",
        f"             bring it to the server and run there: humanref keys allow {public.name}",
        f"its secret   {secret}",
        "             belongs on the client's machine only: choose it in the add-on's preferences",
        "next         also give the client a copy of the server's connection file",
    ]


def _allow(folder: Path, args: Keys) -> tuple[dict[str, Any], list[str]]:
    path = allow_client(folder, Path(args.name))
    name = path.name.removesuffix(".key")
    return {"name": name, "file": str(path)}, [
        f"allowed      {name}",
        "             a running server lets it in at once; humanref keys revoke "
        f"{name} takes it back",
    ]


def _revoke(folder: Path, args: Keys) -> tuple[dict[str, Any], list[str]]:
    revoke_client(folder, args.name)
    return {"name": args.name}, [
        f"revoked      {args.name}",
        "             a running server stops listening to it within half a minute",
    ]


def _list(folder: Path, args: Keys) -> tuple[dict[str, Any], list[str]]:
    clients = allowed_clients(folder)
    made = (folder / f"{SERVER}.key_secret").is_file()
    lines = [f"server key   {'made' if made else 'none yet: humanref keys server'}"]
    lines += [f"allowed      {name:<20} {key}" for key, name in clients.items()]
    if not clients:
        lines.append("allowed      nobody")
    return {"server": made, "clients": {name: key for key, name in clients.items()}}, lines


_ACTIONS = {
    "server": _server,
    "client": _client,
    "allow": _allow,
    "revoke": _revoke,
    "list": _list,
}
