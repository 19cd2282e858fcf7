"""Lets tests import the add-on's files that need no Blender, as the extension lays them out.

In the extension ``shared_protocol`` lies inside the add-on's package, and the package's own ``__init__``
needs bpy; ``humanref_addon`` is that layout without the ``__init__``.
"""

import sys
from pathlib import Path
from types import ModuleType

_REPOSITORY = Path(__file__).parents[2]

if "humanref_addon" not in sys.modules:
    package = ModuleType("humanref_addon")
    package.__path__ = [str(_REPOSITORY / "blender_addon"), str(_REPOSITORY)]
    sys.modules["humanref_addon"] = package
