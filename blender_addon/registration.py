"""Everything that Blender is told about, in order; and taken back in reverse."""

from __future__ import annotations

from pathlib import Path

import bpy

from .names import ROOT, addon_version
from .scene.view_shading import restore_shading
from .session.arrivals import Arrivals
from .session.backend_process import BackendProcess
from .session.current import current_session, set_current
from .session.scene_jobs import SceneJobs
from .session.session import ClientFactory, Session
from .session.supervisor import Supervisor
from .session.timer import Pump
from .shared_protocol.client.client import BackendClient
from .shared_protocol.client.keys import KeyPair
from .translations import TRANSLATIONS
from .ui import (
    backend_operators,
    backend_panel,
    body_operators,
    character_panels,
    job_operators,
    jobs_panel,
    person_panels,
    photo_operators,
    preferences,
    presets,
    problem_dialog,
    properties,
    result_operators,
)
from .ui.menus import add_menu_entries, remove_menu_entries
from .ui.refresh import Refresher

CLASSES = (
    *preferences.CLASSES,
    *properties.CLASSES,
    *problem_dialog.CLASSES,
    *backend_operators.CLASSES,
    *photo_operators.CLASSES,
    *body_operators.CLASSES,
    *job_operators.CLASSES,
    *result_operators.CLASSES,
    *presets.CLASSES,
    *backend_panel.CLASSES,
    *person_panels.CLASSES,
    *character_panels.CLASSES,
    *jobs_panel.CLASSES,
)


class _Registered:
    """What must be stopped again."""

    pump: Pump | None = None


def register_everything() -> None:
    """Classes, properties, menus, translations, and the session with its pump."""
    folder = data_folder()
    scene_jobs = SceneJobs()
    arrivals = Arrivals(scene_jobs)
    process = BackendProcess(folder / "backend.log")
    session = Session(
        arrivals,
        client_maker(folder / "cache"),
        Supervisor(process, folder / "left-running.json"),
        preferences.backend_options,
    )
    set_current(session, scene_jobs)
    for kind in CLASSES:
        bpy.utils.register_class(kind)
    preferences.mark_version()
    properties.attach_properties()
    add_menu_entries()
    bpy.app.translations.register(ROOT, TRANSLATIONS)
    _Registered.pump = Pump(arrivals, Refresher())
    _Registered.pump.start()


def unregister_everything() -> None:
    """The reverse; also when Blender quits, so it must leave no thread, timer or class behind."""
    if _Registered.pump is not None:
        _Registered.pump.stop()
        _Registered.pump = None
    current_session().close()
    restore_shading()
    bpy.app.translations.unregister(ROOT)
    remove_menu_entries()
    properties.detach_properties()
    for kind in reversed(CLASSES):
        bpy.utils.unregister_class(kind)
    set_current(None, None)


def data_folder() -> Path:
    """The add-on's own folder for logs and downloaded results."""
    return Path(bpy.utils.extension_path_user(ROOT, create=True))


def client_maker(cache: Path) -> ClientFactory:
    """Makes clients that keep what they download in ``cache``."""

    def make(connection_file: Path, keys: KeyPair | None) -> BackendClient:
        return BackendClient(
            connection_file,
            client="humanref-blender",
            client_version=addon_version(),
            cache_dir=cache,
            keys=keys,
        )

    return make
