"""Everything that touches Blender data; no network, no interface classes."""
